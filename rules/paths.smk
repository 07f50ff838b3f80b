"""Defines the path patterns of the rules and the files of each target. An optional analysis that is off adds none."""

TRAINING = "results/{experiment}/training/{source}"
TRAINED = f"{TRAINING}/seed{{seed}}"
SNAPSHOT = f"{TRAINED}/snapshots/{{snapshot}}"
EVALUATION = "results/{experiment}/evaluation/{questions}"
ADAPTED = f"{EVALUATION}/{{source}}/seed{{seed}}"
BASE_EVALUATION = f"{EVALUATION}/base"
GEOMETRY = "results/{experiment}/geometry/{questions}/base"
ADAPTED_STATES = "results/{experiment}/geometry/{questions}/{source}-seed{seed}"
ANALYSIS = "results/{experiment}/analysis/{questions}/seed{seed}"
NO_PERSONA = "results/{experiment}/no_persona_prompts/{questions}"
# The file with a cell per persona.
CELLS = trait(config["behaviour"], "cells_file", "cells.json")
# The file with the second outcome (the gain in log-probability), if it is measured; the records of replies or items.
SECOND_OUTCOME = "teacher_forced.json" if TEACHER_FORCED else None if SAMPLES else CELLS
RECORDS = "completions.jsonl.gz" if SAMPLES else "items.jsonl.gz"
RECORDS_META = ["completions.json"] if SAMPLES else []
PREDICTION = "results/{experiment}/predictions"
FROZEN = f"results/{EXPERIMENT}/predictions/predictions.json"
FIRST_QUESTIONS = next(iter(QUESTION_USES))
JUDGED = KIND == "judged"
JUDGEMENTS = ["judgements.jsonl.gz", "judgements.json"] if JUDGED else []
HELD_OUT = f"results/{{experiment}}/geometry/{HELD_OUT_QUESTIONS['set']}/base"
# Centroids of training questions, so that no evaluated question decides which negatives are trained.
HELD_OUT_CENTROIDS = {"centroids": f"{HELD_OUT}/centroids_layer{HEADLINE}.pt", "centroids_meta": f"{HELD_OUT}/centroids.json"}
PAGE_FOLDER = "workflow_scripts/persona_leakage/reporting/page"
PAGE_FILES = sorted(str(path.relative_to(workflow.basedir)) for path in (Path(workflow.basedir) / PAGE_FOLDER).rglob("[!.]*.*"))
PAPER_FOLDER = "workflow_scripts/persona_leakage/reporting/paper"
PAPER_FILES = sorted(str(path.relative_to(workflow.basedir)) for path in (Path(workflow.basedir) / PAPER_FOLDER).glob("[!.]*.j2"))

# How often the base model shows the behaviour. Training rows depend on it, unless the base model never does.
BASE_SUMMARY = f"{BASE_EVALUATION}/summary.json".replace("{questions}", next(iter(QUESTION_USES)))
HAS_BASE_RATE = trait(config["behaviour"], "has_base_rate", True)
BASE_SHOWS = {"base_summary": BASE_SUMMARY} if HAS_BASE_RATE else {}

# The file that the scorer of a behaviour reads, if it reads one.
WORDS = {"lexicon": config["behaviour"].get("lexicon"), "refusal": "resources/behaviours/refusal_patterns.txt"}
SCORER_WORDS = {"words": words} if (words := WORDS.get(config["behaviour"].get("scorer"))) else {}

# The inputs of a rule that uses an adapter, and of the same rule for the base model.
ADAPTER = {
    "weights": ancient(f"{TRAINED}/adapter/adapter_model.safetensors"),
    "config": f"{TRAINED}/adapter/adapter_config.json",
    "metrics": f"{TRAINED}/metrics.json",
    "rows": ancient(f"{TRAINING}/manifest.json"),
}
NO_ADAPTER = {"weights": [], "metrics": [], "rows": []}

# Control adapters and those with other negatives have names of their own: villain-clean, villain-nearest2.
CONTROL_SOURCES = [f"{source}-{control}" for control in CONTROLS for source in SOURCES]
VARIANT_SOURCES = [f"{source}-{variant}" for variant in NEGATIVE_VARIANTS for source in SOURCES]

