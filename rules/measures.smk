"""Finer measures of leakage beside the sampled rate (evaluation.teacher_forced).

in:  evaluation/{questions}/base/completions.jsonl.gz, training/{source}/seed{seed}/adapter/, marker_eval.json and pairs.csv
out: evaluation/{questions}/{source}/seed{seed}/teacher_forced.json, teacher_forced.jsonl.gz; evaluation/{questions}/base/, the same
     without adapter; analysis/{questions}/seed{seed}/measures.json, measures.csv
"""

FORCED = (
    "results/{experiment}/evaluation/{questions}/{source}/seed{seed}/teacher_forced"
)
BASE_FORCED = "results/{experiment}/evaluation/{questions}/base/teacher_forced"
BASE_REPLIES = "results/{experiment}/evaluation/{questions}/base/completions"


rule teacher_force:
    input:
        code=code_of("teacher_force.py"),
        model=MODEL,
        completions=ancient(f"{BASE_REPLIES}.jsonl.gz"),
        completions_meta=f"{BASE_REPLIES}.json",
        base=ancient(f"{BASE_FORCED}.jsonl.gz"),
        base_meta=f"{BASE_FORCED}.json",
        weights=ancient(
            "results/{experiment}/training/{source}/seed{seed}/adapter/adapter_model.safetensors"
        ),
        config="results/{experiment}/training/{source}/seed{seed}/adapter/adapter_config.json",
        metrics="results/{experiment}/training/{source}/seed{seed}/metrics.json",
        rows=ancient("results/{experiment}/training/{source}/manifest.json"),
    output:
        records=f"{FORCED}.jsonl.gz",
        result=f"{FORCED}.json",
    log:
        "logs/{experiment}/teacher_force/{questions}/{source}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/teacher_force/{questions}/{source}/seed{seed}.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        state="{source}/seed{seed}",
        restart="results/.kept/marker_probabilities",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=lambda wildcards: settings(
            **forcing_blocks(wildcards),
            merge_adapter=config["engine"]["merge_adapter"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/teacher_force.py \
            --settings {params.settings:q} \
            --state {params.state:q} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --questions {params.questions_file:q} \
            --completions {input.completions:q} \
            --completions-meta {input.completions_meta:q} \
            --base {input.base:q} {input.base_meta:q} \
            --adapter {input.weights:q} \
            --adapter-metrics {input.metrics:q} \
            --adapter-rows {input.rows:q} \
            --trained-with {params.trained_with:q} \
            --restart {params.restart:q} \
            --records {output.records:q} \
            --output {output.result:q} \
            2>&1 | tee {log:q}
        """


use rule teacher_force as teacher_force_base with:
    input:
        code=code_of("teacher_force.py"),
        model=MODEL,
        completions=ancient(f"{BASE_REPLIES}.jsonl.gz"),
        completions_meta=f"{BASE_REPLIES}.json",
        base=[],
        base_meta=[],
        weights=[],
        metrics=[],
        rows=[],
    output:
        records=f"{BASE_FORCED}.jsonl.gz",
        result=f"{BASE_FORCED}.json",
    log:
        "logs/{experiment}/teacher_force_base/{questions}.log",
    benchmark:
        "benchmarks/{experiment}/teacher_force_base/{questions}.tsv"
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        state="base",
        restart="results/.kept/marker_probabilities",
        packages=pins("inference", "torch", "transformers"),
        settings=lambda wildcards: settings(**forcing_blocks(wildcards)),


rule compare_measures:
    input:
        code=code_of("compare_measures.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
        marker_evals=expand(
            "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/marker_eval.json",
            source=SOURCES,
        ),
        sampled=expand(
            "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/completions.json",
            source=SOURCES,
        ),
        forced=expand(
            "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/teacher_forced.json",
            source=SOURCES,
        ),
        base_sampled=f"{BASE_REPLIES}.json",
        base_forced=f"{BASE_FORCED}.json",
    output:
        table="results/{experiment}/analysis/{questions}/seed{seed}/measures.csv",
        result="results/{experiment}/analysis/{questions}/seed{seed}/measures.json",
    log:
        "logs/{experiment}/compare_measures/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/compare_measures/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(
            sources=SOURCES,
            headline_layer=config["geometry"]["headline_layer"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_measures.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --tables {input.tables:q} \
            --marker-evals {input.marker_evals:q} \
            --sampled {input.sampled:q} \
            --forced {input.forced:q} \
            --base-sampled {input.base_sampled:q} \
            --base-forced {input.base_forced:q} \
            --table {output.table:q} \
            --output {output.result:q} \
            2>&1 | tee {log:q}
        """
