"""Figures, each from small tables alone, as pdf, png and svg. Every rule after the first is the first with other files.

in:  analysis/{questions}/seed{seed}/, evaluation/{questions}/, training/{source}/seed{seed}/metrics.json
out: figures/{questions}/seed{seed}/*.pdf, .png, .svg; figures/training.pdf, .png, .svg;
     figures/question_sets/seed{seed}/question_sets.pdf, .png, .svg
"""

ANALYSIS = "results/{experiment}/analysis/{questions}/seed{seed}"


# Seconds each, from small tables: on a cluster the submitting host draws them.
localrules:
    plot_scatter,
    plot_category_scatter,
    plot_category_rates,
    plot_heat_map,
    plot_cosines,
    plot_layers,
    plot_robustness,
    plot_sweep,
    plot_category_correlations,
    plot_noise_ceiling,
    plot_replies,
    plot_training,
    plot_seed_stability,
    plot_predictors,
    plot_question_sets,
    plot_wordings,
    plot_variants,
    plot_adapted_geometry,
    plot_measures,


rule plot_scatter:
    input:
        program="workflow_scripts/plot_scatter.py",
        code=code_of("plot_scatter.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
        correlation=f"{ANALYSIS}/correlation.json",
    output:
        **figure("{questions}/seed{seed}/scatter"),
    log:
        "logs/{experiment}/plot_scatter/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_scatter/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        inputs=as_options,
        packages=pins("analysis", "matplotlib"),
        settings=settings(headline_layer=config["geometry"]["headline_layer"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python {input.program:q} \
            --settings {params.settings:q} \
            {params.inputs} \
            --output {output.pdf:q} \
            2>&1 | tee {log:q}
        """


use rule plot_scatter as plot_category_scatter with:
    input:
        program="workflow_scripts/plot_category_scatter.py",
        code=code_of("plot_category_scatter.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
    output:
        **figure("{questions}/seed{seed}/category_scatter"),
    log:
        "logs/{experiment}/plot_category_scatter/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_category_scatter/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_category_rates with:
    input:
        program="workflow_scripts/plot_category_rates.py",
        code=code_of("plot_category_rates.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
    output:
        **figure("{questions}/seed{seed}/category_rates"),
    log:
        "logs/{experiment}/plot_category_rates/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_category_rates/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_heat_map with:
    input:
        program="workflow_scripts/plot_heat_map.py",
        code=code_of("plot_heat_map.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
    output:
        **figure("{questions}/seed{seed}/heat_map"),
    log:
        "logs/{experiment}/plot_heat_map/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_heat_map/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_cosines with:
    input:
        program="workflow_scripts/plot_cosines.py",
        code=code_of("plot_cosines.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
        cosines=f"{ANALYSIS}/cosines.csv",
    output:
        **figure("{questions}/seed{seed}/cosines"),
    log:
        "logs/{experiment}/plot_cosines/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_cosines/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_layers with:
    input:
        program="workflow_scripts/plot_layers.py",
        code=code_of("plot_layers.py"),
        correlation=f"{ANALYSIS}/correlation.json",
    output:
        **figure("{questions}/seed{seed}/layers"),
    log:
        "logs/{experiment}/plot_layers/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_layers/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_robustness with:
    input:
        program="workflow_scripts/plot_robustness.py",
        code=code_of("plot_robustness.py"),
        robustness=f"{ANALYSIS}/robustness.json",
    output:
        **figure("{questions}/seed{seed}/robustness"),
    log:
        "logs/{experiment}/plot_robustness/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_robustness/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_sweep with:
    input:
        program="workflow_scripts/plot_sweep.py",
        code=code_of("plot_sweep.py"),
        sweep=f"{ANALYSIS}/sweep.json",
    output:
        **figure("{questions}/seed{seed}/sweep"),
    log:
        "logs/{experiment}/plot_sweep/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_sweep/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_category_correlations with:
    input:
        program="workflow_scripts/plot_category_correlations.py",
        code=code_of("plot_category_correlations.py"),
        correlation=f"{ANALYSIS}/correlation.json",
    output:
        **figure("{questions}/seed{seed}/category_correlations"),
    log:
        "logs/{experiment}/plot_category_correlations/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_category_correlations/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_noise_ceiling with:
    input:
        program="workflow_scripts/plot_noise_ceiling.py",
        code=code_of("plot_noise_ceiling.py"),
        correlation=f"{ANALYSIS}/correlation.json",
    output:
        **figure("{questions}/seed{seed}/noise_ceiling"),
    log:
        "logs/{experiment}/plot_noise_ceiling/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_noise_ceiling/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_replies with:
    input:
        program="workflow_scripts/plot_replies.py",
        code=code_of("plot_replies.py"),
        marker_evals=expand(
            "results/{{experiment}}/evaluation/{{questions}}/{source}/seed{{seed}}/marker_eval.json",
            source=SOURCES,
        ),
        base_eval="results/{experiment}/evaluation/{questions}/base/marker_eval.json",
    output:
        **figure("{questions}/seed{seed}/replies"),
    log:
        "logs/{experiment}/plot_replies/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_replies/{questions}/seed{seed}.tsv"
    params:
        inputs=as_options,
        packages=pins("analysis", "matplotlib"),
        settings=settings(sources=SOURCES),


use rule plot_scatter as plot_training with:
    input:
        program="workflow_scripts/plot_training.py",
        code=code_of("plot_training.py"),
        metrics=expand(
            "results/{{experiment}}/training/{source}/seed{seed}/metrics.json",
            source=SOURCES,
            seed=SEEDS,
        ),
    output:
        **figure("training"),
    log:
        "logs/{experiment}/plot_training.log",
    benchmark:
        "benchmarks/{experiment}/plot_training.tsv"
    params:
        inputs=as_options,
        packages=pins("analysis", "matplotlib"),
        settings=settings(sources=SOURCES, seeds=SEEDS),


use rule plot_scatter as plot_seed_stability with:
    input:
        program="workflow_scripts/plot_seed_stability.py",
        code=code_of("plot_seed_stability.py"),
        seeds="results/{experiment}/analysis/{questions}/seeds.json",
    output:
        **figure("{questions}/seed_stability"),
    log:
        "logs/{experiment}/plot_seed_stability/{questions}.log",
    benchmark:
        "benchmarks/{experiment}/plot_seed_stability/{questions}.tsv"
    params:
        inputs=as_options,
        settings=settings(),


use rule plot_scatter as plot_adapted_geometry with:
    input:
        program="workflow_scripts/plot_adapted_geometry.py",
        code=code_of("plot_adapted_geometry.py"),
        table=f"{ANALYSIS}/adapted_geometry.csv",
        result=f"{ANALYSIS}/adapted_geometry.json",
    output:
        **figure("{questions}/seed{seed}/adapted_geometry"),
    log:
        "logs/{experiment}/plot_adapted_geometry/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_adapted_geometry/{questions}/seed{seed}.tsv"
    params:
        inputs=as_options,
        settings=settings(),


use rule plot_scatter as plot_predictors with:
    input:
        program="workflow_scripts/plot_predictors.py",
        code=code_of("plot_predictors.py"),
        predictors=f"{ANALYSIS}/predictors.json",
    output:
        **figure("{questions}/seed{seed}/predictors"),
    log:
        "logs/{experiment}/plot_predictors/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_predictors/{questions}/seed{seed}.tsv"
    params:
        inputs=as_options,
        settings=settings(),


use rule plot_scatter as plot_question_sets with:
    input:
        program="workflow_scripts/plot_question_sets.py",
        code=code_of("plot_question_sets.py"),
        question_sets="results/{experiment}/analysis/question_sets/seed{seed}.json",
    output:
        **figure("question_sets/seed{seed}/question_sets"),
    log:
        "logs/{experiment}/plot_question_sets/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_question_sets/seed{seed}.tsv"


use rule plot_scatter as plot_wordings with:
    input:
        program="workflow_scripts/plot_wordings.py",
        code=code_of("plot_wordings.py"),
        wordings=f"{ANALYSIS}/wordings.json",
    output:
        **figure("{questions}/seed{seed}/wordings"),
    log:
        "logs/{experiment}/plot_wordings/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_wordings/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_variants with:
    input:
        program="workflow_scripts/plot_variants.py",
        code=code_of("plot_variants.py"),
        pairs=f"{ANALYSIS}/pairs.csv",
        tables=f"{ANALYSIS}/tables.json",
        variants=f"{ANALYSIS}/variants.json",
    output:
        **figure("{questions}/seed{seed}/variants"),
    log:
        "logs/{experiment}/plot_variants/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_variants/{questions}/seed{seed}.tsv"


use rule plot_scatter as plot_measures with:
    input:
        program="workflow_scripts/plot_measures.py",
        code=code_of("plot_measures.py"),
        table=f"{ANALYSIS}/measures.csv",
        result=f"{ANALYSIS}/measures.json",
    output:
        **figure("{questions}/seed{seed}/measures"),
    log:
        "logs/{experiment}/plot_measures/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_measures/{questions}/seed{seed}.tsv"
    params:
        inputs=as_options,
        settings=settings(),
