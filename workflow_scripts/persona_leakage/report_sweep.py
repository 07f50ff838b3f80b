"""The report's section on layers and token positions, where a config compares them."""

from persona_leakage.files import read_json
from persona_leakage.positions import is_swept


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
