"""The files that the workflow's targets ask for, as lists; an axis that is off adds none."""


def results(pattern):
    """Every file of this experiment that matches a path pattern under results/{experiment}/."""
    return expand(
        f"results/{EXPERIMENT}/{pattern}",
        source=SOURCES,
        seed=SEEDS,
        layer=LAYERS,
        position=POSITIONS,
        questions=list(QUESTION_USES),
        kind=["pdf", "png", "svg"],
    )


def when(switch, *patterns):
    """The files of the path patterns (see results) if an axis is switched on, else none."""
    return [path for pattern in patterns for path in results(pattern)] if switch else []


RUN_CONFIG = results("run_config.yaml")
ADAPTERS = [
    *results("training/pool.jsonl.gz"),
    *results("training/{source}/train.jsonl.gz"),
    *results("training/{source}/manifest.json"),
    *results("training/{source}/seed{seed}/adapter/adapter_model.safetensors"),
    *results("training/{source}/seed{seed}/adapter/adapter_config.json"),
    *results("training/{source}/seed{seed}/metrics.json"),
]
COMPARISONS = [
    *(
        results("analysis/question_sets/seed{seed}.json")
        if QUESTION_SETS_COMPARED
        else []
    ),
    *(
        results("analysis/{questions}/seed{seed}/wordings.json")
        if WORDINGS_COMPARED
        else []
    ),
    *(
        results("analysis/{questions}/seed{seed}/variants.json")
        if VARIANTS_COMPARED
        else []
    ),
]
EVALUATIONS = [
    *results("evaluation/{questions}/{source}/seed{seed}/completions.jsonl.gz"),
    *results("evaluation/{questions}/base/completions.jsonl.gz"),
    *results("evaluation/{questions}/{source}/seed{seed}/marker_eval.json"),
    *results("evaluation/{questions}/{source}/seed{seed}/summary.json"),
    *results("evaluation/{questions}/base/marker_eval.json"),
    *results("evaluation/{questions}/base/summary.json"),
    *when(
        TEACHER_FORCED,
        "evaluation/{questions}/{source}/seed{seed}/teacher_forced.json",
        "evaluation/{questions}/base/teacher_forced.json",
    ),
]
CENTROIDS = [
    *results("geometry/{questions}/base/centroids_layer{layer}.pt"),
    *results("geometry/{questions}/base/centroids.json"),
    f"{HELD_OUT}/centroids_layer{HEADLINE}.pt".format(experiment=EXPERIMENT),
    f"{HELD_OUT}/centroids.json".format(experiment=EXPERIMENT),
    *when(
        ADAPTED_GEOMETRY,
        "geometry/{questions}/{source}-seed{seed}/centroids_layer{layer}.pt",
        "geometry/{questions}/{source}-seed{seed}/centroids.json",
    ),
    *(results("geometry/{questions}/base/sweep_{position}.npz") if SWEPT else []),
    *(results("geometry/{questions}/base/sweep.json") if SWEPT else []),
]
AXIS_RESULTS = [
    *when(ADAPTED_GEOMETRY, "analysis/{questions}/seed{seed}/adapted_geometry.json"),
    *when(TEACHER_FORCED, "analysis/{questions}/seed{seed}/measures.json"),
]
CORRELATIONS = [
    *results("analysis/{questions}/seed{seed}/pairs.csv"),
    *results("analysis/{questions}/seed{seed}/cosines.csv"),
    *results("analysis/{questions}/seed{seed}/question_counts.csv"),
    *results("analysis/{questions}/seed{seed}/tables.json"),
    *results("analysis/{questions}/seed{seed}/correlation.json"),
    *results("analysis/{questions}/seed{seed}/robustness.json"),
    *(results("analysis/{questions}/seeds.json") if len(SEEDS) > 1 else []),
    *(
        results("analysis/{questions}/seed{seed}/predictors.json")
        if COMPARES_PREDICTORS
        else []
    ),
    *COMPARISONS,
    *AXIS_RESULTS,
    *(results("analysis/{questions}/seed{seed}/sweep.json") if SWEPT else []),
]
SCATTERS = results("figures/{questions}/seed{seed}/scatter.{kind}")
FIGURES = [
    *SCATTERS,
    *results("figures/training.{kind}"),
    *results("figures/{questions}/seed{seed}/category_scatter.{kind}"),
    *results("figures/{questions}/seed{seed}/category_rates.{kind}"),
    *results("figures/{questions}/seed{seed}/category_correlations.{kind}"),
    *results("figures/{questions}/seed{seed}/heat_map.{kind}"),
    *results("figures/{questions}/seed{seed}/layers.{kind}"),
    *results("figures/{questions}/seed{seed}/robustness.{kind}"),
    *results("figures/{questions}/seed{seed}/noise_ceiling.{kind}"),
    *results("figures/{questions}/seed{seed}/cosines.{kind}"),
    *results("figures/{questions}/seed{seed}/replies.{kind}"),
    *(results("figures/{questions}/seed_stability.{kind}") if len(SEEDS) > 1 else []),
    *(
        results("figures/{questions}/seed{seed}/predictors.{kind}")
        if COMPARES_PREDICTORS
        else []
    ),
    *(
        results("figures/question_sets/seed{seed}/question_sets.{kind}")
        if QUESTION_SETS_COMPARED
        else []
    ),
    *(
        results("figures/{questions}/seed{seed}/wordings.{kind}")
        if WORDINGS_COMPARED
        else []
    ),
    *(
        results("figures/{questions}/seed{seed}/variants.{kind}")
        if VARIANTS_COMPARED
        else []
    ),
    *when(ADAPTED_GEOMETRY, "figures/{questions}/seed{seed}/adapted_geometry.{kind}"),
    *when(TEACHER_FORCED, "figures/{questions}/seed{seed}/measures.{kind}"),
    *(results("figures/{questions}/seed{seed}/sweep.{kind}") if SWEPT else []),
]


INSPECT_LOGS = [
    *results("inspect/{questions}/base.eval"),
    *results("inspect/{questions}/{source}/seed{seed}.eval"),
]
WANDB_RECEIPTS = [
    *results("published/wandb/{source}/seed{seed}.json"),
    *results("published/wandb/experiment.json"),
]
HUB_RECEIPTS = results("published/hub/{source}/seed{seed}.json")
REPORT = results("report/index.html") + results("report/facts.json")
# What the numbers and figures come from, without model, adapters, hidden states and what there is for every reply.
SMALL_FILES = [
    path
    for path in [
        *RUN_CONFIG,
        *ADAPTERS,
        *EVALUATIONS,
        *CENTROIDS,
        *CORRELATIONS,
        *FIGURES,
        *REPORT,
    ]
    if path.endswith((".json", ".csv", ".yaml", ".png"))
    and "/adapter/" not in path
    and "teacher_forced" not in path
]
TABLE_ARCHIVE = results("published/tables/checksums.json")
