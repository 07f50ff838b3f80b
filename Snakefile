from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

if Path.cwd().resolve() != Path(workflow.basedir).resolve():
    raise WorkflowError(
        f"{workflow.basedir}: Snakemake must run in this folder (cd there, without -s and --directory);"
        " each experiment has its own folder under results/, by its name in the config"
    )


configfile: "config.yaml"


include: "rules/config.smk"
include: "rules/settings.smk"
include: "rules/staleness.smk"
include: "rules/paths.smk"
include: "rules/model.smk"
include: "rules/training_data.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"


if config["training_data"]["rows"]:

    include: "rules/row_files.smk"


if JUDGED:

    include: "rules/judges.smk"


if not SAMPLES:

    include: "rules/choices.smk"


include: "rules/geometry.smk"
include: "rules/analysis.smk"
include: "rules/other_prompts.smk"
include: "rules/adapted_geometry.smk"
include: "rules/measures.smk"
include: "rules/along_training.smk"
include: "rules/figures.smk"
include: "rules/containment.smk"
include: "rules/score_predictions.smk"


if config["predict_from"]:

    include: "rules/predict.smk"


include: "rules/report.smk"
include: "rules/publishing.smk"
include: "rules/compare.smk"


rule all:
    default_target: True
    input:
        RUN_CONFIG,
        ADAPTERS,
        EVALUATIONS,
        CENTROIDS,
        CORRELATIONS,
        FIGURES,
        REPORT,


# Parts of it, and what only runs when asked for: snakemake TARGET.
TARGETS = {
    "adapters": ADAPTERS,
    "evaluations": EVALUATIONS,
    "centroids": CENTROIDS,
    "compare": COMPARISON_FILES,
    "contain": PROPOSED_NEGATIVES,
    "correlations": CORRELATIONS,
    "figures": FIGURES,
    "hub": HUB_RECEIPTS,
    "inspect": INSPECT_LOGS,
    "paper": PAPER,
    "predictions": PREDICTIONS if config["predict_from"] else lambda wildcards: no_study(),
    "report": REPORT,
    "scatter": SCATTERS,
    "scores": PREDICTION_SCORES,
    "tables": TABLE_ARCHIVE,
    "wandb": WANDB_RECEIPTS,
}
for target, files in TARGETS.items():

    rule:
        name:
            target
        input:
            files,


# On a cluster the submitting host draws figures, seconds each, and publishes; "use rule" does not inherit localrule.
workflow.localrules(*(each.name for each in workflow.rules if each.name.startswith(("plot_", "publish_"))))
name_logs(workflow.rules)
note_contents(workflow.rules)
