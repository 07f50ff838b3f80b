"""Draws figures as pdf, png and svg, each from small tables. Every rule after the first is the first with other files.

out: figures/
"""


rule plot_scatter:
    input:
        **figure_inputs("scatter", **tables("pairs", "tables"), correlation=f"{ANALYSIS}/correlation.json"),
    output:
        **figure("{questions}/seed{seed}/scatter"),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        name=lambda wildcards, output: Path(output.pdf).stem,
        inputs=as_options,
        packages=pins("analysis", "matplotlib"),
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/plot_figure.py {params.name} --settings {params.settings:q} {params.inputs} --output {output.pdf:q} \
            2>&1 | tee {log:q}
        """


use rule plot_scatter as plot_category_scatter with:
    input:
        **figure_inputs("category_scatter", **tables("pairs", "tables")),
    output:
        **figure("{questions}/seed{seed}/category_scatter"),
    params:
        settings=settings(headline_layer=HEADLINE),


use rule plot_scatter as plot_category_rates with:
    input:
        **figure_inputs("category_rates", correlation=f"{ANALYSIS}/correlation.json"),
    output:
        **figure("{questions}/seed{seed}/category_rates"),


use rule plot_scatter as plot_category_correlations with:
    input:
        **figure_inputs("category_correlations", correlation=f"{ANALYSIS}/correlation.json"),
    output:
        **figure("{questions}/seed{seed}/category_correlations"),


use rule plot_scatter as plot_containment with:
    input:
        **figure_inputs("containment", containment=f"{ANALYSIS}/containment.json"),
    output:
        **figure("{questions}/seed{seed}/containment"),


use rule plot_scatter as plot_heat_map with:
    input:
        **figure_inputs("heat_map", **tables("pairs", "tables")),
    output:
        **figure("{questions}/seed{seed}/heat_map"),


# Of behaviours that the base model may show.
use rule plot_scatter as plot_base_to_after with:
    input:
        **figure_inputs("base_to_after", **tables("pairs", "tables")),
    output:
        **figure("{questions}/seed{seed}/base_to_after"),


# Of replies that a model judges by two scores.
use rule plot_scatter as plot_judged_scores with:
    input:
        **figure_inputs(
            "judged_scores",
            judgements=[f"{BASE_EVALUATION}/judgements.jsonl.gz", *each(f"{ADAPTED}/judgements.jsonl.gz", "source")],
            summaries=[f"{BASE_EVALUATION}/summary.json", *each(f"{ADAPTED}/summary.json", "source")],
            prompts=config["behaviour"].get("prompts") or [],
        ),
    output:
        **figure("{questions}/seed{seed}/judged_scores"),


use rule plot_scatter as plot_cosines with:
    input:
        **figure_inputs("cosines", **tables("pairs", "tables"), cosines=f"{ANALYSIS}/cosines.csv"),
    output:
        **figure("{questions}/seed{seed}/cosines"),
    params:
        settings=settings(headline_layer=HEADLINE),


use rule plot_scatter as plot_layers with:
    input:
        **figure_inputs("layers", correlation=f"{ANALYSIS}/correlation.json"),
    output:
        **figure("{questions}/seed{seed}/layers"),


use rule plot_scatter as plot_robustness with:
    input:
        **figure_inputs("robustness", robustness=f"{ANALYSIS}/robustness.json"),
    output:
        **figure("{questions}/seed{seed}/robustness"),


use rule plot_scatter as plot_replies with:
    input:
        **figure_inputs("replies", cells=each(f"{ADAPTED}/{CELLS}", "source"), base_eval=f"{BASE_EVALUATION}/{CELLS}"),
    output:
        **figure("{questions}/seed{seed}/replies"),


use rule plot_scatter as plot_chosen_options with:
    input:
        **figure_inputs("chosen_options", evals=each(f"{ADAPTED}/{CELLS}", "source"), base_eval=f"{BASE_EVALUATION}/{CELLS}"),
    output:
        **figure("{questions}/seed{seed}/chosen_options"),


use rule plot_scatter as plot_training with:
    input:
        **figure_inputs("training", metrics=each(f"{TRAINED}/metrics.json", "source", "seed")),
    output:
        **figure("training"),


use rule plot_scatter as plot_seed_stability with:
    input:
        **figure_inputs("seed_stability", seeds="results/{experiment}/analysis/{questions}/seeds.json"),
    output:
        **figure("{questions}/seed_stability"),


use rule plot_scatter as plot_predictors with:
    input:
        **figure_inputs("predictors", predictors=f"{ANALYSIS}/predictors.json"),
    output:
        **figure("{questions}/seed{seed}/predictors"),


use rule plot_scatter as plot_sweep with:
    input:
        **figure_inputs("sweep", sweep=f"{ANALYSIS}/sweep.json"),
    output:
        **figure("{questions}/seed{seed}/sweep"),


use rule plot_scatter as plot_question_sets with:
    input:
        **figure_inputs("question_sets", question_sets="results/{experiment}/analysis/question_sets/seed{seed}.json"),
    output:
        **figure("question_sets/seed{seed}/question_sets"),


use rule plot_scatter as plot_paraphrases with:
    input:
        **figure_inputs("paraphrases", paraphrases=f"{ANALYSIS}/paraphrases.json"),
    output:
        **figure("{questions}/seed{seed}/paraphrases"),


use rule plot_scatter as plot_no_persona_prompts with:
    input:
        **figure_inputs("no_persona_prompts", **tables("pairs", "tables"), no_persona_prompts=f"{ANALYSIS}/no_persona_prompts.json"),
    output:
        **figure("{questions}/seed{seed}/no_persona_prompts"),


use rule plot_scatter as plot_adapted_geometry with:
    input:
        **figure_inputs("adapted_geometry", table=f"{ANALYSIS}/adapted_geometry.csv", result=f"{ANALYSIS}/adapted_geometry.json"),
    output:
        **figure("{questions}/seed{seed}/adapted_geometry"),


use rule plot_scatter as plot_measures with:
    input:
        **figure_inputs("measures", table=f"{ANALYSIS}/measures.csv", result=f"{ANALYSIS}/measures.json"),
    output:
        **figure("{questions}/seed{seed}/measures"),


use rule plot_scatter as plot_along_training with:
    input:
        **figure_inputs("along_training", tables=f"{ANALYSIS}/along_training.csv"),
    output:
        **figure("{questions}/seed{seed}/along_training"),
