"""Question sets, wordings and prompts without a persona, each when the config asks for it.

in:  analysis/{questions}/seed{seed}/pairs.csv and its side tables, training/{source}/seed{seed}/adapter/
out: analysis/question_sets/seed{seed}.json; analysis/{questions}/seed{seed}/wordings.json, variants.json;
     variants/{questions}/, replies and centroids of the prompts without a persona
"""


rule compare_question_sets:
    input:
        code=code_of("compare_question_sets.py"),
        pairs=of_each_analysis("pairs.csv"),
        question_counts=of_each_analysis("question_counts.csv"),
        tables=of_each_analysis("tables.json"),
    output:
        "results/{experiment}/analysis/question_sets/seed{seed}.json",
    log:
        "logs/{experiment}/compare_question_sets/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/compare_question_sets/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(
            sets=list(QUESTION_USES),
            headline_layer=config["geometry"]["headline_layer"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_question_sets.py \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule describe_wordings:
    input:
        code=code_of("describe_wordings.py"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        cosines="results/{experiment}/analysis/{questions}/seed{seed}/cosines.csv",
        question_counts="results/{experiment}/analysis/{questions}/seed{seed}/question_counts.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/wordings.json",
    log:
        "logs/{experiment}/describe_wordings/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/describe_wordings/{questions}/seed{seed}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        personas_file=PERSONAS_FILE,
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(
            personas=personas_block(PANEL, "role", "wording"),
            headline_layer=config["geometry"]["headline_layer"],
            permutations=config["analysis"]["permutations"],
            bootstraps=config["analysis"]["bootstraps"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/describe_wordings.py \
            --settings {params.settings:q} \
            --personas {params.personas_file:q} \
            --pairs {input.pairs:q} \
            --cosines {input.cosines:q} \
            --question-counts {input.question_counts:q} \
            --tables {input.tables:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


# In front of the other centroids and all replies: it is here that a model whose chat template cannot express a variant is refused.
# Of the headline layer alone: Snakemake stops comparing a job that gains an output which nothing asks for.
use rule extract_centroids as extract_variant_centroids with:
    output:
        centroids=f"results/{{experiment}}/variants/{{questions}}/base/centroids_layer{HEADLINE}.pt",
        meta="results/{experiment}/variants/{questions}/base/centroids.json",
    log:
        "logs/{experiment}/extract_variant_centroids/{questions}.log",
    benchmark:
        "benchmarks/{experiment}/extract_variant_centroids/{questions}.tsv"
    priority: 30
    params:
        trained_with=TRAINED_WITH,
        personas_file=PERSONAS_FILE,
        questions_file=untracked(config["questions"]["file"]),
        folder=subpath(output.meta, parent=True),
        restart="results/.kept/hidden_states",
        settings=lambda wildcards: settings(
            no_persona_prompts=config["personas"]["no_persona_prompts"],
            questions=questions_block(QUESTION_USES[wildcards.questions]),
            suffix=config["questions"]["suffix"],
            layers=[HEADLINE],
            position=POSITIONS[0],
            precision=config["geometry"]["precision"],
        ),


use rule sample_base_completions as sample_base_variants with:
    output:
        completions="results/{experiment}/variants/{questions}/base/completions.jsonl.gz",
        meta="results/{experiment}/variants/{questions}/base/completions.json",
    log:
        "logs/{experiment}/sample_variants/{questions}/base.log",
    benchmark:
        "benchmarks/{experiment}/sample_variants/{questions}/base.tsv"
    params:
        settings=partial(sampling_settings, adapted=False, variants=True),


use rule sample_completions as sample_variants with:
    output:
        completions="results/{experiment}/variants/{questions}/{source}/seed{seed}/completions.jsonl.gz",
        meta="results/{experiment}/variants/{questions}/{source}/seed{seed}/completions.json",
    log:
        "logs/{experiment}/sample_variants/{questions}/{source}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/sample_variants/{questions}/{source}/seed{seed}.tsv"
    params:
        settings=partial(sampling_settings, adapted=True, variants=True),


rule describe_variants:
    input:
        code=code_of("describe_variants.py"),
        model=MODEL,
        completions=ancient(variant_files("completions.jsonl.gz")),
        completions_meta=variant_files("completions.json"),
        centroids=ancient(headline_centroids("centroids_layer{layer}.pt")),
        centroids_meta=headline_centroids("centroids.json"),
        pairs="results/{experiment}/analysis/{questions}/seed{seed}/pairs.csv",
        tables="results/{experiment}/analysis/{questions}/seed{seed}/tables.json",
    output:
        "results/{experiment}/analysis/{questions}/seed{seed}/variants.json",
    log:
        "logs/{experiment}/describe_variants/{questions}/seed{seed}.log",
    benchmark:
        "benchmarks/{experiment}/describe_variants/{questions}/seed{seed}.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packages=pins("inference", "numpy", "scipy"),
        settings=settings(
            no_persona_prompts=config["personas"]["no_persona_prompts"],
            sources=SOURCES,
            behaviour=config["behaviour"],
            suffix=config["questions"]["suffix"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/describe_variants.py \
            --settings {params.settings:q} \
            --model {input.model:q} \
            --completions {input.completions:q} \
            --completions-meta {input.completions_meta:q} \
            --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} \
            --pairs {input.pairs:q} \
            --tables {input.tables:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
