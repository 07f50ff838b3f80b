"""Centroids of personas in files: one for each layer, and those of a study's panel in one small file to place new personas in."""

import json
import zipfile

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, check_is_file

KEYS = ("personas", "position", "model")


def check_centroids(path, personas, vectors):
    """InputError unless ``vectors`` [..., personas, hidden] of a file hold finite numbers for each of the ``personas``."""
    if not isinstance(personas, list) or vectors.ndim < 2 or vectors.shape[-2] != len(personas) or 0 in vectors.shape:
        raise InputError(
            f"{path}: the centroids have the shape {list(vectors.shape)}, for the personas {personas!r:.100}; one row for each"
        )
    finite = np.isfinite(vectors).all(axis=-1).reshape(-1, len(personas)).all(axis=0)
    if not finite.all():
        raise InputError(f"{path}: the centroid of '{personas[finite.argmin()]}' has values that are not finite; delete the file and rerun")


def read_centroids(path, *more):
    """read_tensors of a centroid file with "layer", "personas", "centroids" (here as numpy [personas, hidden]) and the keys ``more``."""
    from persona_leakage.infrastructure.tensor_files import AGAIN, read_tensors  # takes seconds to import

    content = read_tensors(path, "layer", "personas", "centroids", *more)
    if getattr(content["centroids"], "ndim", None) != 2:
        raise InputError(f"{path}: centroids must be a tensor [personas, hidden]; {AGAIN}")
    vectors = content["centroids"].numpy()
    check_centroids(path, content["personas"], vectors)
    return {**content, "centroids": vectors}


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
        raise InputError(f"{path}: not the centroids of a panel ({type(error).__name__}: {error}); delete it and rerun") from None
    for vectors in arrays.values():
        check_centroids(path, facts["personas"], vectors)
    return {layer: {"personas": facts["personas"], "centroids": vectors} for layer, vectors in arrays.items()}, facts
