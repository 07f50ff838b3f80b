"""The centroids of a study's panel in one small file, from which new personas are placed among them."""

import json
import zipfile

import numpy as np

from persona_leakage.geometry.centroid_files import check_centroids
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, check_is_file

KEYS = ("personas", "position", "model")


def write_panel(path, layers, position, model):
    """Write {layer: {"personas": names, "centroids": float32 [personas, hidden]}} and what they are of; the same bytes for the same."""
    personas = next(iter(layers.values()))["personas"]
    about = json.dumps({"personas": personas, "position": position, "model": model}, sort_keys=True)
    with atomic_path(path) as temporary, temporary.open("wb") as content:
        np.savez(content, about=np.array(about), **{f"layer{layer}": each["centroids"] for layer, each in layers.items()})


def read_panel(path):
    """({layer: {"personas", "centroids"}}, facts with KEYS) of such a file; InputError if it is damaged or not one."""
    check_is_file(path)
    try:
        with np.load(path, allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            arrays = {int(name.removeprefix("layer")): content[name] for name in content.files if name != "about"}
        facts = {key: about[key] for key in KEYS}
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not the centroids of a panel ({type(error).__name__}: {error}); delete it and run again") from None
    for vectors in arrays.values():
        check_centroids(path, facts["personas"], vectors)
    return {layer: {"personas": facts["personas"], "centroids": vectors} for layer, vectors in arrays.items()}, facts
