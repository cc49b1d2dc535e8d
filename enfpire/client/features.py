"""Raw network output -> features, with the whitening of the bundle."""

from __future__ import annotations

from enfpire.wire.arrays import Floats, check_rows, normalised
from enfpire.wire.bundle import Whitening


def whiten(raw: Floats, whitening: Whitening) -> Floats:
    """Features (n, d) float32, L2-normalised, of raw network output (n, D), which need not be normalised.

    Raises `FeatureError` for another shape, NaN or infinity.
    """
    mean = whitening.mean.floats()
    centred: Floats = normalised(check_rows(raw, len(mean))) - mean
    projected: Floats = centred @ whitening.matrix.floats()
    return normalised(projected)
