"""Extracts centroids of the panel from the base model, optionally at many layers and positions, and its next-token divergence.

out: geometry/{questions}/base/centroids_layer{layer}.pt, geometry/{questions}/base/centroids.json
     geometry/{training questions}/base/, the same of the headline layer, from questions that are not evaluated
     geometry/{questions}/base/divergence.json, with analysis.divergence
     geometry/{questions}/base/sweep_{position}.npz, sweep.json, with geometry.layers: all or several geometry.positions
"""


rule extract_centroids:
    input:
        **NO_ADAPTER,
        code=code_of("extract_centroids.py"),
        model=MODEL,
    output:
        centroids=each(f"{GEOMETRY}/centroids_layer{{layer}}.pt", "layer"),
        meta=f"{GEOMETRY}/centroids.json",
    priority: 10
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=60),
        gpu=1,
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        folder=subpath(output.meta, parent=True),
        state="base",
        restart="results/.kept/hidden_states",
        packages=pins("inference", "torch", "transformers"),
        settings=lambda wildcards: settings(**geometry_blocks(QUESTION_USES[wildcards.questions])),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/extract_centroids.py --settings {params.settings:q} --state {params.state:q} --model {input.model:q} \
            --personas {params.personas_file:q} --questions {params.questions_file:q} --adapter {input.weights:q} \
            --adapter-metrics {input.metrics:q} --adapter-rows {input.rows:q} --trained-with {params.trained_with:q} \
            --restart {params.restart:q} --output-folder {params.folder:q} \
            --meta {output.meta:q} 2>&1 | tee {log:q}
        """


# For robustness.json: the cosines must not depend on the questions that the replies answer.
use rule extract_centroids as extract_training_centroids with:
    output:
        centroids=f"{HELD_OUT}/centroids_layer{HEADLINE}.pt",
        meta=f"{HELD_OUT}/centroids.json",
    params:
        settings=settings(**geometry_blocks(HELD_OUT_QUESTIONS, [HEADLINE])),


rule measure_divergence:
    input:
        code=code_of("measure_divergence.py"),
        model=MODEL,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        meta=f"{BASE_EVALUATION}/completions.json",
    output:
        f"{GEOMETRY}/divergence.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=120),
        gpu=1,
    params:
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        restart="results/.kept/divergence",
        packages=pins("inference", "torch", "transformers"),
        settings=lambda wildcards: settings(
            sources=SOURCES,
            personas=personas_block(PANEL, "prompt"),
            questions=questions_block(QUESTION_USES[wildcards.questions]),
            suffix=config["questions"]["suffix"],
            divergence=config["analysis"]["divergence"],
            precision=config["geometry"]["precision"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/measure_divergence.py --settings {params.settings:q} --model {input.model:q} \
            --personas {params.personas_file:q} --questions {params.questions_file:q} --completions {input.completions:q} \
            --completions-meta {input.meta:q} --restart {params.restart:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule extract_sweep:
    input:
        code=code_of("extract_sweep.py"),
        model=MODEL,
    output:
        centroids=each(f"{GEOMETRY}/sweep_{{position}}.npz", "position"),
        meta=f"{GEOMETRY}/sweep.json",
    priority: 10
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=120),
        gpu=1,
    params:
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
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
            python workflow_scripts/extract_sweep.py --settings {params.settings:q} --model {input.model:q} \
            --personas {params.personas_file:q} --questions {params.questions_file:q} --restart {params.restart:q} \
            --output-folder {params.folder:q} \
            --meta {output.meta:q} 2>&1 | tee {log:q}
        """
