"""The sections of the report with their own result file: names and rows that the page goes through."""

from persona_leakage.config.experiment import compares_predictors, panel_names
from persona_leakage.config.layers import is_swept
from persona_leakage.config.personas import have_paraphrases
from persona_leakage.infrastructure.files import read_json


def beginnings_section(correlation, layer):
    """What the section on base rates goes through; None where no bystander shows the behaviour without adapter.

    correlation: the content of correlation.json; layer: the headline layer's name in it. verdict: indices of the entries on base rates;
    even, untested: sources by the outcome of the test of even spread; confounded: sources with correlations, none if undefined.
    """
    if "signed_change" not in correlation:
        return None
    spread, block = correlation["even_spread"], correlation["layers"][layer]["base_confound"]
    return {
        "verdict": [index for index, entry in enumerate(correlation["verdict"]) if entry["id"] in ("even_spread", "base_confound")],
        "even": [source for source, test in spread.items() if test["even"]],
        "untested": [source for source, test in spread.items() if test["undefined"]],
        "confounded": list(block["per_source"] or []),
        "wholly": bool(block["partial"] and block["partial"]["undefined"]),
    }


def seeds_section(home, config):
    """Contents of the section on training seeds, for the first question set; None with one seed."""
    if len(config["training"]["seeds"]) < 2:
        return None
    file = f"analysis/{config['questions']['evaluation'][0]['set']}/seeds.json"
    content = read_json(home / file)
    return {
        "file": file,
        "runs": [run["training_seed"] for run in content["runs"]],
        "names": list(content["spearman_rho"]),
        "sources": list(content["leakage"]["per_source"]),
    }


def predictors_section(home, config):
    """The predictors on the first question set and seed: file, names in order (none if undefined), what is left out; None if off."""
    if not compares_predictors(config):
        return None
    file = f"analysis/{config['questions']['evaluation'][0]['set']}/seed{config['training']['seeds'][0]}/predictors.json"
    content = read_json(home / file)
    return {
        "file": file,
        "order": content["order"] or [],
        "left_out": list(content["left_out"] or {}),
        "later": [name for name, block in (content["predictors"] or {}).items() if not block["known_before_training"]],
    }


def robustness_section(home, folder):
    """The checks of the main correlation: file, how many, whether any is defined; the indices of some of them.

    undefined: those without a number; ranges: those with a range in place of an interval; no_interval: those that lack both.

    folder: {questions}/seed{seed}.
    """
    file = f"analysis/{folder}/robustness.json"
    content = read_json(home / file)
    indices = {key: [index for index, check in enumerate(content["checks"]) if check[key]] for key in ("undefined", "range", "no_interval")}
    return {
        "file": file,
        "checks": len(content["checks"]),
        "summed_up": bool(content["summary"]["checks"]),
        "undefined": indices["undefined"],
        "ranges": indices["range"],
        "no_interval": indices["no_interval"],
    }


def sweep_section(home, config, folder):
    """{"file": of the numbers, "rows": the choices shown: the headline, then the highest of each position}; None if nothing is swept.

    folder: {questions}/seed{seed}. Without statistics, no rows.
    """
    if not is_swept(config["geometry"]):
        return None
    file = f"analysis/{folder}/sweep.json"
    sweep = read_json(home / file)
    if sweep["undefined"]:
        return {"file": file, "rows": []}
    headline = {**sweep["headline"], "title": "headline"}
    highest = [
        {"position": position, "layer": block["best_layer"], "title": "highest at this token"}
        for position, block in sweep["positions"].items()
    ]
    return {"file": file, "rows": [{**row, "layer": str(row["layer"])} for row in (headline, *highest)]}


FIGURES = ("question_sets", "paraphrases", "no_persona_prompts")


def collect_panels(home, config, personas, questions, seed):
    """{name of FIGURES: what the page lists of its file, or None}; for one question set and training seed."""
    wanted = {
        "question_sets": len(config["questions"]["evaluation"]) > 1,
        "paraphrases": have_paraphrases([personas[name] for name in panel_names(config, personas)]),
        "no_persona_prompts": bool(config["personas"]["no_persona_prompts"]),
    }
    files = {name: f"analysis/{questions}/seed{seed}/{name}.json" for name in FIGURES} | {
        "question_sets": f"analysis/question_sets/seed{seed}.json"
    }
    describe = {"question_sets": list_sets, "paraphrases": list_paraphrases, "no_persona_prompts": list_no_persona_prompts}
    return {name: {"file": files[name], **describe[name](read_json(home / files[name]))} if wanted[name] else None for name in FIGURES}


def list_sets(content):
    """Names that the section of the question sets goes through."""
    return {key: content[key] for key in ("first", "sources", "undefined")} | {
        "sets": list(content["sets"]),
        "drops": list(content["drops"]),
    }


def list_paraphrases(content):
    """Rows [(title, keys of its block)] of the table of correlations, and what the variance parts are of."""
    if content["undefined"]:
        return {"undefined": content["undefined"]}
    titles = {
        "all_pairs": "all pairs",
        "same_paraphrase": "bystanders in the source's paraphrase",
        "other_paraphrase": "bystanders in another paraphrase",
        "role_means": "roles, averaged over their paraphrases",
    }
    rows = [(title, [name]) for name, title in titles.items() if name in content]
    rows += [(f"bystanders in paraphrase '{style}'", ["within_each", style]) for style in content["within_each"]]
    spread = [
        (what, name, ["parts", what, "mean"] if name == "mean" else ["parts", what, "per_series", name])
        for what, block in content["parts"].items()
        for name in (*block["per_series"], "mean")
    ]
    other_paraphrases = [
        (source, index) for source, found in content["other_paraphrases_of_the_source"].items() for index in range(len(found))
    ]
    controls = [name for name in ("given_same_paraphrase", "given_surface") if content[name]["undefined"] is None]
    alone = content["same_paraphrase_alone"]["undefined"] is None
    kinds = [kind for kind in ("same_role", "same_paraphrase", "neither") if kind in content["geometry"]]
    return {
        "undefined": None,
        "rows": rows,
        "spread": spread,
        "other_paraphrases": other_paraphrases,
        "controls": controls,
        "alone": alone,
        "kinds": kinds,
    }


def list_no_persona_prompts(content):
    """The prompts without a persona, and those that equal another one."""
    same = [name for name, prompt in content["prompts"].items() if prompt["same_as"]]
    return {"no_persona_prompts": list(content["prompts"]), "same": same, "sources": list(content["sources"])}
