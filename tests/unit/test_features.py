"""Whitening: the bundle's arithmetic, checked against a second implementation and against what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enfpire.client.features import whiten
from enfpire.errors import FeatureError
from enfpire.wire.arrays import Array, Floats
from enfpire.wire.bundle import Whitening


def rows(seed: int, count: int, width: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def whitening(width: int, kept: int) -> Whitening:
    return Whitening(mean=Array.of(rows(1, 1, width)[0] / 10, "f4"), matrix=Array.of(rows(2, width, kept), "f4"))


def test_is_normalise_subtract_multiply_normalise() -> None:
    raw, spec = rows(0, 7, 12), whitening(12, 5)
    unit = raw.astype(np.float64) / np.linalg.norm(raw.astype(np.float64), axis=1)[:, None]
    product = (unit - spec.mean.values) @ spec.matrix.values
    features = whiten(raw, spec)
    assert features.dtype == np.float32
    assert np.allclose(features, product / np.linalg.norm(product, axis=1)[:, None], atol=1e-5)


@given(seed=st.integers(0, 999), scale=st.floats(0.01, 1000), count=st.integers(1, 9))
def test_features_are_unit_rows_that_ignore_the_scale_of_the_raw_ones(seed: int, scale: float, count: int) -> None:
    raw, spec = rows(seed, count, 8), whitening(8, 4)
    features = whiten(raw, spec)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    assert np.allclose(whiten(raw * np.float32(scale), spec), features, atol=1e-4)


def test_a_photo_has_the_same_feature_in_any_batch() -> None:
    raw, spec = rows(3, 40, 64), whitening(64, 16)
    alone = np.concatenate([whiten(raw[row : row + 1], spec) for row in range(40)])
    assert np.allclose(whiten(raw, spec), alone, atol=1e-5)


def test_no_photos_make_no_features() -> None:
    assert whiten(rows(0, 0, 12), whitening(12, 5)).shape == (0, 5)


def test_a_feature_of_another_network_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"\(n, 12\)"):
        whiten(rows(0, 3, 13), whitening(12, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    raw = rows(0, 3, 12)
    raw[1, 2] = value
    with pytest.raises(FeatureError, match="NaN or infinity"):
        whiten(raw, whitening(12, 5))
