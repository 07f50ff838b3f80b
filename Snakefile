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
include: "rules/panels.smk"
include: "rules/adapted_geometry.smk"
include: "rules/measures.smk"
include: "rules/along_training.smk"
include: "rules/figures.smk"
include: "rules/containment.smk"
include: "rules/score.smk"


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


rule adapters:
    input:
        ADAPTERS,


rule evaluations:
    input:
        EVALUATIONS,


rule centroids:
    input:
        CENTROIDS,


rule compare:
    input:
        COMPARISON_FILES,


rule contain:
    input:
        PROPOSED_NEGATIVES,


rule correlations:
    input:
        CORRELATIONS,


rule figures:
    input:
        FIGURES,


rule hub:
    input:
        HUB_RECEIPTS,


rule inspect:
    input:
        INSPECT_LOGS,


rule predictions:
    input:
        PREDICTIONS if config["predict_from"] else lambda wildcards: no_study(),


rule report:
    input:
        REPORT,


rule scatter:
    input:
        SCATTERS,


rule scores:
    input:
        PREDICTION_SCORES,


rule tables:
    input:
        TABLE_ARCHIVE,


rule wandb:
    input:
        WANDB_RECEIPTS,


name_logs(workflow.rules)
note_contents(workflow.rules)
