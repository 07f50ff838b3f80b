"""Scores the frozen predictions after training.

out: predictions/score.json, score.csv; figures/prediction_scores
"""


# The predictions are not inputs, because Snakemake would compute them again after training. The settings have their digest.
rule score_predictions:
    input:
        code=code_of("score_predictions.py"),
        pairs=each(f"{ANALYSIS}/pairs.csv".replace("{questions}", FIRST_QUESTIONS), "seed"),
        correlations=each(f"{ANALYSIS}/correlation.json".replace("{questions}", FIRST_QUESTIONS), "seed"),
    output:
        score=f"{PREDICTION}/score.json",
        table=f"{PREDICTION}/score.csv",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        predictions=FROZEN,
        settings=lambda wildcards: settings(
            prompts=personas_block(PANEL, "prompt")["digest"],
            training_recipe=recipe(FIRST_QUESTIONS)["training"],
            measured=measured_digest(),
            predictions=frozen_digest(FROZEN),
        ),
    shell:
        r"""
        python workflow_scripts/score_predictions.py --settings {params.settings:q} --predictions {params.predictions:q} \
            --pairs {input.pairs:q} --correlations {input.correlations:q} \
            --table {output.table:q} --output {output.score:q} 2>&1 | tee {log:q}
        """


use rule plot_scatter as plot_prediction_scores with:
    input:
        **figure_inputs("prediction_scores", scores=f"{PREDICTION}/score.json", table=f"{PREDICTION}/score.csv"),
    output:
        **figure("prediction_scores"),
