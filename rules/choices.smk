"""Trains on and scores multiple-choice items instead of sampled replies (behaviour.kind: choice), with each adapter and without.

out: training/{source}/train.jsonl.gz, manifest.json; evaluation/{questions}/{source}/seed{seed}/items.jsonl.gz, cells.json,
     summary.json; evaluation/{questions}/base/, the same without adapter
"""

ITEMS = config["behaviour"]["items"]
# A param, because Snakemake compares the contents of newer inputs only.
ITEMS_DIGEST = sha256_of_file(ITEMS)


# The three have outputs of the same names as the rules of sampled replies, which nothing asks for here.
ruleorder: build_choice_rows > build_training_set
ruleorder: score_choices > score_leakage
ruleorder: score_base_choices > score_base_leakage


use rule build_training_set as build_choice_rows with:
    input:
        **CLOSENESS,
        code=code_of("build_training_set.py", KIND_CODE),
        model=MODEL,
        choices=ITEMS,
        base_summary=BASE_SUMMARY,
    params:
        contents=ITEMS_DIGEST,
        made_of=lambda wildcards, input: shlex.join(["--items", input.choices, *row_options(input)]),
        settings=lambda wildcards: settings(
            seed=config["seed"],
            **personas_of_rows(wildcards),
            behaviour=row_settings(config["behaviour"]),
            labels=config["labels"],
            max_length=config["training"]["max_length"],
        ),


rule score_choices:
    input:
        **ADAPTER,
        code=code_of("score_choices.py", KIND_CODE),
        model=MODEL,
        choices=ITEMS,
        base=ancient(f"{BASE_EVALUATION}/items.jsonl.gz"),
        base_cells=f"{BASE_EVALUATION}/cells.json",
    output:
        records=f"{ADAPTED}/items.jsonl.gz",
        cells=f"{ADAPTED}/cells.json",
        summary=f"{ADAPTED}/summary.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=60),
        gpu=1,
    params:
        contents=ITEMS_DIGEST,
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        state="{source}/seed{seed}",
        source=lambda wildcards: f"--source {split_control(wildcards.source)[0]}",
        restart="results/.kept/option_probabilities",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=choice_settings(merge_adapter=config["engine"]["merge_adapter"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/score_choices.py --settings {params.settings:q} --state {params.state:q} {params.source} \
            --model {input.model:q} --personas {params.personas_file:q} --items {input.choices:q} \
            --base {input.base:q} {input.base_cells:q} --adapter {input.weights:q} --adapter-metrics {input.metrics:q} \
            --adapter-rows {input.rows:q} --trained-with {params.trained_with:q} --restart {params.restart:q} \
            --records {output.records:q} --cells {output.cells:q} --summary {output.summary:q} 2>&1 | tee {log:q}
        """


use rule score_choices as score_base_choices with:
    input:
        **NO_ADAPTER,
        code=code_of("score_choices.py", KIND_CODE),
        model=MODEL,
        choices=ITEMS,
        base=[],
        base_cells=[],
    output:
        records=f"{BASE_EVALUATION}/items.jsonl.gz",
        cells=f"{BASE_EVALUATION}/cells.json",
        summary=f"{BASE_EVALUATION}/summary.json",
    params:
        state="base",
        source="",
        packages=pins("inference", "torch", "transformers"),
        settings=choice_settings(),
