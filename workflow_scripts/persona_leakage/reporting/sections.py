"""The sections of the report with their own result file: names and rows that the page goes through."""

from persona_leakage.config.experiment import compares_predictors, panel_names
from persona_leakage.config.layers import is_swept
from persona_leakage.config.personas import have_wordings
from persona_leakage.infrastructure.files import read_json


def seeds_section(home, config):
    """Several training seeds, on the first question set: file, runs, names with correlations, sources; None with one seed."""
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
    """The checks of the main correlation: file, how many, whether any is defined; the places of some of them.

    undefined: those without a number; ranges: those with a range in place of an interval; no_interval: those that lack both.

    folder: {questions}/seed{seed}.
    """
    file = f"analysis/{folder}/robustness.json"
    content = read_json(home / file)
    places = {key: [place for place, check in enumerate(content["checks"]) if check[key]] for key in ("undefined", "range", "no_interval")}
    return {
        "file": file,
        "checks": len(content["checks"]),
        "summed_up": bool(content["summary"]["checks"]),
        "undefined": places["undefined"],
        "ranges": places["range"],
        "no_interval": places["no_interval"],
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


FIGURES = ("question_sets", "wordings", "variants")


def collect_panels(home, config, personas, questions, seed):
    """{name of FIGURES: what the page lists of its file, or None}; for one question set and training seed."""
    wanted = {
        "question_sets": len(config["questions"]["evaluation"]) > 1,
        "wordings": have_wordings([personas[name] for name in panel_names(config, personas)]),
        "variants": bool(config["personas"]["no_persona_prompts"]),
    }
    places = {name: f"analysis/{questions}/seed{seed}/{name}.json" for name in FIGURES} | {
        "question_sets": f"analysis/question_sets/seed{seed}.json"
    }
    describe = {"question_sets": list_sets, "wordings": list_wordings, "variants": list_variants}
    return {name: {"file": places[name], **describe[name](read_json(home / places[name]))} if wanted[name] else None for name in FIGURES}


def list_sets(content):
    """Names that the section of the question sets goes through."""
    return {key: content[key] for key in ("first", "sources", "undefined")} | {
        "sets": list(content["sets"]),
        "drops": list(content["drops"]),
    }


def list_wordings(content):
    """Rows [(title, keys of its block)] of the table of correlations, and what the variance parts are of."""
    if content["undefined"]:
        return {"undefined": content["undefined"]}
    titles = {
        "all_pairs": "all pairs",
        "same_wording": "bystanders in the source's wording",
        "other_wording": "bystanders in another wording",
        "role_means": "roles, averaged over their wordings",
    }
    rows = [(title, [name]) for name, title in titles.items() if name in content]
    rows += [(f"bystanders in wording '{style}'", ["within_each", style]) for style in content["within_each"]]
    spread = [
        (what, name, ["parts", what, "mean"] if name == "mean" else ["parts", what, "per_series", name])
        for what, block in content["parts"].items()
        for name in (*block["per_series"], "mean")
    ]
    twins = [(source, place) for source, found in content["other_wording_of_the_source"].items() for place in range(len(found))]
    controls = [name for name in ("given_same_wording", "given_surface") if content[name]["undefined"] is None]
    alone = content["same_wording_alone"]["undefined"] is None
    kinds = [kind for kind in ("same_role", "same_wording", "neither") if kind in content["geometry"]]
    return {"undefined": None, "rows": rows, "spread": spread, "twins": twins, "controls": controls, "alone": alone, "kinds": kinds}


def list_variants(content):
    """Variants, and those whose prompt is that of another."""
    same = [name for name, prompt in content["prompts"].items() if prompt["same_as"]]
    return {"variants": list(content["prompts"]), "same": same, "sources": list(content["sources"])}
