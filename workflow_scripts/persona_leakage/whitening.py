"""Cosines of whitened centroids: every direction counts alike, however much the personas differ along it."""

import numpy as np

from persona_leakage.geometry import cosine_matrix

NEGLIGIBLE = 1e-10  # of the largest singular value: the direction that centring removed


def whitened_cosines(vectors):
    """Cosines of ``vectors`` [personas, hidden], centred and whitened (Mahalanobis): float64 [personas, personas].

    Whitening divides out the covariance of the personas. With fewer personas than dimensions it is singular, and its inverse
    would make all personas equally far from each other; so it is shrunk towards a multiple of the identity (shrinkage).
    Computed from the singular values of the centred vectors, without a matrix [hidden, hidden].
    ValueError from cosine_matrix if a vector lies at the mean.
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
    observations in so many dimensions. With S the covariance and m its mean eigenvalue, the weight is the variance of S
    about what it estimates, over its squared distance from m times the identity (Frobenius norms).
    """
    size = len(left)
    squares = (variances**2).sum()  # |S|^2
    lengths = size * (left**2 * variances).sum(axis=1)  # |x|^2 of every observation
    noise = ((lengths**2).mean() - squares) / size
    distance = squares - variances.sum() ** 2 / dimensions
    return float(min(max(noise, 0.0), distance) / distance) if distance > 1e-12 * squares else 1.0
