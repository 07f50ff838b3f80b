"""The geometry of the adapted models beside that of the base model (geometry.adapted).

in:  training/{source}/seed{seed}/adapter/, geometry/{questions}/base/, analysis/{questions}/seed{seed}/pairs.csv
out: geometry/{questions}/{source}-seed{seed}/centroids_layer{layer}.pt, centroids.json;
     analysis/{questions}/seed{seed}/adapted_geometry.json, adapted_geometry.csv
"""

ADAPTED = "results/{experiment}/geometry/{questions}/{source}-seed{seed}"
ADAPTER = "results/{experiment}/training/{source}/seed{seed}"


use rule extract_centroids as extract_adapted_centroids with:
    input:
        code=code_of("extract_centroids.py"),
        model=MODEL,
        weights=ancient(f"{ADAPTER}/adapter/adapter_model.safetensors"),
        config=f"{ADAPTER}/adapter/adapter_config.json",
        metrics=f"{ADAPTER}/metrics.json",
        rows=ancient("results/{experiment}/training/{source}/manifest.json"),
    output:
        centroids=[f"{ADAPTED}/centroids_layer{layer}.pt" for layer in LAYERS],
        meta=f"{ADAPTED}/centroids.json",
    log:
        "logs/{experiment}/extract_adapted_centroids/{questions}/{source}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/extract_adapted_centroids/{questions}/{source}/seed{seed}.tsv"
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        folder=subpath(output.meta, parent=True),
        state="{source}/seed{seed}",
        restart="results/.kept/hidden_states",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=lambda wildcards: settings(
            **geometry_blocks(wildcards),
            merge_adapter=config["engine"]["merge_adapter"],
        ),


rule compare_geometries:
    input:
        code=code_of("compare_geometries.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        base=ancient(
            expand(
                "results/{{experiment}}/geometry/{{questions}}/base/centroids_layer{layer}.pt",
                layer=LAYERS,
            )
        ),
        base_meta="results/{experiment}/geometry/{questions}/base/centroids.json",
        adapted=ancient(
            expand(
                "results/{{experiment}}/geometry/{{questions}}/{source}-seed{{seed}}/centroids_layer{layer}.pt",
                source=SOURCES,
                layer=LAYERS,
            )
        ),
        adapted_meta=expand(
            "results/{{experiment}}/geometry/{{questions}}/{source}-seed{{seed}}/centroids.json",
            source=SOURCES,
        ),
    output:
        table="results/{experiment}/analysis/{questions}/seed{seed}/adapted_geometry.csv",
        result="results/{experiment}/analysis/{questions}/seed{seed}/adapted_geometry.json",
    log:
        "logs/{experiment}/compare_geometries/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/compare_geometries/{questions}/seed{seed}.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("inference", "numpy", "scipy"),
        settings=settings(
            sources=SOURCES,
            headline_layer=config["geometry"]["headline_layer"],
            permutations=config["analysis"]["permutations"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_geometries.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --tables {input.tables:q} \
            --question-counts {input.question_counts:q} \
            --base {input.base:q} \
            --base-meta {input.base_meta:q} \
            --adapted-meta {input.adapted_meta:q} \
            --table {output.table:q} \
            --output {output.result:q} \
            2>&1 | tee {log:q}
        """
