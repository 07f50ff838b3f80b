"""Repeats the measurement with other prompts: several question sets, paraphrases, no persona. Each only if the config asks for it.

out: analysis/question_sets/seed{seed}.json; analysis/{questions}/seed{seed}/paraphrases.json, no_persona_prompts.json;
     no_persona_prompts/{questions}/, replies and centroids of the prompts without a persona
"""


rule compare_question_sets:
    input:
        code=code_of("compare_question_sets.py"),
        pairs=each(f"{ANALYSIS}/pairs.csv", "questions"),
        question_counts=each(f"{ANALYSIS}/question_counts.csv", "questions"),
        tables=each(f"{ANALYSIS}/tables.json", "questions"),
    output:
        "results/{experiment}/analysis/question_sets/seed{seed}.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(sets=list(QUESTION_USES), headline_layer=HEADLINE, bootstraps=config["analysis"]["bootstraps"]),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_question_sets.py --settings {params.settings:q} --pairs {input.pairs:q} \
            --question-counts {input.question_counts:q} --tables {input.tables:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


rule compare_paraphrases:
    input:
        **tables("pairs", "cosines", "question_counts", "tables"),
        code=code_of("compare_paraphrases.py"),
    output:
        f"{ANALYSIS}/paraphrases.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(personas=personas_block(PANEL, "role", "paraphrase"), headline_layer=HEADLINE, **RESAMPLES),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/compare_paraphrases.py --settings {params.settings:q} --personas {params.personas_file:q} \
            --pairs {input.pairs:q} --cosines {input.cosines:q} --question-counts {input.question_counts:q} --tables {input.tables:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


# Before all other centroids and replies (priority): a chat template that cannot express a prompt is an error here.
# Only the headline layer: Snakemake stops comparing a job that gains an output which nothing asks for.
use rule extract_centroids as extract_no_persona_centroids with:
    output:
        centroids=f"{NO_PERSONA}/base/centroids_layer{HEADLINE}.pt",
        meta=f"{NO_PERSONA}/base/centroids.json",
    priority: 30
    params:
        settings=lambda wildcards: settings(
            no_persona_prompts=config["personas"]["no_persona_prompts"],
            questions=questions_block(QUESTION_USES[wildcards.questions]),
            suffix=config["questions"]["suffix"],
            layers=[HEADLINE],
            position=POSITIONS[0],
            precision=config["geometry"]["precision"],
        ),


use rule sample_base_completions as sample_base_no_persona_completions with:
    output:
        completions=f"{NO_PERSONA}/base/completions.jsonl.gz",
        meta=f"{NO_PERSONA}/base/completions.json",
    params:
        settings=partial(sampling_settings, adapted=False, no_persona_prompts=True),


use rule sample_completions as sample_no_persona_completions with:
    output:
        completions=f"{NO_PERSONA}/{{source}}/seed{{seed}}/completions.jsonl.gz",
        meta=f"{NO_PERSONA}/{{source}}/seed{{seed}}/completions.json",
    params:
        settings=partial(sampling_settings, adapted=True, no_persona_prompts=True),


rule compare_no_persona_prompts:
    input:
        **tables("pairs", "tables"),
        code=code_of("compare_no_persona_prompts.py", KIND_CODE),
        model=MODEL,
        completions=ancient(each(f"{NO_PERSONA}/{{state}}/completions.jsonl.gz", "state")),
        completions_meta=each(f"{NO_PERSONA}/{{state}}/completions.json", "state"),
        centroids=ancient([f"{NO_PERSONA}/base/centroids_layer{HEADLINE}.pt", f"{GEOMETRY}/centroids_layer{HEADLINE}.pt"]),
        centroids_meta=[f"{NO_PERSONA}/base/centroids.json", f"{GEOMETRY}/centroids.json"],
    output:
        f"{ANALYSIS}/no_persona_prompts.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
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
            python workflow_scripts/compare_no_persona_prompts.py --settings {params.settings:q} --model {input.model:q} \
            --completions {input.completions:q} --completions-meta {input.completions_meta:q} --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} --pairs {input.pairs:q} --tables {input.tables:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """
