"""Proposes negatives by closeness, and compares several choices of negatives (training_data.negative_variants).

out: negatives/proposal.csv, proposal.txt; analysis/{questions}/seed{seed}/containment.json, containment.csv
"""

STUDIED_CHOICES = "docs/results/containment/analysis/evaluation/seed42/containment.json"
CONDITION_NAMES = ["list" if choice == "list" else f"{choice}{number}" for choice, number in CONDITIONS]
# All adapters, by condition and then by source.
BY_CONDITION = {"source": [*SOURCES, *VARIANT_SOURCES], "allow_missing": True}


rule propose_negatives:
    input:
        **HELD_OUT_CENTROIDS,
        code=code_of("propose_negatives.py"),
        evidence=[STUDIED_CHOICES] if Path(STUDIED_CHOICES).is_file() else [],
    output:
        table="results/{experiment}/negatives/proposal.csv",
        text="results/{experiment}/negatives/proposal.txt",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=10),
    params:
        evidence=lambda wildcards, input: shlex.join(["--evidence", *input.evidence]) if input.evidence else "",
        packages=pins("inference", "numpy"),
        settings=settings(
            counts={source: count_negatives(config, source, *CONDITIONS[0]) or 2 for source in SOURCES},
            pool=config["training_data"]["negative_pool"],
            seed=config["seed"],
            questions=HELD_OUT_QUESTIONS["count"],
            model=config["model"]["name"],
        ),
    shell:
        r"""
        python workflow_scripts/propose_negatives.py --settings {params.settings:q} --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} {params.evidence} \
            --output {output.table:q} --text {output.text:q} 2>&1 | tee {log:q}
        """


rule compare_containment:
    input:
        **HELD_OUT_CENTROIDS,
        code=code_of("compare_containment.py"),
        cells=expand(f"{ADAPTED}/{CELLS}", **BY_CONDITION),
        gains=expand(f"{ADAPTED}/{SECOND_OUTCOME}", **BY_CONDITION) if SECOND_OUTCOME else [],
        base_eval=f"{BASE_EVALUATION}/{CELLS}",
        manifests=expand(f"{TRAINING}/manifest.json", **BY_CONDITION),
        metrics=expand(f"{TRAINED}/metrics.json", **BY_CONDITION),
    output:
        result=f"{ANALYSIS}/containment.json",
        table=f"{ANALYSIS}/containment.csv",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("inference", "numpy"),
        settings=settings(sources=SOURCES, conditions=CONDITION_NAMES, bootstraps=config["analysis"]["bootstraps"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_containment.py --settings {params.settings:q} --cells {input.cells:q} --gains {input.gains:q} \
            --base-eval {input.base_eval:q} --manifests {input.manifests:q} --metrics {input.metrics:q} --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} \
            --table {output.table:q} --output {output.result:q} 2>&1 | tee {log:q}
        """
