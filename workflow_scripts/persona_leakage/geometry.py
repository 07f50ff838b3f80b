"""Centroids of personas and the cosines between them."""

import numpy as np


def centroids(states):
    """Mean over questions in float64, returned as float32: states [personas, questions, hidden] -> [personas, hidden]."""
    return np.asarray(states, dtype=np.float64).mean(axis=1).astype(np.float32)


def cosine_matrix(vectors, centred):
    """Cosines between the rows of ``vectors`` [personas, hidden]: float64 [personas, personas].

    centred: subtract the mean of all rows first. The result then depends on which personas make up
    the panel, so that panel is recorded beside every number.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if centred:
        vectors = vectors - vectors.mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (norms == 0).any():
        raise ValueError("a centroid has zero length, so its cosine is undefined")
    unit = vectors / norms
    return unit @ unit.T
