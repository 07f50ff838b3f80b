"""Figures, each from small tables alone, as pdf, png and svg. Every rule after the first is the first with other files.

in:  analysis/{questions}/seed{seed}/, evaluation/{questions}/, training/{source}/seed{seed}/metrics.json
out: figures/{questions}/seed{seed}/*.pdf, .png, .svg; figures/training.pdf, .png, .svg
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
    plot_sweep,
    plot_category_correlations,
    plot_noise_ceiling,
    plot_replies,
    plot_training,


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
        settings=settings(headline_layer=config["geometry"]["headline_layer"]),
    shell:
        r"""
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
        settings=settings(sources=SOURCES, seeds=SEEDS),
