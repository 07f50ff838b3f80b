"""Finished results in other people's formats; asked for by name, never part of `all`.

in:  evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz, and of the base model
out: inspect/{questions}/{source}/seed{seed}.eval, inspect/{questions}/base.eval
"""


rule export_inspect:
    input:
        code=code_of("export_inspect.py"),
        completions=f"{EVALUATION}/{{state}}/completions.jsonl.gz",
        completions_meta=f"{EVALUATION}/{{state}}/completions.json",
        marker_eval=f"{EVALUATION}/{{state}}/marker_eval.json",
    output:
        "results/{experiment}/inspect/{questions}/{state}.eval",
    log:
        "logs/{experiment}/export_inspect/{questions}/{state}.log",
    benchmark:
        "benchmarks/{experiment}/export_inspect/{questions}/{state}.tsv"
    wildcard_constraints:
        state=r"base|[^/]+/seed\d+",
    conda:
        "../envs/inspect.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=30,
    params:
        personas_file=untracked(config["personas"]["file"]),
        packages=pins("inspect", "inspect-ai"),
        settings=lambda wildcards: settings(
            experiment=EXPERIMENT,
            questions=wildcards.questions,
            marker=config["behaviour"]["marker"],
            suffix=config["questions"]["suffix"],
            personas=personas_block(PANEL, "prompt", "category"),
        ),
    shell:
        r"""
        python workflow_scripts/export_inspect.py \
            --settings {params.settings:q} \
            --personas {params.personas_file:q} \
            --completions {input.completions:q} \
            --completions-meta {input.completions_meta:q} \
            --marker-eval {input.marker_eval:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
