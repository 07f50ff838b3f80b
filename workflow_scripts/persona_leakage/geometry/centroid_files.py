"""Centroids of many layers in little space: without per-question vectors, as float16 around the panel's mean.

Cosines are taken between deviations from that mean, which are small beside it, and beside the few
huge numbers that hidden states hold: rounded together with the mean they would lose most of their digits.
"""

import zipfile

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, check_is_file

KEYS = {"mean", "deviation", "scale", "personas", "layers", "position"}


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


def write_packed(path, position, layers, personas, vectors, **facts):
    """Write centroids float32 [layers, personas, hidden] of one token position as an .npz file of plain arrays.

    Its arrays: mean float32 [layers, hidden], deviation float16 [layers, personas, hidden] in units of scale float32
    [layers], a layer's largest deviation, so that nothing overflows; layers, personas, position, and ``facts`` as text.
    """
    mean = vectors.mean(axis=1)
    deviation = vectors - mean[:, None]
    scale = np.abs(deviation).max(axis=(1, 2)).clip(np.finfo(np.float32).tiny)
    packed = {"mean": mean, "deviation": (deviation / scale[:, None, None]).astype(np.float16), "scale": scale}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **packed, layers=layers, personas=personas, position=position, **facts)


def read_packed(path):
    """(position, layers, persona names, vectors float64 [layers, personas, hidden]) of a packed file.

    InputError unless it is whole and holds plain arrays under KEYS: nothing in it is run, and numpy checks each array's sum.
    """
    check_is_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = dict(archive)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a whole file of plain arrays ({error}); delete it and run again to have it made anew") from None
    if not set(content) >= KEYS:
        raise InputError(f"{path}: must hold {', '.join(sorted(KEYS))}; delete it and run again to have it made anew")
    deviation = content["deviation"].astype(np.float64) * content["scale"].astype(np.float64)[:, None, None]
    vectors = content["mean"].astype(np.float64)[:, None] + deviation
    check_centroids(path, content["personas"].tolist(), vectors)
    return str(content["position"]), content["layers"].tolist(), content["personas"].tolist(), vectors
