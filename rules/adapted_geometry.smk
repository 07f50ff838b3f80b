"""Compares the geometry of each adapted model with that of the base model (geometry.adapted).

out: geometry/{questions}/{source}-seed{seed}/centroids_layer{layer}.pt, centroids.json;
     analysis/{questions}/seed{seed}/adapted_geometry.json, adapted_geometry.csv
"""


use rule extract_centroids as extract_adapted_centroids with:
    input:
        **ADAPTER,
        code=code_of("extract_centroids.py"),
        model=MODEL,
    output:
        centroids=each(f"{ADAPTED_STATES}/centroids_layer{{layer}}.pt", "layer"),
        meta=f"{ADAPTED_STATES}/centroids.json",
    params:
        state="{source}/seed{seed}",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=lambda wildcards: settings(
            **geometry_blocks(QUESTION_USES[wildcards.questions]), merge_adapter=config["engine"]["merge_adapter"]
        ),


rule compare_geometries:
    input:
        **tables("pairs", "tables", "question_counts"),
        code=code_of("compare_geometries.py"),
        base=ancient(each(f"{GEOMETRY}/centroids_layer{{layer}}.pt", "layer")),
        base_meta=f"{GEOMETRY}/centroids.json",
        adapted=ancient(each(f"{ADAPTED_STATES}/centroids_layer{{layer}}.pt", "source", "layer")),
        adapted_meta=each(f"{ADAPTED_STATES}/centroids.json", "source"),
    output:
        table=f"{ANALYSIS}/adapted_geometry.csv",
        result=f"{ANALYSIS}/adapted_geometry.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("inference", "numpy", "scipy"),
        settings=settings(sources=SOURCES, headline_layer=HEADLINE, **RESAMPLES),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_geometries.py --settings {params.settings:q} --pairs {input.pairs:q} --tables {input.tables:q} \
            --question-counts {input.question_counts:q} --base {input.base:q} --base-meta {input.base_meta:q} \
            --adapted-meta {input.adapted_meta:q} \
            --table {output.table:q} --output {output.result:q} 2>&1 | tee {log:q}
        """
