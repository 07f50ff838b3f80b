"""Pairs of source and bystander, and the correlation of their cosine with leakage.

in:  geometry/{questions}/base/, evaluation/{questions}/, training/{source}/manifest.json
out: analysis/{questions}/seed{seed}/pairs.csv, cosines.csv, question_counts.csv, tables.json, correlation.json;
     analysis/{questions}/seed{seed}/robustness.json
     analysis/{questions}/seeds.json, with several training seeds
     analysis/{questions}/seed{seed}/predictors.json, with analysis.predictors or analysis.divergence
     analysis/{questions}/seed{seed}/sweep.json, where layers or positions are compared
"""


rule tabulate_pairs:
    input:
        code=code_of("tabulate_pairs.py"),
        centroids=ancient(
            expand(
                "results/{{experiment}}/geometry/{{questions}}/base/centroids_layer{layer}.pt",
                layer=LAYERS,
            )
        ),
        centroids_meta="results/{experiment}/geometry/{questions}/base/centroids.json",
        marker_evals=expand(
            "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/marker_eval.json",
            source=SOURCES,
        ),
        base_eval="results/{experiment}/evaluation/{questions}/base/marker_eval.json",
        manifests=expand(
            "results/{{experiment}}/training/{source}/manifest.json", source=SOURCES
        ),
        forced=(
            expand(
                "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/teacher_forced.json",
                source=SOURCES,
            )
            if TEACHER_FORCED
            else []
        ),
        divergence=(
            "results/{experiment}/geometry/{questions}/base/divergence.json"
            if config["analysis"]["divergence"]
            else []
        ),
    output:
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        cosines="results/{experiment}/analysis/{questions}/seed{seed}/cosines.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
    log:
        "logs/{experiment}/tabulate_pairs/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/tabulate_pairs/{questions}/seed{seed}.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        personas_file=PERSONAS_FILE,
        divergence=lambda wildcards, input: (
            f"--divergence {shlex.quote(input.divergence)}" if input.divergence else ""
        ),
        packages=pins("inference", "numpy", "scikit-learn"),
        settings=settings(
            sources=SOURCES,
            personas=personas_block(PANEL, "prompt"),
            embedding_model=config["analysis"]["embedding_model"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/tabulate_pairs.py \
            --settings {params.settings:q} \
            --personas {params.personas_file:q} \
            --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} \
            --marker-evals {input.marker_evals:q} \
            --base-eval {input.base_eval:q} \
            --manifests {input.manifests:q} \
            --forced {input.forced:q} \
            {params.divergence} \
            --output {output.pairs:q} \
            --cosines {output.cosines:q} \
            --question-counts {output.question_counts:q} \
            --tables {output.tables:q} \
            2>&1 | tee {log:q}
        """


rule correlate_leakage:
    input:
        code=code_of("correlate_leakage.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        cosines="results/{experiment}/analysis/{questions}/seed{seed}/cosines.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
        base_eval="results/{experiment}/evaluation/{questions}/base/marker_eval.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/correlation.json",
    log:
        "logs/{experiment}/correlate_leakage/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/correlate_leakage/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=lambda wildcards: settings(
            headline_layer=config["geometry"]["headline_layer"],
            **without(
                config["analysis"], "embedding_model", "predictors", "divergence"
            ),
            training_seed=int(wildcards.seed),
            recipe=recipe(wildcards.questions),
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/correlate_leakage.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --cosines {input.cosines:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --marker-eval {input.base_eval:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule check_robustness:
    input:
        code=code_of("check_robustness.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
        centroids=ancient(
            f"results/{{experiment}}/geometry/{{questions}}/base/centroids_layer{HEADLINE}.pt"
        ),
        centroids_meta="results/{experiment}/geometry/{questions}/base/centroids.json",
        held_out=ancient(f"{HELD_OUT}/centroids_layer{HEADLINE}.pt"),
        held_out_meta=f"{HELD_OUT}/centroids.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/robustness.json",
    log:
        "logs/{experiment}/check_robustness/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/check_robustness/{questions}/seed{seed}.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("inference", "numpy", "scipy"),
        settings=settings(
            headline_layer=HEADLINE,
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/check_robustness.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} \
            --held-out-centroids {input.held_out:q} \
            --held-out-meta {input.held_out_meta:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule compare_seeds:
    input:
        code=code_of("compare_seeds.py"),
        correlations=of_each_seed("correlation.json"),
        pairs=of_each_seed("pairs.csv"),
        question_counts=of_each_seed("question_counts.csv"),
    output:
        "results/{experiment}/analysis/{questions}/seeds.json",
    log:
        "logs/{experiment}/compare_seeds/{questions}.log",
    benchmark:
        "benchmarks/{experiment}/compare_seeds/{questions}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_seeds.py \
            --settings {params.settings:q} \
            --correlations {input.correlations:q} \
            --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule compare_predictors:
    input:
        code=code_of("compare_predictors.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/predictors.json",
    log:
        "logs/{experiment}/compare_predictors/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/compare_predictors/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(
            headline_layer=config["geometry"]["headline_layer"],
            permutations=config["analysis"]["permutations"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_predictors.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule correlate_sweep:
    input:
        code=code_of("correlate_sweep.py"),
        sweep=ancient(
            expand(
                "results/{{experiment}}/geometry/{{questions}}/base/sweep_{position}.npz",
                position=POSITIONS,
            )
        ),
        sweep_meta="results/{experiment}/geometry/{questions}/base/sweep.json",
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/sweep.json",
    log:
        "logs/{experiment}/correlate_sweep/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/correlate_sweep/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(
            headline_layer=config["geometry"]["headline_layer"],
            permutations=config["analysis"]["permutations"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/correlate_sweep.py \
            --settings {params.settings:q} \
            --sweep {input.sweep:q} \
            --sweep-meta {input.sweep_meta:q} \
            --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
