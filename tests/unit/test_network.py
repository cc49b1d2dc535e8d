from __future__ import annotations

import numpy as np
import pytest
import torch

from enfpire.audit.attackers import nearest_prototype_accuracy, scored_attack
from enfpire.audit.network import network_scores
from enfpire.wire.arrays import Floats, Indices, normalised
from tests.unit.synthetic import Photos, means, photos

CENTRES = means(20, 16)
KNOWN, ASKED = (photos(CENTRES, each, seed=seed) for each, seed in ((12, 1), (8, 2)))


def network_accuracy(asked: Floats, truth: Indices, known: Floats, labels: Indices) -> float:
    return scored_attack(network_scores(asked, known, labels), truth).accuracy


def rings(each: int, seed: int) -> tuple[Floats, Indices]:
    """Two classes with one mean: a disc, and a ring around it."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], each)
    radii = np.where(labels == 0, 0.5, 2.0) + 0.1 * random.standard_normal(2 * each)
    angles = random.uniform(0, 2 * np.pi, 2 * each)
    return (radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32), labels


def test_classes_that_are_apart_are_named() -> None:
    assert network_accuracy(ASKED.raw, ASKED.labels, KNOWN.raw, KNOWN.labels) > 0.9


def test_it_learns_what_no_prototype_shows() -> None:
    known, labels = rings(150, 1)
    asked, truth = rings(100, 2)
    mean_of_each = np.stack([known[labels == label].mean(axis=0) for label in (0, 1)])
    assert nearest_prototype_accuracy(asked, truth, mean_of_each, np.arange(2)) < 0.7
    assert network_accuracy(asked, truth, known, labels) > 0.95


def test_vectors_about_something_else_name_nothing() -> None:
    random = np.random.default_rng(3)
    known, asked = (random.standard_normal((len(each.labels), 16)).astype(np.float32) for each in (KNOWN, ASKED))
    found = scored_attack(network_scores(asked, known, KNOWN.labels), ASKED.labels)
    assert found.interval[0] < 1 / 20 < found.interval[1]
    assert found.interval_in_five[0] < 5 / 20 < found.interval_in_five[1]


def test_scores_are_log_probabilities() -> None:
    scores = network_scores(ASKED.raw, KNOWN.raw, KNOWN.labels)
    assert scores.shape == (160, 20)
    assert np.exp(scores).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_seed_repeats_it_and_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    first, again, other = (network_scores(ASKED.raw, KNOWN.raw, KNOWN.labels, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_frequent_class_is_no_better_a_guess() -> None:
    """Vectors say nothing; one class has nine tenths of the known photos."""
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1], [360, 40])
    known, asked = (random.standard_normal((400, 8)).astype(np.float32) for _ in range(2))
    truth = np.repeat([0, 1], 200)
    guess = network_scores(asked, known, labels).argmax(axis=1)
    assert 0.1 < guess.mean() < 0.9
    assert abs((guess == truth).mean() - 0.5) < 4 * 0.5 / 20


def test_one_photo_a_class_is_no_error() -> None:
    few = Photos(normalised(CENTRES), np.arange(20))
    assert network_accuracy(ASKED.raw, ASKED.labels, few.raw, few.labels) > 0.5
