"""Samples replies of the panel, with each adapter and without, and counts those that show the behaviour.

out: evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz, marker_eval.json or cells.json (cells_file
     of the kind of behaviour), summary.json
     evaluation/{questions}/base/, the same without adapter
"""


rule sample_completions:
    input:
        **ADAPTER,
        code=code_of("sample_completions.py"),
        model=MODEL,
    output:
        completions=f"{ADAPTED}/completions.jsonl.gz",
        meta=f"{ADAPTED}/completions.json",
    priority: 3  # before the log-probabilities, which take less time
    conda:
        SAMPLING_ENV
    resources:
        **more_each_attempt(mem_mb=16000, runtime=120),
        gpu=1,
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        chunk_size=untracked(config["engine"]["checkpoint_every"]),
        lora_rank=untracked(config["training"]["lora"]["rank"]),
        state="{source}/seed{seed}",
        restart="results/.kept/replies",
        engine=untracked(config["engine"]["name"]),
        packages=sampling_pins("peft"),
        settings=partial(sampling_settings, adapted=True),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} --engine {params.engine} \
            python workflow_scripts/sample_completions.py --settings {params.settings:q} --chunk-size {params.chunk_size} \
            --state {params.state:q} --model {input.model:q} --personas {params.personas_file:q} --questions {params.questions_file:q} \
            --adapter {input.weights:q} --adapter-metrics {input.metrics:q} --adapter-rows {input.rows:q} \
            --trained-with {params.trained_with:q} --lora-rank {params.lora_rank} --restart {params.restart:q} \
            --output {output.completions:q} --meta {output.meta:q} 2>&1 | tee {log:q}
        """


# Without an adapter. "use rule" keeps the params that are not named here.
use rule sample_completions as sample_base_completions with:
    input:
        **NO_ADAPTER,
        code=code_of("sample_completions.py"),
        model=MODEL,
        config=[],
    output:
        completions=f"{BASE_EVALUATION}/completions.jsonl.gz",
        meta=f"{BASE_EVALUATION}/completions.json",
    params:
        state="base",
        packages=sampling_pins(),
        settings=partial(sampling_settings, adapted=False),


rule score_leakage:
    input:
        **SCORER_WORDS,
        code=code_of("score_leakage.py", KIND_CODE),
        model=MODEL,
        completions=ancient(f"{ADAPTED}/completions.jsonl.gz"),
        meta=f"{ADAPTED}/completions.json",
    output:
        cells=f"{ADAPTED}/{CELLS}",
        summary=f"{ADAPTED}/summary.json",
    priority: 20
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        source=lambda wildcards: f"--source {split_control(wildcards.source)[0]}",
        judgements="",
        settings=settings(behaviour=config["behaviour"], personas=personas_block(PANEL, "category", "related_to")),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/score_leakage.py --settings {params.settings:q} {params.source} --model {input.model:q} \
            --personas {params.personas_file:q} --completions {input.completions:q} --completions-meta {input.meta:q} {params.judgements} \
            --cells {output.cells:q} --summary {output.summary:q} 2>&1 | tee {log:q}
        """


use rule score_leakage as score_base_leakage with:
    input:
        **SCORER_WORDS,
        code=code_of("score_leakage.py", KIND_CODE),
        model=MODEL,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        meta=f"{BASE_EVALUATION}/completions.json",
    output:
        cells=f"{BASE_EVALUATION}/{CELLS}",
        summary=f"{BASE_EVALUATION}/summary.json",
    params:
        source="",
