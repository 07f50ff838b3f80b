"""Centroids of personas and the cosines between them."""

import numpy as np

from persona_leakage.infrastructure.cli import InputError


def centroids(states):
    """Mean over questions in float64, returned as float32: states [personas, questions, hidden] -> [personas, hidden]."""
    return np.asarray(states, dtype=np.float64).mean(axis=1).astype(np.float32)


def cosine_matrix(vectors, centred):
    """Cosines between the rows of ``vectors`` [personas, hidden]: float64 [personas, personas].

    centred: subtract the mean of all rows first. The result then depends on which personas make up
    the panel, so that panel is recorded with every number.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if centred:
        vectors = vectors - vectors.mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (norms == 0).any():
        raise InputError("a centroid has zero length, so its cosine is undefined; all personas may have the same one")
    unit = vectors / norms
    return unit @ unit.T


NEGLIGIBLE = 1e-10  # of the largest singular value: the direction that centring removed


def whitened_cosines(vectors):
    """Cosines of ``vectors`` [personas, hidden], centred and whitened (Mahalanobis): float64 [personas, personas].

    Whitening divides out the covariance of the personas, singular with fewer personas than dimensions, so it is shrunk towards a
    multiple of the identity (shrinkage). Computed from the singular values of the centred vectors, without a matrix [hidden, hidden].
    InputError from cosine_matrix if a vector is the mean.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    left, scale, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    kept = scale > NEGLIGIBLE * scale.max()
    left, variances = left[:, kept], scale[kept] ** 2 / len(vectors)
    shrunk = shrinkage(left, variances, vectors.shape[1])
    mean = variances.sum() / vectors.shape[1]
    return cosine_matrix(left * np.sqrt(variances / ((1 - shrunk) * variances + shrunk * mean)), centred=False)


def shrinkage(left, variances, dimensions):
    """The weight, 0 to 1, of the identity in the shrunk covariance: Ledoit and Wolf (2004), J. Multivariate Analysis 88, 365-411.

    left [n, k] and variances [k] are the left singular vectors and the eigenvalues of the covariance (divided by n) of n centred
    observations in this many dimensions. With S the covariance and m its mean eigenvalue, the weight is the variance of S
    about what it estimates, over its squared distance from m times the identity (Frobenius norms).
    """
    size = len(left)
    squares = (variances**2).sum()  # |S|^2
    lengths = size * (left**2 * variances).sum(axis=1)  # |x|^2 of every observation
    noise = ((lengths**2).mean() - squares) / size
    distance = squares - variances.sum() ** 2 / dimensions
    return float(min(max(noise, 0.0), distance) / distance) if distance > 1e-12 * squares else 1.0
