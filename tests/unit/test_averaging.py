from __future__ import annotations

import numpy as np
import pytest

from enfpire.audit.attackers import neighbour_scores, prototype_scores, scored_attack
from enfpire.audit.averaging import (
    class_repeats,
    means_of_classes,
    means_of_photos,
    nearest_neighbours,
    nearest_prototype,
    network,
    photo_repeats,
)
from enfpire.audit.labelled import Labelled
from enfpire.wire.arrays import Floats
from tests.unit.synthetic import means, photos

CENTRES = means(20, 16)
TAKEN, OWN = (photos(CENTRES, each, 0.3, seed) for each, seed in ((10, 2), (10, 1)))
ASKED, KNOWN = Labelled(TAKEN.raw, TAKEN.labels), Labelled(OWN.raw, OWN.labels)
NOISE = 0.4
PROTOTYPES = nearest_prototype(CENTRES, np.arange(20))


def noisy(features: Floats, random: np.random.Generator) -> Floats:
    return (features + NOISE * random.standard_normal(features.shape)).astype(np.float32)


def plain(features: Floats, _: np.random.Generator) -> Floats:
    return features


def blank(features: Floats, random: np.random.Generator) -> Floats:
    return random.standard_normal(features.shape).astype(np.float32)


def test_the_mean_of_m_messages_has_an_mth_of_the_variance() -> None:
    for count in (1, 4, 16):
        noise = means_of_photos(ASKED, noisy, count, np.random.default_rng(0)).vectors - ASKED.vectors
        assert noise.var() == pytest.approx(NOISE**2 / count, rel=0.1)


def test_photos_of_one_class_are_averaged_and_each_is_used_once() -> None:
    labels = np.repeat([3, 5], [7, 2])
    vectors = np.eye(9, dtype=np.float32)
    found = means_of_classes(Labelled(vectors, labels), plain, 3, np.random.default_rng(0))
    assert found.labels.tolist() == [3, 3, 5]
    used = found.vectors * 3
    assert used.sum(axis=1).tolist() == pytest.approx([3, 3, 3])
    assert (used[:2].sum(axis=0)[:7] <= 1 + 1e-6).all()
    assert not used[:2, 7:].any()
    assert sorted(np.rint(used[2, 7:]).tolist()) == [1, 2]


def test_noise_is_undone_by_repeats() -> None:
    found = photo_repeats(KNOWN, ASKED, noisy, {"prototype": PROTOTYPES})
    accuracies = [found[count]["prototype"].accuracy for count in (1, 2, 5, 10, 20)]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.35
    assert accuracies[-1] > 0.7


def test_a_transform_without_noise_says_the_same_again() -> None:
    found = photo_repeats(KNOWN, ASKED, plain, {"prototype": PROTOTYPES}, counts=(1, 8))
    assert np.array_equal(found[1]["prototype"].right, found[8]["prototype"].right)


def test_several_photos_of_a_class_name_it() -> None:
    attackers = {"prototype": PROTOTYPES, "neighbours": nearest_neighbours, "network": network}
    found = class_repeats(KNOWN, ASKED, noisy, attackers, counts=(1, 10))
    for name in attackers:
        assert found[10][name].accuracy > found[1][name].accuracy + 0.3
    assert len(found[1]["prototype"].labels) == 200
    assert len(found[10]["prototype"].labels) == 20


def test_messages_about_nothing_stay_at_the_prior() -> None:
    attackers = {"prototype": PROTOTYPES, "neighbours": nearest_neighbours}
    for repeats in (photo_repeats, class_repeats):
        for count, found in repeats(KNOWN, ASKED, blank, attackers, counts=(1, 5)).items():
            for attack in found.values():
                assert attack.interval[0] < 1 / 20 < attack.interval[1], count


def test_a_seed_repeats_it() -> None:
    first, again = (photo_repeats(KNOWN, ASKED, noisy, {"a": PROTOTYPES}, counts=(2,), seed=4) for _ in range(2))
    assert np.array_equal(first[2]["a"].right, again[2]["a"].right)


def test_scores_rank_classes_without_a_vote_by_their_nearest() -> None:
    angles = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 2.0, 1.0])
    known = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = np.array([1, 0, 0, 1, 0, 2, 4])
    scores = neighbour_scores(np.array([[1.0, 0.0]], np.float32), known, labels)
    assert np.argsort(-scores[0]).tolist() == [0, 1, 4, 2, 3]


def test_scores_of_prototypes_are_those_of_the_nearest_of_a_class() -> None:
    prototypes = np.array([[1, 0], [0, 2], [-3, 0], [0, -1]], np.float32)
    scores = prototype_scores(np.array([[2.0, 1.0]], np.float32), prototypes, np.array([2, 0, 0, 2]))
    assert scores[0] == pytest.approx([1 / np.sqrt(5), -1, 2 / np.sqrt(5)])
    found = scored_attack(scores, np.array([0]))
    assert (found.accuracy, found.accuracy_in_five) == (0, 1)
