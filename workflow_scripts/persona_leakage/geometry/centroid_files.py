"""Reading centroids of personas from files, with checks."""

import numpy as np

from persona_leakage.infrastructure.cli import InputError


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
