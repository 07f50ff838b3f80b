"""Exports finished results to other services and tools, only when asked for by name: never part of `all`.

out: inspect/{questions}/{source}/seed{seed}.eval, inspect/{questions}/base.eval
     published/wandb/{source}/seed{seed}.json, published/wandb/experiment.json: receipts of the runs on Weights & Biases
     published/hub/{source}/seed{seed}.json: receipts of the repositories on the Hugging Face hub
     published/tables/: copies of the small files, and checksums.json
     paper/: a write-up in LaTeX with macros, tables, figures and references, and a table in Markdown
"""


rule export_inspect:
    input:
        code=code_of("export_inspect.py", KIND_CODE),
        completions=f"{EVALUATION}/{{state}}/completions.jsonl.gz",
        completions_meta=f"{EVALUATION}/{{state}}/completions.json",
        cells=f"{EVALUATION}/{{state}}/{CELLS}",
    output:
        "results/{experiment}/inspect/{questions}/{state}.eval",
    wildcard_constraints:
        state=r"base|[^/]+/seed\d+",
    conda:
        "../envs/inspect.yaml"
    resources:
        **more_each_attempt(mem_mb=6000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        packages=pins("inspect", "inspect-ai"),
        settings=lambda wildcards: settings(
            experiment=EXPERIMENT,
            questions=wildcards.questions,
            suffix=config["questions"]["suffix"],
            personas=personas_block(PANEL, "prompt", "category"),
        ),
    shell:
        r"""
        python workflow_scripts/export_inspect.py --settings {params.settings:q} --personas {params.personas_file:q} \
            --completions {input.completions:q} --completions-meta {input.completions_meta:q} --cells {input.cells:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule publish_wandb:
    input:
        code=code_of("publish_wandb.py"),
        files=[
            f"{TRAINING}/manifest.json",
            f"{TRAINED}/metrics.json",
            *of_each_set(
                f"{{source}}/seed{{seed}}/{CELLS}",
                "{source}/seed{seed}/summary.json",
                *(f"{{source}}/seed{{seed}}/{name}" for name in RECORDS_META),
            ),
        ],
        large=ancient(of_each_set(f"{{source}}/seed{{seed}}/{RECORDS}")),
    output:
        "results/{experiment}/published/wandb/{source}/seed{seed}.json",
    localrule: True
    conda:
        "../envs/publishing.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        adapter=lambda wildcards: f"--source {wildcards.source} --seed {wildcards.seed}",
        settings=publishing_settings("wandb", questions=list(QUESTION_USES)),
    shell:
        r"""
        python workflow_scripts/publish_wandb.py --settings {params.settings:q} {params.adapter} \
            --results results/{wildcards.experiment:q} --run-folders results/{wildcards.experiment:q}/published/wandb \
            --files {input.files:q} {input.large:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


use rule publish_wandb as publish_wandb_experiment with:
    input:
        code=code_of("publish_wandb.py"),
        files=[
            "results/{experiment}/run_config.yaml",
            *of_each_set(*(f"base/{name}" for name in (CELLS, "summary.json", *RECORDS_META))),
            *ending(CENTROIDS, ".json"),
            *ending(CORRELATIONS, ".csv", ".json"),
            *ending(REPORT, ".html", ".json"),
        ],
        large=ancient(of_each_set(f"base/{RECORDS}") + ending(CENTROIDS, ".pt")),
    output:
        "results/{experiment}/published/wandb/experiment.json",
    params:
        adapter="",
        settings=publishing_settings("wandb", questions=list(QUESTION_USES), seeds=SEEDS),


rule publish_hub:
    input:
        code=code_of("publish_hub.py", KIND_CODE),
        page_parts=[ancient("workflow_scripts/persona_leakage/publishing/model_card.md.j2")],
        weights=ancient(f"{TRAINED}/adapter/adapter_model.safetensors"),
        config=f"{TRAINED}/adapter/adapter_config.json",
        metrics=f"{TRAINED}/metrics.json",
        manifest=f"{TRAINING}/manifest.json",
        summaries=of_each_set("{source}/seed{seed}/summary.json"),
    output:
        "results/{experiment}/published/hub/{source}/seed{seed}.json",
    localrule: True
    conda:
        "../envs/publishing.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=publishing_settings("hub", questions=list(QUESTION_USES), model=config["model"]),
    shell:
        r"""
        python workflow_scripts/publish_hub.py --settings {params.settings:q} --weights {input.weights:q} --config {input.config:q} \
            --metrics {input.metrics:q} --manifest {input.manifest:q} --summaries {input.summaries:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule archive_tables:
    input:
        code=code_of("archive_tables.py"),
        files=SMALL_FILES,
    output:
        "results/{experiment}/published/tables/checksums.json",
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        home=lambda wildcards: f"results/{wildcards.experiment}",
    shell:
        r"""
        python workflow_scripts/archive_tables.py --results {params.home:q} --files {input.files:q} --output {output:q} \
            2>&1 | tee {log:q}
        """


rule write_paper:
    input:
        code=code_of("write_paper.py", KIND_CODE),
        page_parts=PAPER_FILES + [path for path in PAGE_FILES if "/captions/" in path],
        files=[
            "results/{experiment}/run_config.yaml",
            *each(f"{TRAINING}/manifest.json", "source"),
            *each(f"{TRAINED}/metrics.json", "source", "seed"),
            *each(f"{BASE_EVALUATION}/summary.json", "questions"),
            *each([f"{ANALYSIS}/correlation.json"], "questions", "seed"),
            *ending(CORRELATIONS, "seeds.json"),
            "results/{experiment}/report/facts.json",
        ],
        figures=PAPER_FIGURES,
    output:
        paper="results/{experiment}/paper/paper.tex",
        parts=[path.replace(f"results/{EXPERIMENT}/", "results/{experiment}/", 1) for path in PAPER[1:]],
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        packages=pins("analysis", "jinja2"),
    shell:
        r"""
        python workflow_scripts/write_paper.py --results results/{wildcards.experiment:q} --figures {input.figures:q} \
            --output {output.paper:q} 2>&1 | tee {log:q}
        """
