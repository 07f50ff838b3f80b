"""Hidden-state centroids of the panel in the base model (of the adapted models: adapted_geometry.smk); and, if asked for,
how differently it would speak as each persona.

in:  resources/models/{model}/model.json, personas and questions; evaluation/{questions}/base/
out: geometry/{questions}/base/centroids_layer{layer}.pt, geometry/{questions}/base/centroids.json
     geometry/{training questions}/base/, the same of the headline layer, from questions that are not evaluated
     geometry/{questions}/base/divergence.json, with analysis.divergence
"""


rule extract_centroids:
    input:
        code=code_of("extract_centroids.py"),
        model=MODEL,
        weights=[],
        metrics=[],
        rows=[],
    output:
        centroids=expand(
            "results/{{experiment}}/geometry/{{questions}}/base/centroids_layer{layer}.pt",
            layer=LAYERS,
        ),
        meta="results/{experiment}/geometry/{questions}/base/centroids.json",
    log:
        "logs/{experiment}/extract_centroids/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/extract_centroids/{questions}/base.tsv"
    priority: 10
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
        folder=subpath(output.meta, parent=True),
        state="base",
        restart="results/.kept/hidden_states",
        packages=pins("inference", "torch", "transformers"),
        settings=lambda wildcards: settings(**geometry_blocks(wildcards)),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/extract_centroids.py \
            --settings {params.settings:q} \
            --state {params.state:q} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --questions {params.questions_file:q} \
            --adapter {input.weights:q} \
            --adapter-metrics {input.metrics:q} \
            --adapter-rows {input.rows:q} \
            --trained-with {params.trained_with:q} \
            --restart {params.restart:q} \
            --output-folder {params.folder:q} \
            --meta {output.meta:q} \
            2>&1 | tee {log:q}
        """


# For robustness.json: the cosines must not depend on the questions that the replies answer.
use rule extract_centroids as extract_training_centroids with:
    input:
        code=code_of("extract_centroids.py"),
        model=MODEL,
        weights=[],
        metrics=[],
        rows=[],
    output:
        centroids=f"{HELD_OUT}/centroids_layer{HEADLINE}.pt",
        meta=f"{HELD_OUT}/centroids.json",
    log:
        "logs/{experiment}/extract_training_centroids/base.log",
    benchmark:
        "benchmarks/{experiment}/extract_training_centroids/base.tsv"
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        folder=subpath(output.meta, parent=True),
        state="base",
        restart="results/.kept/hidden_states",
        packages=pins("inference", "torch", "transformers"),
        settings=settings(**geometry_of(HELD_OUT_QUESTIONS, [HEADLINE])),


rule measure_divergence:
    input:
        code=code_of("measure_divergence.py"),
        model=MODEL,
        completions=ancient(
            "results/{experiment}/evaluation/{questions}/base/completions.jsonl.gz"
        ),
        meta="results/{experiment}/evaluation/{questions}/base/completions.json",
    output:
        "results/{experiment}/geometry/{questions}/base/divergence.json",
    log:
        "logs/{experiment}/measure_divergence/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/measure_divergence/{questions}/base.tsv"
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
            python workflow_scripts/measure_divergence.py \
            --settings {params.settings:q} \
            --model {input.model:q} \
            --personas {params.personas_file:q} \
            --questions {params.questions_file:q} \
            --completions {input.completions:q} \
            --completions-meta {input.meta:q} \
            --restart {params.restart:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