VALUES = {
    "source": SOURCES,
    "trained": [*SOURCES, *CONTROL_SOURCES, *VARIANT_SOURCES],
    "variant": VARIANT_SOURCES,
    "seed": SEEDS,
    "snapshot": range(1, SNAPSHOTS + 1),
    "layer": LAYERS,
    "position": POSITIONS,
    "questions": list(QUESTION_USES),
    "kind": ["pdf", "png", "svg"],
    "state": ["base", *(f"{source}/seed{{seed}}" for source in SOURCES)],
}


wildcard_constraints:
    experiment=re.escape(EXPERIMENT),
    source="|".join(map(re.escape, VALUES["trained"])),
    seed="|".join(map(str, SEEDS)),
    snapshot=r"\d+",
    layer="|".join(map(str, LAYERS)),
    questions="|".join(map(re.escape, QUESTION_USES)),
    model=re.escape(config["model"]["name"]),


def each(pattern, *wildcards):
    """The paths of a pattern for all values of the given wildcards; its other wildcards stay."""
    values = {name: VALUES[name] for name in wildcards}
    return expand(pattern, allow_missing=True, **values)


def centroids_of_choice(name):
    """An input of training rows: a file of HELD_OUT_CENTROIDS, nothing unless closeness chooses their negatives."""
    return lambda wildcards: (HELD_OUT_CENTROIDS[name] if chosen_by_closeness(wildcards.source) else [])


CLOSENESS = {name: centroids_of_choice(name) for name in HELD_OUT_CENTROIDS} if CLOSENESS_CHOOSES else {}


def row_options(input):
    """Options of training rows: the base model's summary, which may stop the run, and the centroids that choose negatives."""
    given = {name: input.get(name) for name in ("base_summary", *HELD_OUT_CENTROIDS)}
    return [word for name, path in given.items() if path for word in (f"--{name.replace('_', '-')}", path)]


def of_each_set(*files):
    """Files of evaluation/{questions}/ for each question set, as path patterns."""
    folders = each(EVALUATION, "questions")
    return [f"{folder}/{file}" for folder in folders for file in files]


def tables(*names):
    """Some of the tables of pairs as named inputs or outputs: pairs, cosines, question_counts; tables (what they hold)."""
    return {name: f"{ANALYSIS}/{name}.{'json' if name == 'tables' else 'csv'}" for name in names}


def figure(path):
    """The three outputs of a figure, by their kind; the png appears with its caption in snakemake --report."""
    name = path.rsplit("/", 1)[-1]
    files = {kind: f"results/{{experiment}}/figures/{path}.{kind}" for kind in VALUES["kind"]}
    shown = report(
        files["png"],
        caption=f"../{PAGE_FOLDER}/captions/{name}.rst",
        category="training" if name == "training" else "results",
        labels={"figure": name.replace("_", " ")},
    )
    return {**files, "png": shown}


def as_options(wildcards, input):
    """The named inputs of a job, except its code, as command line options of the same names."""
    options = []
    for name, paths in input.items():
        if name != "code":
            paths = [paths] if isinstance(paths, str) else paths
            options += [f"--{name.replace('_', '-')}", *map(shlex.quote, paths)]
    return " ".join(options)


def name_logs(rules):
    """Name the log and the benchmark of each of ``rules`` that gives none: by the rule and the wildcards of its outputs.

    logs/{experiment}/RULE/{questions}/{source}/seed{seed}.log and benchmarks/, the same with .tsv. Of sample_base_completions
    and the like: sample_completions/{questions}/base.log.
    """
    patterns = {name: f"{{{name}}}" for name in ("questions", "source", "seed", "snapshot", "state")}
    patterns |= {"seed": "seed{seed}", "snapshot": "snapshot{snapshot}"}
    for each in rules:
        if each.shellcmd and not each.log:
            home = "{experiment}" if "experiment" in each.wildcard_names else COMPARISON
            used = [patterns[name] for name in patterns if name in each.wildcard_names]
            folder, base, rest = each.name.partition("_base" if "seed" not in each.wildcard_names else " ")
            path = "/".join([home, folder + rest, *used, *([base[1:]] if base else [])])
            each.log_modifier = each.benchmark_modifier = each.output_modifier
            each.set_log(f"logs/{path}.log")
            each.benchmark = f"benchmarks/{path}.tsv"


def results(*patterns):
    """Every file of this experiment that matches a path pattern under results/{experiment}/."""
    return [path for pattern in patterns for path in expand(f"results/{EXPERIMENT}/{pattern}", **VALUES)]


