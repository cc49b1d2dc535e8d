"""Within-class whitening: directions in which photos of one class differ count less.

W = (S_w + r tr(S_w)/D I)^(-1/2), where S_w is the covariance within classes, each class weighing the same; then
the d principal directions of the class means (Fisher's linear discriminant analysis, regularised).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from enfpire.errors import GalleryError
from enfpire.wire.arrays import Array, Doubles, Floats, Indices, normalised
from enfpire.wire.bundle import Whitening

# how much of the covariance of all photos joins that of the class means when directions are ranked: it orders
# the directions that few classes leave empty
TOTAL_SHARE = 0.1


def fit_whitening(raw: Floats, labels: Indices, dimensions: int, regularisation: float = 0.1) -> Whitening:
    """Fit on raw features (n, D) with labels (n,) 0 .. C-1; features get min(dimensions, D) dimensions.

    Raises `GalleryError` where all photos look the same.
    """
    rows = normalised(raw).astype(np.float64)
    means = class_means(rows, labels)
    centre = means.mean(axis=0)
    # one thread: on a busy machine, threads that wait for each other take nine times as long (measured)
    with threadpool_limits(1):
        whitener = _whitener(rows - means[labels], labels, regularisation)
        directions = _directions((means - centre) @ whitener, (rows - centre) @ whitener, dimensions)
    return Whitening(mean=Array.of(centre, "f4"), matrix=Array.of(whitener @ directions, "f2"))


def class_means(rows: Doubles, labels: Indices) -> Doubles:
    """Mean of each class, shape (C, D)."""
    sums = np.zeros((int(labels.max()) + 1, rows.shape[1]))
    np.add.at(sums, labels, rows)
    return sums / np.bincount(labels)[:, None]


def _whitener(residuals: Doubles, labels: Indices, regularisation: float) -> Doubles:
    counts = np.bincount(labels)
    weighted = residuals / np.sqrt(counts[labels] * len(counts))[:, None]
    within = weighted.T @ weighted
    size = len(within)
    mean_variance = np.trace(within) / size
    if mean_variance <= 1e-12:  # one photo a class: nothing to whiten by
        return np.eye(size)
    # any square root of the inverse whitens alike, for a rotation to the principal directions follows
    lower = np.linalg.cholesky(within + regularisation * mean_variance * np.eye(size))
    root: Doubles = scipy.linalg.solve_triangular(lower, np.eye(size), lower=True).T
    return root


def _directions(means: Doubles, rows: Doubles, dimensions: int) -> Doubles:
    spread = np.cov(means, rowvar=False, bias=True) + TOTAL_SHARE * np.cov(rows, rowvar=False, bias=True)
    size = len(spread)
    values, vectors = scipy.linalg.eigh(spread, subset_by_index=(max(0, size - dimensions), size - 1))
    if values[-1] <= 1e-9:
        raise GalleryError("all gallery photos have the same feature; check that they are different photos")
    top = vectors[:, ::-1]
    # an eigenvector's sign is arbitrary: fix it, so that the same photos make the same bundle
    signs = np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])
    # float16 holds the matrix: keep its values near 1
    scale = 1 / np.sqrt(values[-1])
    signed: Doubles = top * signs * scale
    return signed
