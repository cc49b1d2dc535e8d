"""Transforms whose protected feature is a vector, as in the paper."""

from __future__ import annotations

import numpy as np

from enfpire.errors import FeatureError
from enfpire.wire.arrays import Array, Floats, Indices
from enfpire.wire.bundle import Projection, Sign
from enfpire.wire.query import MAX_ROWS, Bits, Vectors


def canonical(vectors: Floats) -> tuple[Vectors, Indices]:
    """Vectors (n, m) in lexicographic order as float16, and the row of each in that order.

    Raises `FeatureError` where there are too many of them, or values too large for float16.
    """
    if len(vectors) > MAX_ROWS:
        raise FeatureError(f"{len(vectors)} vectors in one query; send at most {MAX_ROWS} at a time")
    with np.errstate(over="ignore"):
        # -0.0 sorts as 0.0 does but has other bytes: among such rows the order of the photos would travel.
        packed = vectors.astype(np.float16) + np.float16(0)
    if not np.isfinite(packed).all():
        raise FeatureError("a feature is too large for float16; L2-normalise features before they are protected")
    order = np.lexsort(packed.T[::-1])
    rows = np.empty(len(order), dtype=np.intp)
    rows[order] = np.arange(len(order))
    return Vectors(rows=Array.of(packed[order], "f2")), rows


class ProjectionTransform:
    """Coordinates in the gallery's principal subspace of few dimensions."""

    def __init__(self, spec: Projection) -> None:
        self._basis = spec.basis.floats()

    def protect(self, features: Floats) -> tuple[Vectors, Indices]:
        """Features (n, d) projected to (n, m)."""
        return canonical(features @ self._basis)


class SignTransform:
    """The signs of the feature's products with the basis: a binary code."""

    def __init__(self, spec: Sign) -> None:
        self._basis = spec.basis.floats()

    def protect(self, features: Floats) -> tuple[Bits, Indices]:
        """Codes of m bits, ascending, each once; features (n, d).

        Raises `FeatureError` where there are too many of them for one query.
        """
        if len(features) > MAX_ROWS:
            raise FeatureError(f"{len(features)} codes in one query; send at most {MAX_ROWS} photos at a time")
        return Bits.of(features @ self._basis > 0)


class IdentityTransform:
    """The feature itself: no protection."""

    def protect(self, features: Floats) -> tuple[Vectors, Indices]:
        """Features (n, d) as they are."""
        return canonical(features)
