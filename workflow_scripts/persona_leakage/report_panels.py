"""What the report shows beside the panel: question sets, wordings, prompts without a persona; each where the config asks for it."""

from persona_leakage.experiment import panel_names
from persona_leakage.files import read_json
from persona_leakage.personas import have_wordings

FIGURES = ("question_sets", "wordings", "variants")


def collect_panels(home, config, personas, questions, seed):
    """{name of FIGURES: what the page lists of its file, or None}; for one question set and training seed."""
    wanted = {
        "question_sets": len(config["questions"]["evaluation"]) > 1,
        "wordings": have_wordings([personas[name] for name in panel_names(config, personas)]),
        "variants": bool(config["personas"]["variants"]),
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
