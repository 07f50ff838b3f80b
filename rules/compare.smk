"""Compares finished experiments, for the target compare.

out: results/compare/comparison.json, comparison.csv, comparison.pdf, .png, .svg, index.html
"""


# The results are not inputs, because Snakemake would first compute those that are stale or missing. A param has their digests.
rule compare_experiments:
    input:
        code=code_of("compare_experiments.py"),
    output:
        comparison=f"results/{COMPARISON}/comparison.json",
        table=f"results/{COMPARISON}/comparison.csv",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: settings(compared=digests_of(compared_folders())),
        folders=lambda wildcards: compared_folders(),
    shell:
        r"""
        python workflow_scripts/compare_experiments.py --settings {params.settings:q} --folders {params.folders:q} \
            --table {output.table:q} --output {output.comparison:q} 2>&1 | tee {log:q}
        """


use rule plot_scatter as plot_comparison with:
    input:
        **figure_inputs("comparison", comparison=f"results/{COMPARISON}/comparison.json"),
    output:
        pdf=f"results/{COMPARISON}/comparison.pdf",
        png=f"results/{COMPARISON}/comparison.png",
        svg=f"results/{COMPARISON}/comparison.svg",


rule build_comparison:
    input:
        code=code_of("build_comparison.py"),
        page_parts=[f"{PAGE_FOLDER}/{name}" for name in ("compare.html.j2", "style.css", "captions/comparison.rst")],
        comparison=f"results/{COMPARISON}/comparison.json",
        figure=f"results/{COMPARISON}/comparison.png",
    output:
        f"results/{COMPARISON}/index.html",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/build_comparison.py --settings {params.settings:q} --comparison {input.comparison:q} \
            --figure {input.figure:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """
