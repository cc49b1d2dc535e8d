from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from enfpire.audit.outsiders import (
    accepted,
    auroc,
    draw_outside,
    group_leak,
    renumbered,
)
from enfpire.wire.arrays import Floats


def scores(count: int, shift: float, seed: int) -> Floats:
    return (np.random.default_rng(seed).standard_normal(count) + shift).astype(np.float32)


def test_it_is_the_auroc_of_a_library_ties_and_all() -> None:
    known, strange = np.round(scores(80, 0.7, 1), 1), np.round(scores(50, 0, 2), 1)
    truth = np.repeat([1, 0], [80, 50])
    assert auroc(known, strange).value == pytest.approx(roc_auc_score(truth, np.concatenate([known, strange])))


def test_scores_that_are_equal_or_apart() -> None:
    same = auroc(np.ones(30, np.float32), np.ones(20, np.float32))
    assert same.value == 0.5
    apart = auroc(scores(30, 50, 1), scores(20, 0, 2))
    assert (apart.value, apart.high) == (1, 1)
    assert 0.8 < apart.low < 0.9
    assert auroc(scores(30, 0, 1), scores(20, 50, 2)).value == 0
    one = auroc(np.ones(1, np.float32), np.zeros(1, np.float32))
    assert one.value == 1
    assert one.low < 0.5


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """N(1, 1) against N(0, 1): Phi(1 / sqrt 2)."""
    truth = 0.7602499
    found = [auroc(scores(60, 1, 2 * seed), scores(40, 0, 2 * seed + 1)) for seed in range(300)]
    covered = np.mean([each.low < truth < each.high for each in found])
    assert 0.91 < covered < 0.99


def test_the_threshold_accepts_what_reaches_it() -> None:
    found = accepted(np.array([0.1, 0.25, 0.5, 0.75], np.float32), 0.5)
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    assert accepted(np.empty(0, np.float32), 0.3).value == 0


def test_groups_that_say_nothing_about_outsiders() -> None:
    random = np.random.default_rng(0)
    found = group_leak(random.integers(0, 7, 900), random.integers(0, 7, 300), 7)
    assert found.interval[0] < 0.5 < found.interval[1]


def test_a_group_of_outsiders_is_caught() -> None:
    assert group_leak(np.arange(600) % 6, np.full(200, 6), 7).accuracy == 1


def test_half_of_the_outsiders_in_one_group() -> None:
    """Known photos half and half, outsiders all in one: told apart in 3/4 of the cases."""
    found = group_leak(np.arange(4000) % 2, np.zeros(4000, dtype=np.intp), 2)
    assert found.accuracy == pytest.approx(0.75, abs=0.01)


def test_classes_left_out_are_outsiders() -> None:
    assert renumbered(5, np.array([1, 3])).tolist() == [0, -1, 1, -1, 2]
    drawn = draw_outside(40, 8, 1)
    assert len(set(drawn.tolist())) == 8
    assert drawn.tolist() == draw_outside(40, 8, 1).tolist() != draw_outside(40, 8, 2).tolist()
