"""Raw network output -> features, with the whitening of the bundle."""

from __future__ import annotations

import numpy as np

from enfpire.wire.arrays import Floats, check_rows, normalised
from enfpire.wire.bundle import Whitening


def whiten(raw: Floats, whitening: Whitening) -> Floats:
    """Features (n, d) float32, L2-normalised, of raw network output (n, D), which need not be normalised.

    Raises `FeatureError` for another shape, NaN or infinity.
    """
    mean = whitening.mean.floats()
    checked = normalised(check_rows(raw, len(mean)))
    features: Floats = normalised((checked - mean) @ whitening.matrix.floats()).astype(np.float32, copy=False)
    return features
