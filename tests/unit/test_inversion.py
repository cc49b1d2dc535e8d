from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from enfpire.audit.inversion import from_messages, from_vectors, inversion, likeness
from enfpire.wire.arrays import Floats, normalised
from tests.unit.synthetic import means, photos

CENTRES = normalised(means(20, 16))
KNOWN, ASKED = (photos(CENTRES, each, 0.1, seed) for each, seed in ((30, 1), (10, 2)))
OWNERS = np.arange(20)


def test_an_invertible_transform_is_inverted() -> None:
    secret = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
    found = from_vectors(ASKED.raw @ secret + 3, KNOWN.raw @ secret + 3, KNOWN.raw)
    judged = inversion(found, ASKED.raw, ASKED.labels, KNOWN.raw, CENTRES, OWNERS)
    assert judged.reconstructed.similarity > 0.999
    assert (
        judged.named.accuracy
        == inversion(ASKED.raw, ASKED.raw, ASKED.labels, KNOWN.raw, CENTRES, OWNERS).named.accuracy
    )
    assert judged.baseline.high < judged.reconstructed.low


def test_of_a_projection_a_part_comes_back() -> None:
    """Isotropic features, 4 of 16 coordinates sent: the reconstruction is these, and its cosine their length."""
    random = np.random.default_rng(1)
    known, asked = (normalised(random.standard_normal((count, 16)).astype(np.float32)) for count in (4000, 500))
    found = from_vectors(asked[:, :4], known[:, :4], known)
    similarity = likeness(found, asked, np.zeros(500, dtype=np.intp)).similarity
    assert similarity == pytest.approx(np.linalg.norm(asked[:, :4], axis=1).mean(), abs=0.01)


def test_messages_about_nothing_give_the_baseline() -> None:
    random = np.random.default_rng(2)
    sent, known_sent = (random.standard_normal((len(each.labels), 8)).astype(np.float32) for each in (ASKED, KNOWN))
    shifted = CENTRES + 0.5
    known, asked = (photos(shifted, each, 0.1, seed).raw for each, seed in ((30, 1), (10, 2)))
    found = inversion(from_vectors(sent, known_sent, known), asked, ASKED.labels, known, shifted, OWNERS)
    assert found.baseline.similarity > 0.5
    assert found.reconstructed.similarity == pytest.approx(found.baseline.similarity, abs=0.02)
    assert found.named.interval[0] < 1 / 20 < found.named.interval[1]


def test_it_is_the_ridge_regression_of_a_library() -> None:
    """Where messages say nothing, the largest penalty is chosen: 100 times the mean variance of a coordinate."""
    random = np.random.default_rng(3)
    known_sent, sent, known = (random.standard_normal(shape).astype(np.float32) for shape in ((40, 6), (5, 6), (40, 3)))
    centred = known_sent - known_sent.mean(axis=0)
    penalty = 100 * (centred.astype(np.float64) ** 2).sum() / 6
    expected = Ridge(alpha=penalty).fit(known_sent, known).predict(sent)
    assert from_vectors(sent, known_sent, known) == pytest.approx(expected, abs=1e-4)


def test_messages_that_never_change_are_no_error() -> None:
    found = from_vectors(np.ones((4, 3), np.float32), np.ones((600, 3), np.float32), KNOWN.raw)
    assert found == pytest.approx(np.tile(KNOWN.raw.mean(axis=0), (4, 1)), abs=1e-6)


def test_a_discrete_message_is_the_mean_of_its_photos() -> None:
    known = np.array([[1, 0], [3, 0], [0, 8]], np.float32)
    found = from_messages(np.array([0, 2, 5, 1]), np.array([0, 0, 2]), known)
    assert found == pytest.approx(np.array([[2, 0], [0, 8], [4 / 3, 8 / 3], [4 / 3, 8 / 3]]))


def test_a_group_is_reconstructed_and_names_one_of_its_classes() -> None:
    groups = 5
    found = from_messages(ASKED.labels % groups, KNOWN.labels % groups, KNOWN.raw)
    judged = inversion(found, ASKED.raw, ASKED.labels, KNOWN.raw, CENTRES, OWNERS)
    assert judged.baseline.high < judged.reconstructed.low
    assert judged.named.accuracy <= groups / 20 + 1e-9


def test_a_message_of_the_class_is_caught() -> None:
    found = from_messages(ASKED.labels, KNOWN.labels, KNOWN.raw)
    assert inversion(found, ASKED.raw, ASKED.labels, KNOWN.raw, CENTRES, OWNERS).named.accuracy == 1


def test_likeness_weighs_classes_not_photos() -> None:
    features: Floats = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    found = likeness(np.array([[2, 0]] * 4, np.float32), features, np.array([0, 0, 0, 1]))
    assert found.similarity == pytest.approx(0.5)
    assert found.low <= 0.5 <= found.high
