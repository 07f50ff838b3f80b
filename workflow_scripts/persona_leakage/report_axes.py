"""The sections of the report with a file of their own: what the page needs to know beside the numbers it looks up."""

from persona_leakage.experiment import league_on
from persona_leakage.files import read_json


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


def league_section(home, config):
    """The predictors on the first question set and seed: file, names in order (none if undefined), what is left out; None if off."""
    if not league_on(config):
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