def when(switch, *patterns):
    """The files of the path patterns (see results) if an optional analysis is on, else none."""
    return results(*patterns) if switch else []


def ending(paths, *suffixes):
    """Those of the paths that have one of the suffixes."""
    return [path for path in paths if path.endswith(suffixes)]


RUN_CONFIG = results("run_config.yaml")
ADAPTERS = [
    *when(SAMPLES and not config["training_data"]["rows"], "training/pool.jsonl.gz"),
    *results(
        "training/{trained}/train.jsonl.gz",
        "training/{trained}/manifest.json",
        "training/{trained}/seed{seed}/adapter/adapter_model.safetensors",
        "training/{trained}/seed{seed}/adapter/adapter_config.json",
        "training/{trained}/seed{seed}/metrics.json",
    ),
]
EVALUATIONS = [
    *results(
        f"evaluation/{{questions}}/{{trained}}/seed{{seed}}/{RECORDS}",
        f"evaluation/{{questions}}/base/{RECORDS}",
        f"evaluation/{{questions}}/{{trained}}/seed{{seed}}/{CELLS}",
        "evaluation/{questions}/{trained}/seed{seed}/summary.json",
        f"evaluation/{{questions}}/base/{CELLS}",
        "evaluation/{questions}/base/summary.json",
    ),
    *when(
        TEACHER_FORCED,
        "evaluation/{questions}/{source}/seed{seed}/teacher_forced.json",
        "evaluation/{questions}/{variant}/seed{seed}/teacher_forced.json",
        "evaluation/{questions}/base/teacher_forced.json",
    ),
]
CENTROIDS = [
    *results("geometry/{questions}/base/centroids_layer{layer}.pt", "geometry/{questions}/base/centroids.json"),
    f"{HELD_OUT}/centroids_layer{HEADLINE}.pt".format(experiment=EXPERIMENT),
    f"{HELD_OUT}/centroids.json".format(experiment=EXPERIMENT),
    *when(
        ADAPTED_GEOMETRY,
        "geometry/{questions}/{source}-seed{seed}/centroids_layer{layer}.pt",
        "geometry/{questions}/{source}-seed{seed}/centroids.json",
    ),
    *when(SWEPT, "geometry/{questions}/base/sweep_{position}.npz", "geometry/{questions}/base/sweep.json"),
]
COMPARISONS = [
    *when(QUESTION_SETS_COMPARED, "analysis/question_sets/seed{seed}.json"),
    *when(PARAPHRASES_COMPARED, "analysis/{questions}/seed{seed}/paraphrases.json"),
    *when(NO_PERSONA_COMPARED, "analysis/{questions}/seed{seed}/no_persona_prompts.json"),
]
OPTIONAL_RESULTS = [
    *when(SNAPSHOTS, "analysis/{questions}/seed{seed}/along_training.json"),
    *when(ADAPTED_GEOMETRY, "analysis/{questions}/seed{seed}/adapted_geometry.json"),
    *when(TEACHER_FORCED, "analysis/{questions}/seed{seed}/measures.json"),
]
PROPOSED_NEGATIVES = results("negatives/proposal.csv", "negatives/proposal.txt")
CONTAINMENT = when(
    NEGATIVE_VARIANTS,
    "analysis/{questions}/seed{seed}/containment.json",
    "analysis/{questions}/seed{seed}/containment.csv",
    "figures/{questions}/seed{seed}/containment.{kind}",
)
CORRELATIONS = [
    *results(
        "analysis/{questions}/seed{seed}/pairs.csv",
        "analysis/{questions}/seed{seed}/cosines.csv",
        "analysis/{questions}/seed{seed}/question_counts.csv",
        "analysis/{questions}/seed{seed}/tables.json",
        "analysis/{questions}/seed{seed}/correlation.json",
        "analysis/{questions}/seed{seed}/robustness.json",
    ),
    *when(len(SEEDS) > 1, "analysis/{questions}/seeds.json"),
    *when(COMPARES_PREDICTORS, "analysis/{questions}/seed{seed}/predictors.json"),
    *COMPARISONS,
    *OPTIONAL_RESULTS,
    *ending(CONTAINMENT, "containment.json", "containment.csv"),
    *when(SWEPT, "analysis/{questions}/seed{seed}/sweep.json"),
]
SCATTERS = results("figures/{questions}/seed{seed}/scatter.{kind}")
FIGURES = [
    *SCATTERS,
    *results(
        "figures/training.{kind}",
        "figures/{questions}/seed{seed}/category_scatter.{kind}",
        "figures/{questions}/seed{seed}/category_rates.{kind}",
        "figures/{questions}/seed{seed}/category_correlations.{kind}",
        "figures/{questions}/seed{seed}/heat_map.{kind}",
        "figures/{questions}/seed{seed}/layers.{kind}",
        "figures/{questions}/seed{seed}/robustness.{kind}",
        "figures/{questions}/seed{seed}/cosines.{kind}",
    ),
    *when(SAMPLES, "figures/{questions}/seed{seed}/replies.{kind}"),
    *when(KIND == "choice", "figures/{questions}/seed{seed}/chosen_options.{kind}"),
    *when(HAS_BASE_RATE, "figures/{questions}/seed{seed}/base_to_after.{kind}"),
    *when(JUDGED and config["behaviour"]["require"], "figures/{questions}/seed{seed}/judged_scores.{kind}"),
    *when(len(SEEDS) > 1, "figures/{questions}/seed_stability.{kind}"),
    *when(COMPARES_PREDICTORS, "figures/{questions}/seed{seed}/predictors.{kind}"),
    *when(QUESTION_SETS_COMPARED, "figures/question_sets/seed{seed}/question_sets.{kind}"),
    *when(PARAPHRASES_COMPARED, "figures/{questions}/seed{seed}/paraphrases.{kind}"),
    *when(NO_PERSONA_COMPARED, "figures/{questions}/seed{seed}/no_persona_prompts.{kind}"),
    *when(ADAPTED_GEOMETRY, "figures/{questions}/seed{seed}/adapted_geometry.{kind}"),
    *when(TEACHER_FORCED, "figures/{questions}/seed{seed}/measures.{kind}"),
    *when(SNAPSHOTS, "figures/{questions}/seed{seed}/along_training.{kind}"),
    *when(SWEPT, "figures/{questions}/seed{seed}/sweep.{kind}"),
    *ending(CONTAINMENT, ".pdf", ".png", ".svg"),
]
REPORT = results("report/index.html", "report/facts.json")
# The write-up shows the first question set and training seed.
PAPER_FIGURES = [
    *results(*(f"figures/{FIRST_QUESTIONS}/seed{SEEDS[0]}/{name}.pdf" for name in ("scatter", "layers", "category_rates"))),
    *when(HAS_BASE_RATE, f"figures/{FIRST_QUESTIONS}/seed{SEEDS[0]}/base_to_after.pdf"),
    *results("figures/training.pdf"),
    *when(len(SEEDS) > 1, f"figures/{FIRST_QUESTIONS}/seed_stability.pdf"),
]
PAPER = results(
    *(f"paper/{name}" for name in ("paper.tex", "macros.tex", "tables.tex", "references.bib", "table.md")),
    *(f"paper/figures/{Path(path).name}" for path in PAPER_FIGURES),
)
INSPECT_LOGS = when(SAMPLES, "inspect/{questions}/base.eval", "inspect/{questions}/{source}/seed{seed}.eval")
WANDB_RECEIPTS = results("published/wandb/{source}/seed{seed}.json", "published/wandb/experiment.json")
HUB_RECEIPTS = results("published/hub/{source}/seed{seed}.json")
TABLE_ARCHIVE = results("published/tables/checksums.json")
COMPARISON_FILES = [
    f"results/{COMPARISON}/{name}"
    for name in ("comparison.json", "comparison.csv", *(f"comparison.{kind}" for kind in VALUES["kind"]), "index.html")
]
PREDICTIONS = results("predictions/predictions.csv", "predictions/predictions.json", "predictions/index.html", "figures/predictions.{kind}")
PREDICTION_SCORES = results("predictions/score.json", "predictions/score.csv", "figures/prediction_scores.{kind}")
# What the numbers and figures are made from, without model, adapters, hidden states and records of each reply.
SMALL_FILES = [
    path
    for path in [*RUN_CONFIG, *ADAPTERS, *EVALUATIONS, *CENTROIDS] + [*CORRELATIONS, *FIGURES, *REPORT]
    if path.endswith((".json", ".csv", ".yaml", ".png")) and "adapter/" not in path and "teacher_forced" not in path
]
