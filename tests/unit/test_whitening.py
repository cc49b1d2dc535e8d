from __future__ import annotations

import numpy as np
import pytest

from enfpire.client.features import whiten
from enfpire.curation.whitening import class_means, fit_whitening
from enfpire.errors import GalleryError
from enfpire.wire.arrays import Floats, Indices, normalised
from tests.unit.synthetic import means, photos


def nearest_mean_accuracy(features: Floats, labels: Indices) -> float:
    """How many of the odd photos are nearest to their class' mean over the even ones."""
    centres = normalised(class_means(features[::2].astype(np.float64), labels[::2]).astype(np.float32))
    return float(((features[1::2] @ centres.T).argmax(axis=1) == labels[1::2]).mean())


def test_a_class_mean_is_the_mean_of_its_photos() -> None:
    rows = np.array([[0.0, 2.0], [4.0, 6.0], [1.0, 1.0]])
    assert class_means(rows, np.array([1, 1, 0])).tolist() == [[1.0, 1.0], [2.0, 4.0]]


def test_photos_of_one_class_differ_alike_in_all_directions() -> None:
    taken = photos(means(80, 12), 20, spread=0.3)
    stretched = normalised(taken.raw) * np.linspace(0.2, 3, 12, dtype=np.float32)
    whitening = fit_whitening(stretched, taken.labels, 12, regularisation=1e-6)
    rows = (normalised(stretched) - whitening.mean.floats()) @ whitening.matrix.floats()
    residuals = rows - class_means(rows.astype(np.float64), taken.labels)[taken.labels]
    variances = np.linalg.eigvalsh(residuals.T @ residuals)
    # the raw rows lie on a sphere, so that one direction hardly varies
    assert variances[-1] / variances[1] < 1.02


def test_whitening_recognises_what_noise_hides() -> None:
    taken = photos(means(40, 16), 8, spread=0.5)
    noise = np.random.default_rng(5).normal(scale=1.5, size=(len(taken.labels), 4)).astype(np.float32)
    noisy = np.hstack([taken.raw, noise])
    before = nearest_mean_accuracy(normalised(noisy), taken.labels)
    after = nearest_mean_accuracy(whiten(noisy, fit_whitening(noisy, taken.labels, 16)), taken.labels)
    assert before < 0.5
    assert after > before + 0.2


def test_every_class_weighs_the_same() -> None:
    taken = photos(means(10, 8), 6)
    often = np.concatenate([np.arange(60), np.repeat(np.arange(6), 30)])
    once = fit_whitening(taken.raw, taken.labels, 8)
    repeated = fit_whitening(taken.raw[often], taken.labels[often], 8)
    assert np.allclose(once.mean.floats(), repeated.mean.floats(), atol=1e-6)
    # what is taken from the differences between photos of a class, apart from rotation and scale
    one, other = (matrix @ matrix.T for matrix in (once.matrix.floats(), repeated.matrix.floats()))
    assert np.allclose(one / np.trace(one), other / np.trace(other), atol=1e-3)


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (8, 8), (500, 8)])
def test_no_more_dimensions_than_the_raw_feature_has(asked: int, given: int) -> None:
    taken = photos(means(10, 8), 3)
    whitening = fit_whitening(taken.raw, taken.labels, asked)
    assert whitening.matrix.shape == (8, given)


def test_one_photo_a_class_is_enough() -> None:
    taken = photos(means(10, 8), 1)
    features = whiten(taken.raw, fit_whitening(taken.raw, taken.labels, 8))
    assert (features @ features.T).argmax(axis=1).tolist() == list(range(10))


def test_the_scale_of_a_raw_feature_does_not_count() -> None:
    taken = photos(means(10, 8), 4)
    lengths = np.random.default_rng(0).uniform(0.5, 90, (40, 1)).astype(np.float32)
    one, other = (fit_whitening(raw, taken.labels, 4) for raw in (taken.raw, taken.raw * lengths))
    assert np.allclose(one.matrix.floats(), other.matrix.floats(), atol=2e-3)


def test_equal_photos_make_equal_bytes_and_signs_are_fixed() -> None:
    taken = photos(means(10, 8), 4)
    first, second = (fit_whitening(taken.raw, taken.labels, 6) for _ in range(2))
    assert first == second
    order = np.random.default_rng(1).permutation(len(taken.labels))
    shuffled = fit_whitening(taken.raw[order], taken.labels[order], 6)
    assert np.allclose(shuffled.matrix.floats(), first.matrix.floats(), atol=1e-2)


def test_photos_that_all_look_the_same_make_no_gallery() -> None:
    same = np.ones((6, 8), dtype=np.float32)
    with pytest.raises(GalleryError, match="different photos"):
        fit_whitening(same, np.array([0, 0, 1, 1, 2, 2]), 8)
