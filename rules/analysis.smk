"""Tabulates the pairs of source and bystander, and correlates their cosine with leakage.

out: analysis/{questions}/seed{seed}/pairs.csv, cosines.csv, question_counts.csv, tables.json, correlation.json;
     analysis/{questions}/seed{seed}/robustness.json
     analysis/{questions}/seeds.json, with several training seeds
     analysis/{questions}/seed{seed}/predictors.json, with analysis.predictors or analysis.divergence
     analysis/{questions}/seed{seed}/sweep.json, where layers or positions are compared
"""


rule tabulate_pairs:
    input:
        code=code_of("tabulate_pairs.py"),
        centroids=ancient(each(f"{GEOMETRY}/centroids_layer{{layer}}.pt", "layer")),
        centroids_meta=f"{GEOMETRY}/centroids.json",
        cells=each(f"{ADAPTED}/{CELLS}", "source"),
        base_eval=f"{BASE_EVALUATION}/{CELLS}",
        manifests=each(f"{TRAINING}/manifest.json", "source"),
        controls=expand(f"{ADAPTED}/{CELLS}", source=CONTROL_SOURCES, allow_missing=True),
        forced=each(f"{ADAPTED}/{SECOND_OUTCOME}", "source") if SECOND_OUTCOME else [],
        divergence=f"{GEOMETRY}/divergence.json" if config["analysis"]["divergence"] else [],
    output:
        **tables("pairs", "cosines", "question_counts", "tables"),
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        divergence=lambda wildcards, input: f"--divergence {shlex.quote(input.divergence)}" if input.divergence else "",
        packages=pins("inference", "numpy", "scikit-learn"),
        settings=settings(
            sources=SOURCES,
            controls=CONTROLS,
            personas=personas_block(PANEL, "prompt"),
            embedding_model=config["analysis"]["embedding_model"],
            **MEAN_SCORE,
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/tabulate_pairs.py --settings {params.settings:q} --personas {params.personas_file:q} \
            --centroids {input.centroids:q} --centroids-meta {input.centroids_meta:q} --cells {input.cells:q} \
            --base-eval {input.base_eval:q} --manifests {input.manifests:q} --forced {input.forced:q} {params.divergence} \
            --controls {input.controls:q} \
            --output {output.pairs:q} --cosines {output.cosines:q} --question-counts {output.question_counts:q} --tables {output.tables:q} \
            2>&1 | tee {log:q}
        """


rule correlate_leakage:
    input:
        **tables("pairs", "cosines", "question_counts", "tables"),
        code=code_of("correlate_leakage.py"),
        base_eval=f"{BASE_EVALUATION}/{CELLS}",
    output:
        f"{ANALYSIS}/correlation.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=lambda wildcards: settings(
            headline_layer=HEADLINE,
            **without(config["analysis"], "embedding_model", "predictors", "divergence"),
            training_seed=int(wildcards.seed),
            recipe=recipe(wildcards.questions),
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/correlate_leakage.py --settings {params.settings:q} --pairs {input.pairs:q} \
            --cosines {input.cosines:q} --question-counts {input.question_counts:q} --tables {input.tables:q} \
            --base-eval {input.base_eval:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule check_robustness:
    input:
        **tables("pairs", "question_counts", "tables"),
        code=code_of("check_robustness.py"),
        centroids=ancient(f"{GEOMETRY}/centroids_layer{HEADLINE}.pt"),
        centroids_meta=f"{GEOMETRY}/centroids.json",
        held_out=ancient(f"{HELD_OUT}/centroids_layer{HEADLINE}.pt"),
        held_out_meta=f"{HELD_OUT}/centroids.json",
    output:
        f"{ANALYSIS}/robustness.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("inference", "numpy", "scipy"),
        settings=settings(headline_layer=HEADLINE, bootstraps=config["analysis"]["bootstraps"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/check_robustness.py --settings {params.settings:q} --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} --tables {input.tables:q} --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} --held-out-centroids {input.held_out:q} --held-out-meta {input.held_out_meta:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule compare_seeds:
    input:
        code=code_of("compare_seeds.py"),
        correlations=each(f"{ANALYSIS}/correlation.json", "seed"),
        pairs=each(f"{ANALYSIS}/pairs.csv", "seed"),
        question_counts=each(f"{ANALYSIS}/question_counts.csv", "seed"),
    output:
        "results/{experiment}/analysis/{questions}/seeds.json",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_seeds.py --settings {params.settings:q} --correlations {input.correlations:q} \
            --pairs {input.pairs:q} --question-counts {input.question_counts:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule compare_predictors:
    input:
        **tables("pairs", "question_counts", "tables"),
        code=code_of("compare_predictors.py"),
    output:
        f"{ANALYSIS}/predictors.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(headline_layer=HEADLINE, **RESAMPLES),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_predictors.py --settings {params.settings:q} --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} --tables {input.tables:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule correlate_sweep:
    input:
        **tables("pairs", "question_counts", "tables"),
        code=code_of("correlate_sweep.py"),
        sweep=ancient(each(f"{GEOMETRY}/sweep_{{position}}.npz", "position")),
        sweep_meta=f"{GEOMETRY}/sweep.json",
    output:
        f"{ANALYSIS}/sweep.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(headline_layer=HEADLINE, **RESAMPLES),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/correlate_sweep.py --settings {params.settings:q} --sweep {input.sweep:q} \
            --sweep-meta {input.sweep_meta:q} --pairs {input.pairs:q} --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """
