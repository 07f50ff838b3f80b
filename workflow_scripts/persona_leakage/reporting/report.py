"""The report: one self-contained page from the result files of an experiment."""

import base64
import csv
import hashlib
import importlib.resources
from collections import defaultdict
from pathlib import Path

import yaml
from markupsafe import Markup

from persona_leakage.behaviours.base import behaviour_of_result
from persona_leakage.behaviours.training_check import ADVICE, CUT_ADVICE, CUT_MATTERS, consequence, none_learned, unlearned_sources
from persona_leakage.config.experiment import forced_block
from persona_leakage.infrastructure.files import check_digests, plain, read_json
from persona_leakage.reporting.explorer import explorer_data, pack, pack_json
from persona_leakage.reporting.html_page import PAGE, caption_of, embed_figure, page_template
from persona_leakage.reporting.judge_section import judge_section
from persona_leakage.reporting.numbers import Numbers
from persona_leakage.reporting.replies import choose_samples, marked_pieces, read_replies
from persona_leakage.reporting.sections import FIGURES as PANEL_FIGURES
from persona_leakage.reporting.sections import (
    beginnings_section,
    collect_panels,
    predictors_section,
    robustness_section,
    seeds_section,
    sweep_section,
)
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, MEAN_SCORE, RATE
from persona_leakage.tables.read import read_pairs

LAYER_COLUMNS = (
    ("two", ("pooled", "spearman_rho")),
    ("two", ("within_source_ranks", "rho")),
    ("two", ("within_source", "mean_rho")),
    ("interval", ("within_source", "interval")),
    ("two", ("meta_analysis", "rho")),
    ("interval", ("meta_analysis", "next_source_interval")),
    ("two", ("double_centred", "r")),
    ("interval", ("double_centred", "interval")),
    ("p", ("chance", "association", "p_max_t")),
    ("signed", ("difference_from_headline", "difference")),
    ("interval", ("difference_from_headline", "interval")),
)
FIGURES = (
    "scatter",
    "layers",
    "sweep",
    "category_scatter",
    "category_rates",
    "category_correlations",
    "heat_map",
    "cosines",
    "replies",
    "chosen_options",
    "training",
)
# Each has a section of its own, and is shown only if the config asks for its results, which the function tells.
AXES = {
    "adapted_geometry": lambda config: config["geometry"].get("adapted"),
    "measures": forced_block,
    "along_training": lambda config: config["training"].get("snapshots"),
}
AXIS_FIGURES = (
    "base_to_after",
    "judged_scores",
    "robustness",
    "seed_stability",
    "predictors",
    *PANEL_FIGURES,
    *AXES,
)  # in a section of their own, where they are there
CAPTIONS = {name: caption_of(name) for name in (*FIGURES, *AXIS_FIGURES)}
# Folders of the figures that are not of one question set and seed.
ABOVE = {"training": "figures", "seed_stability": "figures/{questions}", "question_sets": "figures/question_sets/seed{seed}"}


def collect_set(home, questions, seed, sources):
    """All results of one question set and training seed that the page and its explorer show."""
    folder = f"{questions}/seed{seed}"
    correlation = read_json(home / f"analysis/{folder}/correlation.json")
    check_digests([home / f"analysis/{folder}/pairs.csv"], home / f"analysis/{folder}/tables.json")
    layer = str(correlation["headline_layer"])
    block = correlation["layers"][layer]
    evaluations = f"evaluation/{questions}"
    base = read_json(home / f"{evaluations}/base/summary.json")
    summaries = {source: f"{evaluations}/{source}/seed{seed}/summary.json" for source in sources}
    return {
        "title": f"questions '{questions}', training seed {seed}",
        "correlation": f"analysis/{folder}/correlation.json",
        "verdict": correlation["verdict"],
        "means": correlation.get("outcome") == MEAN_SCORE,
        "beginnings": beginnings_section(correlation, layer),
        "controls": {control: list(blocks) for control, blocks in correlation.get("controls", {}).items()},
        "gain": gain_section(correlation["outcomes"][LOGPROB_GAIN]),
        "unlearned": list(unlearned_sources(correlation["training_check"])),
        "none_learned": none_learned(correlation["training_check"]),
        "consequence": consequence(correlation["training_check"]),
        "cut": [name for name in sources if (read_json(home / summaries[name])["training_check"]["cut_share"] or 0) >= CUT_MATTERS],
        "summary_of": summaries,
        "layer": layer,
        "headline_layer": correlation["headline_layer"],
        "layers": list(correlation["layers"]),
        "sources": sources,
        "joint": correlation["joint"]["sources"],
        "left_out": correlation["joint"]["sources_left_out"],
        "relation": {name: relation(part.get("spearman_interval")) for name, part in block["per_source"].items()},
        "with_rho": {name: part["spearman_rho"] is not None for name, part in block["per_source"].items()},
        "correlations": correlations_by_outcome(correlation),
        "ceiling_of": {name: block["disattenuated"]["ceiling_from"] or "samples" for name, block in block["per_source"].items()},
        "specific": block["specificity"]["undefined"] is None,
        "baseline_predictors": list(block["baseline_predictors"]["alone"] or []),
        "predicted": block["prediction"]["leave_one_source_out"]["undefined"] is None,
        "few_sources": block["within_source"]["no_interval_over_sources"] is not None,
        "inverted": [name for name, rates in correlation["leakage"].items() if rates["bystanders_above_source"]],
        "base_summary": f"{evaluations}/base/summary.json",
        "detectors": "found" in base,
        "sampled": "mean_tokens" in base,
        "summaries": [("base model", f"{evaluations}/base/summary.json"), *summaries.items()],
        "pairs": read_pairs(home / f"analysis/{folder}/pairs.csv"),
        "replies": {
            source: read_replies(home / f"{evaluations}/{source}/seed{seed}/completions.jsonl.gz")
            for source in (sources if "mean_tokens" in base else ())
        },
        "file": str(home / f"{evaluations}/{{source}}/seed{seed}/completions.jsonl.gz"),
        "folder": folder,
        "seed_parts": [questions, seed],
        "figure_paths": {
            name: str(home / ABOVE.get(name, f"figures/{folder}").format(questions=questions, seed=seed) / f"{name}.png")
            for name in CAPTIONS
        },
    }


def relation(interval):
    """What the interval of a source's correlation says: closer personas leak "more", "less", or it is "open"; None without one."""
    if interval is None:
        return None
    low, high = interval
    return "more" if low > 0 else "less" if high < 0 else "open"


def correlations_by_outcome(correlation):
    """{outcome: {layer: {source: its block of correlation.json}}} for the explorer."""
    gain = correlation["outcomes"][LOGPROB_GAIN]
    outcomes = {correlation.get("outcome", RATE): correlation["layers"], **({} if gain["undefined"] else {LOGPROB_GAIN: gain["layers"]})}
    return {name: {layer: block["per_source"] for layer, block in layers.items()} for name, layers in outcomes.items()}


def gain_section(gain):
    """What the page shows of the second outcome: the indices of its answers, the sources that it alone judges; None if unmeasured."""
    if gain["undefined"]:
        return None
    return {"answers": range(len(gain["verdict"])), "alone": list(gain["judged_by_it_alone"])}


def add_samples(each, highlight):
    """Put the replies chosen by rule into a set, cut into pieces at what shows the behaviour (see Behaviour.highlight)."""
    each["samples"] = []
    for source, cells in each["replies"].items():
        rows = each["pairs"][each["pairs"]["source"] == source]
        rates = dict(zip(rows["persona"], rows["rate"], strict=True))
        question, samples = choose_samples(cells, source, rates, each["seed_parts"])
        replies = [
            (title, persona, text if text is None else marked_pieces(text, shown, highlight))
            for (title, persona, text), shown in zip(samples, (True, True, False), strict=True)
        ]
        each["samples"].append({"source": source, "question": question, "replies": replies})


def render_report(home, run_config, sets, personas, facts):
    """The page as text. facts: what facts.json holds, already written to home/report/facts.json."""
    config = run_config["config"]
    main = sets[0]
    behaviour = behaviour_of_result(read_json(home / main["base_summary"])["meta"])
    add_samples(main, behaviour.highlight)
    main["panels"] = collect_panels(Path(home), config, personas, *main["seed_parts"])
    for name, asked in AXES.items():
        main[name] = main["correlation"].replace("correlation.json", f"{name}.json") if asked(config) else None
    main["figures"] = {name: embed_figure(path) for name, path in main["figure_paths"].items() if Path(path).is_file()}
    manifests = {source: read_json(home / f"training/{source}/manifest.json") for source in main["sources"]}
    script = (PAGE / "explorer.js").read_text(encoding="utf-8")
    return page_template("page.html.j2").render(
        experiment=config["experiment"],
        noun=behaviour.noun,
        gain=behaviour.gain,
        sets=sets,
        verdict=main["verdict"],
        advice=ADVICE,
        cut_advice=CUT_ADVICE,
        numbers=Numbers(home),
        layer_columns=LAYER_COLUMNS,
        sweep=sweep_section(home, config, main["folder"]),
        robustness=robustness_section(home, main["folder"]),
        captions=CAPTIONS,
        figures=[name for name in FIGURES if name not in ("scatter", "layers", "sweep")],
        seeds=seeds_section(home, config),
        seeds_used=config["training"]["seeds"],
        judge=judge_section(Path(home), config, main),
        predictor_comparison=predictors_section(home, config),
        published=facts["published"],
        manifests=manifests,
        parameters=yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110),
        provenance=yaml.safe_dump(plain(facts["provenance"]), sort_keys=False, allow_unicode=True, width=110),
        jobs=facts["jobs"]["rules"],
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        library=pack(importlib.resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")),
        data=pack_json(explorer_data(sets, personas, behaviour.highlight)),
    )


ON_GPU = (
    "train_",
    "sample",
    "extract",
    "measure_divergence",
    "teacher_force",
    "score_choices",
    "score_base_choices",
)  # how the rules that use a GPU begin


def summarise_jobs(folder, has_gpu):
    """{"rules": [{rule, jobs, hours, peak_memory_gb}], "hours", "gpu_hours"} from benchmarks/{experiment}/{rule}[/**].tsv.

    Time of the last run of each job, restarts not counted. gpu_hours: of the rules that use a GPU, 0 without one.
    """
    seconds, memory = defaultdict(list), defaultdict(list)
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                seconds[rule].append(float(row["s"]))
                if row["max_rss"] not in ("-", "NA", ""):
                    memory[rule].append(float(row["max_rss"]) / 1000)
    rules = [
        {"rule": rule, "jobs": len(times), "hours": sum(times) / 3600, "peak_memory_gb": max(memory[rule], default=None)}
        for rule, times in sorted(seconds.items(), key=lambda item: -sum(item[1]))
    ]
    gpu_hours = sum(entry["hours"] for entry in rules if has_gpu and entry["rule"].startswith(ON_GPU))
    return {"rules": rules, "hours": sum(entry["hours"] for entry in rules), "gpu_hours": gpu_hours}


def render_comparison(comparison, figure):
    """The page as text. comparison: path of comparison.json; figure: path of the png."""
    path = Path(comparison)
    numbers = Numbers(path.parent)
    runs = numbers.value(path.name, "runs")
    return page_template("compare.html.j2").render(
        numbers=numbers,
        file=path.name,
        runs=runs,
        left_out=numbers.value(path.name, "left_out"),
        sources=list(dict.fromkeys(name for run in runs for name in run["per_source"])),
        panels=len({run["panel"] for run in runs}),
        figure=embed_figure(figure),
        caption=caption_of("comparison"),
    )
