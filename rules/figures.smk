"""Figures, each from small tables alone, as pdf, png and svg.

in:  analysis/{questions}/seed{seed}/pairs.csv, correlation.json
out: figures/{questions}/seed{seed}/scatter.pdf, .png, .svg
"""


rule plot_scatter:
    input:
        code=code_of("plot_scatter.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        correlation="results/{experiment}/analysis/{questions}/seed{seed}/correlation.json",
    output:
        pdf="results/{experiment}/figures/{questions}/seed{seed}/scatter.pdf",
        png="results/{experiment}/figures/{questions}/seed{seed}/scatter.png",
        svg="results/{experiment}/figures/{questions}/seed{seed}/scatter.svg",
    log:
        "logs/{experiment}/plot_scatter/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/plot_scatter/{questions}/seed{seed}.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=settings(headline_layer=config["geometry"]["headline_layer"]),
    shell:
        r"""
        python workflow_scripts/plot_scatter.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --correlation {input.correlation:q} \
            --output {output.pdf:q} \
            2>&1 | tee {log:q}
        """
