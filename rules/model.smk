"""Fetches the base model, and records the run's config.

out: resources/models/{model}/model.json, results/{experiment}/run_config.yaml
"""


rule fetch_model:
    input:
        code=code_of("fetch_model.py"),
    output:
        manifest="resources/models/{model}/model.json",
    log:
        "logs/fetch_model/{model}.log",
    benchmark:
        "benchmarks/fetch_model/{model}.tsv"
    retries: 2 if config["model"]["source"] == "hub" else 0
    localrule: True  # on a cluster, the host that submits has the network
    conda:
        "../envs/inference.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        settings=settings(model=config["model"]),
        # Untracked: later jobs check the texts that they use themselves.
        texts=lambda wildcards, input: settings(**TEXTS),
    shell:
        r"""
        python workflow_scripts/fetch_model.py --settings {params.settings:q} --texts {params.texts:q} --manifest {output.manifest:q} \
            2>&1 | tee {log:q}
        """


rule write_run_config:
    input:
        code=code_of("write_run_config.py"),
    output:
        "results/{experiment}/run_config.yaml",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=settings(**without(config, "publishing", "compare", "predict_from")),
    shell:
        r"""
        python workflow_scripts/write_run_config.py --settings {params.settings:q} --output {output:q} \
            2>&1 | tee {log:q}
        """
