"""Centroids of many layers in little space: without per-question vectors, as float16 around the panel's mean.

Cosines are taken between deviations from that mean, which are small beside it, and beside the few
huge numbers that hidden states hold: rounded together with the mean they would lose most of their digits.
"""

import zipfile
from pathlib import Path

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path

KEYS = {"mean", "deviation", "scale", "personas", "layers", "position"}


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
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = dict(archive)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a whole file of plain arrays ({error}); delete it and run again to have it made anew") from None
    if not set(content) >= KEYS:
        raise InputError(f"{path}: must hold {', '.join(sorted(KEYS))}; delete it and run again to have it made anew")
    deviation = content["deviation"].astype(np.float64) * content["scale"].astype(np.float64)[:, None, None]
    vectors = content["mean"].astype(np.float64)[:, None] + deviation
    return str(content["position"]), content["layers"].tolist(), content["personas"].tolist(), vectors
