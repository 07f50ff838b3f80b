"""Teacher-forces the replies, and compares these finer measures with the sampled rate (evaluation.teacher_forced).

out: evaluation/{questions}/{source}/seed{seed}/teacher_forced.json, evaluation/{questions}/base/teacher_forced.json,
     analysis/{questions}/seed{seed}/measures.json
"""


rule teacher_force:
    input:
        **ADAPTER,
        code=code_of("teacher_force.py"),
        model=MODEL,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        completions_meta=f"{BASE_EVALUATION}/completions.json",
        base=ancient(f"{BASE_EVALUATION}/teacher_forced.jsonl.gz"),
        base_meta=f"{BASE_EVALUATION}/teacher_forced.json",
    output:
        records=f"{ADAPTED}/teacher_forced.jsonl.gz",
        result=f"{ADAPTED}/teacher_forced.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=60),
        gpu=1,
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        state="{source}/seed{seed}",
        restart=f"results/.kept/{KIND}_probabilities",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=lambda wildcards: settings(**forcing_blocks(wildcards), merge_adapter=config["engine"]["merge_adapter"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/teacher_force.py --settings {params.settings:q} --state {params.state:q} --model {input.model:q} \
            --personas {params.personas_file:q} --questions {params.questions_file:q} --completions {input.completions:q} \
            --completions-meta {input.completions_meta:q} --base {input.base:q} {input.base_meta:q} --adapter {input.weights:q} \
            --adapter-metrics {input.metrics:q} --adapter-rows {input.rows:q} --trained-with {params.trained_with:q} \
            --restart {params.restart:q} \
            --records {output.records:q} --output {output.result:q} 2>&1 | tee {log:q}
        """


use rule teacher_force as teacher_force_base with:
    input:
        **NO_ADAPTER,
        code=code_of("teacher_force.py"),
        model=MODEL,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        completions_meta=f"{BASE_EVALUATION}/completions.json",
        base=[],
        base_meta=[],
    output:
        records=f"{BASE_EVALUATION}/teacher_forced.jsonl.gz",
        result=f"{BASE_EVALUATION}/teacher_forced.json",
    params:
        state="base",
        packages=pins("inference", "torch", "transformers"),
        settings=lambda wildcards: settings(**forcing_blocks(wildcards)),


rule compare_measures:
    input:
        **tables("pairs", "tables"),
        code=code_of("compare_measures.py"),
        cells=each(f"{ADAPTED}/{CELLS}", "source"),
        sampled=each(f"{ADAPTED}/completions.json", "source"),
        forced=each(f"{ADAPTED}/teacher_forced.json", "source"),
        base_sampled=f"{BASE_EVALUATION}/completions.json",
        base_forced=f"{BASE_EVALUATION}/teacher_forced.json",
    output:
        table=f"{ANALYSIS}/measures.csv",
        result=f"{ANALYSIS}/measures.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(sources=SOURCES, headline_layer=HEADLINE, bootstraps=config["analysis"]["bootstraps"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_measures.py --settings {params.settings:q} --pairs {input.pairs:q} --tables {input.tables:q} \
            --cells {input.cells:q} --sampled {input.sampled:q} --forced {input.forced:q} \
            --base-sampled {input.base_sampled:q} --base-forced {input.base_forced:q} \
            --table {output.table:q} --output {output.result:q} 2>&1 | tee {log:q}
        """
