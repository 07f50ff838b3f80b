"""Replies of the panel, with each adapter and without, and the marker's rate in them.

in:  training/{source}/seed{seed}/adapter/
out: evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz, marker_eval.json, summary.json
     evaluation/{questions}/base/, the same without adapter (the control)
"""


rule sample_completions:
    input:
        code=code_of("sample_completions.py"),
        model=MODEL,
        weights=ancient(
            "results/{experiment}/training/{source}/seed{seed}/adapter/adapter_model.safetensors"
        ),
        config="results/{experiment}/training/{source}/seed{seed}/adapter/adapter_config.json",
        metrics="results/{experiment}/training/{source}/seed{seed}/metrics.json",
        rows=ancient("results/{experiment}/training/{source}/manifest.json"),
    output:
        completions="results/{experiment}/evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz",
        meta="results/{experiment}/evaluation/{questions}/{source}/seed{seed}/completions.json",
    log:
        "logs/{experiment}/sample_completions/{questions}/{source}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/sample_completions/{questions}/{source}/seed{seed}.tsv"
    conda:
        SAMPLING_ENV
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        chunk_size=untracked(config["engine"]["checkpoint_every"]),
        state="{source}/seed{seed}",
        restart="results/.kept/replies",
        packages=sampling_pins("peft"),
        settings=partial(sampling_settings, adapted=True),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/sample_completions.py \
            --settings {params.settings:q} \
            --chunk-size {params.chunk_size} \
            --state {params.state:q} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --questions {params.questions_file:q} \
            --adapter {input.weights:q} \
            --adapter-metrics {input.metrics:q} \
            --adapter-rows {input.rows:q} \
            --trained-with {params.trained_with:q} \
            --restart {params.restart:q} \
            --output {output.completions:q} \
            --meta {output.meta:q} \
            2>&1 | tee {log:q}
        """


# The control, without an adapter. Params that are not named here are those of sample_completions.
use rule sample_completions as sample_base_completions with:
    input:
        code=code_of("sample_completions.py"),
        model=MODEL,
        weights=[],
        config=[],
        metrics=[],
        rows=[],
    output:
        completions="results/{experiment}/evaluation/{questions}/base/completions.jsonl.gz",
        meta="results/{experiment}/evaluation/{questions}/base/completions.json",
    log:
        "logs/{experiment}/sample_completions/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/sample_completions/{questions}/base.tsv"
    params:
        state="base",
        packages=sampling_pins(),
        settings=partial(sampling_settings, adapted=False),


rule score_leakage:
    input:
        code=code_of("score_leakage.py"),
        model=MODEL,
        completions=ancient(
            "results/{experiment}/evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz"
        ),
        meta="results/{experiment}/evaluation/{questions}/{source}/seed{seed}/completions.json",
    output:
        marker_eval="results/{experiment}/evaluation/{questions}/{source}/seed{seed}/marker_eval.json",
        summary="results/{experiment}/evaluation/{questions}/{source}/seed{seed}/summary.json",
    log:
        "logs/{experiment}/score_leakage/{questions}/{source}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/score_leakage/{questions}/{source}/seed{seed}.tsv"
    priority: 20
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        personas_file=PERSONAS_FILE,
        source=lambda wildcards: f"--source {wildcards.source}",
        settings=settings(
            behaviour=config["behaviour"],
            personas=personas_block(PANEL, "category", "related_to"),
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/score_leakage.py \
            --settings {params.settings:q} \
            {params.source} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --completions {input.completions:q} \
            --completions-meta {input.meta:q} \
            --marker-eval {output.marker_eval:q} \
            --summary {output.summary:q} \
            2>&1 | tee {log:q}
        """


use rule score_leakage as score_base_leakage with:
    input:
        code=code_of("score_leakage.py"),
        model=MODEL,
        completions=ancient(
            "results/{experiment}/evaluation/{questions}/base/completions.jsonl.gz"
        ),
        meta="results/{experiment}/evaluation/{questions}/base/completions.json",
    output:
        marker_eval="results/{experiment}/evaluation/{questions}/base/marker_eval.json",
        summary="results/{experiment}/evaluation/{questions}/base/summary.json",
    log:
        "logs/{experiment}/score_leakage/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/score_leakage/{questions}/base.tsv"
    params:
        personas_file=PERSONAS_FILE,
        source="",
        settings=settings(
            behaviour=config["behaviour"],
            personas=personas_block(PANEL, "category", "related_to"),
        ),
