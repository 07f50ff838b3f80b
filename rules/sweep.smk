"""Centroids of many layers and token positions, where geometry.layers or geometry.positions ask for a comparison.

in:  resources/models/{model}/model.json, personas and questions
out: geometry/{questions}/base/sweep_{position}.npz, sweep.json
"""


rule extract_sweep:
    input:
        code=code_of("extract_sweep.py"),
        model=MODEL,
    output:
        centroids=expand(
            "results/{{experiment}}/geometry/{{questions}}/base/sweep_{position}.npz",
            position=POSITIONS,
        ),
        meta="results/{experiment}/geometry/{questions}/base/sweep.json",
    log:
        "logs/{experiment}/extract_sweep/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/extract_sweep/{questions}/base.tsv"
    priority: 10
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        folder=subpath(output.meta, parent=True),
        packages=pins("inference", "torch", "transformers"),
        restart="results/.kept/hidden_states",
        settings=lambda wildcards: settings(
            personas=personas_block(PANEL, "prompt"),
            questions=questions_block(QUESTION_USES[wildcards.questions]),
            suffix=config["questions"]["suffix"],
            layers=config["geometry"]["layers"],
            positions=POSITIONS,
            precision=config["geometry"]["precision"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/extract_sweep.py \
            --settings {params.settings:q} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --questions {params.questions_file:q} \
            --restart {params.restart:q} \
            --output-folder {params.folder:q} \
            --meta {output.meta:q} \
            2>&1 | tee {log:q}
        """
