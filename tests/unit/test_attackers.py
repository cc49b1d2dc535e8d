from __future__ import annotations

import numpy as np
import pytest

from enfpire.audit.attackers import bayes_accuracy, nearest_prototype_accuracy, neighbours_accuracy
from enfpire.client.features import whiten
from enfpire.client.protocol import protect
from enfpire.curation.prototypes import fit_prototypes
from enfpire.leakage.guarantee import CellsGuarantee, guarantee_of
from enfpire.leakage.intervals import balanced_mean
from enfpire.wire.arrays import Indices, normalised
from tests.unit.synthetic import means, photos, shop

CENTRES = means(60, 32)


def labels_of(classes: int, each: int) -> Indices:
    return np.repeat(np.arange(classes), each)


def noise_of(classes: int, each: int, chance: float) -> float:
    """Four standard deviations of an accuracy that a guesser with this chance reaches on a sample."""
    return 4 * float(np.sqrt(chance * (1 - chance) / (classes * each)))


def test_every_class_weighs_the_same() -> None:
    labels = np.array([0, 0, 0, 0, 1, 3])
    assert balanced_mean(np.array([True, True, True, False, False, True]), labels) == pytest.approx(1.75 / 3)
    assert balanced_mean(np.array([1.0, 1.0, 2.0, 4.0, 10.0, 3.0]), labels) == pytest.approx((2 + 10 + 3) / 3)


def test_a_message_that_names_the_class_tells_all() -> None:
    labels = labels_of(30, 6)
    shuffled = np.random.default_rng(0).permutation(30)
    assert bayes_accuracy(shuffled[labels], labels, values=30) == 1


def test_a_message_of_one_value_tells_nothing() -> None:
    labels = labels_of(40, 10)
    assert bayes_accuracy(np.zeros(400, dtype=np.intp), labels, values=1) == pytest.approx(1 / 40)


def test_a_random_message_tells_nothing() -> None:
    labels = labels_of(40, 50)
    messages = np.random.default_rng(1).integers(0, 8, len(labels))
    found = bayes_accuracy(messages, labels, values=8)
    assert abs(found - 1 / 40) < noise_of(40, 50, 1 / 40)


@pytest.mark.parametrize(("classes", "groups"), [(60, 2), (60, 6), (60, 30)])
def test_groups_without_misrouting_reach_the_bound(classes: int, groups: int) -> None:
    labels = labels_of(classes, 10)
    assert bayes_accuracy(labels % groups, labels, groups) == pytest.approx(groups / classes)


def test_a_noisy_channel_has_its_closed_form() -> None:
    """Two groups of ten classes, one message in five in the wrong group: 2 x 0.8 / 20."""
    random = np.random.default_rng(2)
    labels = labels_of(20, 400)
    messages = np.where(random.random(len(labels)) < 0.8, labels % 2, 1 - labels % 2)
    found = bayes_accuracy(messages, labels, values=2)
    # it names the classes that chance favoured a little in its half of the photos
    assert abs(found - 0.08) < noise_of(20, 400, 0.08)


def test_a_class_that_gives_itself_away_is_named() -> None:
    """Nineteen classes share a message at random, one always sends the other: (1 + 1) / 20."""
    labels = labels_of(20, 60)
    messages = np.where(labels == 7, 1, 0)
    assert bayes_accuracy(messages, labels, values=2) == pytest.approx(2 / 20)


def test_no_message_of_a_gallery_tells_more_than_its_bound() -> None:
    taken = shop()
    asked = photos(CENTRES, 40, seed=9)
    pending, _ = protect(whiten(asked.raw, taken.fit.whitening), taken.signed)
    guarantee = guarantee_of(taken.signed.bundle)
    assert isinstance(guarantee, CellsGuarantee)
    assert pending.groups is not None
    found = bayes_accuracy(pending.groups, asked.labels, guarantee.groups)
    assert guarantee.bound == pytest.approx(5 / 60)
    assert 0.8 * guarantee.bound < found < guarantee.bound + noise_of(60, 40, guarantee.bound)


def test_a_class_of_many_photos_is_no_better_a_guess() -> None:
    """Message 0 comes from 60 % of 1000 photos of one class, and from 80 % of 100 of the other: (0.4 + 0.8) / 2."""
    labels = np.repeat([0, 1], [1000, 100])
    messages = np.concatenate([np.repeat([0, 1], [600, 400]), np.repeat([0, 1], [80, 20])])
    assert bayes_accuracy(messages, labels, values=2) == pytest.approx(0.6, abs=0.03)


def test_one_photo_a_class_is_no_error() -> None:
    assert 0 <= bayes_accuracy(np.arange(10) % 3, np.arange(10), values=3) <= 1


def test_the_bayes_attacker_is_repeatable() -> None:
    labels = labels_of(20, 9)
    messages = np.random.default_rng(3).integers(0, 4, len(labels))
    assert bayes_accuracy(messages, labels, 4) == bayes_accuracy(messages, labels, 4)


def test_unprotected_vectors_are_named() -> None:
    known, asked = (photos(CENTRES, 5, seed=seed) for seed in (1, 2))
    prototypes = fit_prototypes(known.raw, known.labels, 1)
    assert nearest_prototype_accuracy(asked.raw, asked.labels, prototypes.features, prototypes.owners) > 0.8
    assert neighbours_accuracy(asked.raw, asked.labels, known.raw, known.labels) > 0.7


def test_vectors_about_something_else_are_not() -> None:
    known = photos(CENTRES, 5)
    prototypes = fit_prototypes(known.raw, known.labels, 1)
    random = np.random.default_rng(4).standard_normal((600, 32)).astype(np.float32)
    labels = labels_of(60, 10)
    for found in (
        nearest_prototype_accuracy(random, labels, prototypes.features, prototypes.owners),
        neighbours_accuracy(random, labels, known.raw, known.labels),
    ):
        assert abs(found - 1 / 60) < noise_of(60, 10, 1 / 60)


def test_the_length_of_a_vector_does_not_count() -> None:
    known, asked = (photos(CENTRES, 5, seed=seed) for seed in (1, 2))
    lengths = np.random.default_rng(5).uniform(0.1, 9, (300, 1)).astype(np.float32)
    same = nearest_prototype_accuracy(asked.raw, asked.labels, known.raw, known.labels)
    assert nearest_prototype_accuracy(asked.raw * lengths, asked.labels, known.raw * lengths, known.labels) == same


def test_neighbours_vote() -> None:
    """The nearest is of class 1; three of the five nearest are of class 0."""
    angles = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 3.0, 3.1])
    known = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    sent = np.array([[1.0, 0.0]], dtype=np.float32)
    labels = np.array([1, 0, 0, 2, 0, 1, 1])
    assert neighbours_accuracy(sent, np.array([0]), known, labels) == 1
    assert nearest_prototype_accuracy(sent, np.array([1]), normalised(known), labels) == 1
