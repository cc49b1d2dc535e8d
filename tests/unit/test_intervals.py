from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from enfpire.leakage.intervals import balanced_interval, balanced_mean, balanced_mean_interval, wilson
from enfpire.wire.arrays import Doubles, Indices

TRIALS = 1_000


@pytest.mark.parametrize(("right", "total"), [(0, 10), (3, 17), (500, 1000), (12, 12)])
def test_wilson_s_interval_is_that_of_scipy(right: int, total: int) -> None:
    found = stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total, z=stats.norm.ppf(0.975)) == pytest.approx((found.low, found.high))


def test_without_a_trial_anything_is_possible() -> None:
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_certainty_is_not_claimed(right: float) -> None:
    labels = np.repeat(np.arange(5), 8)
    low, high = balanced_interval(np.full(40, right), labels)
    assert (low, high) == pytest.approx(wilson(right * 40, 40))
    assert high - low > 0.05


def test_one_class_is_a_plain_sample() -> None:
    """But for the two photos with which every class is drawn towards the mean: a little wider."""
    right = np.arange(200) < 60
    plain, found = wilson(60, 200), balanced_interval(right, np.zeros(200, dtype=np.intp))
    assert found == pytest.approx(plain, abs=2e-3)


def covered(rates: Doubles, counts: Indices, prior: Doubles | None = None) -> float:
    """How often the interval holds the true accuracy, simulated."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(rates)), counts)
    true = float(np.average(rates, weights=prior))
    within = 0
    for _ in range(TRIALS):
        low, high = balanced_interval(random.random(len(labels)) < rates[labels], labels, prior)
        within += low <= true <= high
    return within / TRIALS


@pytest.mark.parametrize("rate", [0.02, 0.086, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("photos", [1, 3, 14])
def test_classes_that_are_alike_are_covered(rate: float, photos: int) -> None:
    assert covered(np.full(60, rate), np.full(60, photos)) > 0.93


def test_classes_that_differ_are_covered() -> None:
    random = np.random.default_rng(1)
    assert covered(random.beta(5, 0.5, 60), random.integers(1, 40, 60)) > 0.93
    assert covered(np.array([0.95] * 5), np.array([200, 5, 5, 5, 5])) > 0.92
    assert covered(np.repeat([1.0, 0.0], [7, 74]), np.full(81, 14)) == 1


def test_a_prior_is_covered() -> None:
    random = np.random.default_rng(2)
    assert covered(random.random(20), np.full(20, 20), random.dirichlet(np.full(20, 0.3))) > 0.93


def test_classes_that_are_certain_make_it_narrow() -> None:
    """One class in ten is always named, as by a Bayes attacker: which photos were taken hardly matters."""
    labels = np.repeat(np.arange(100), 30)
    low, high = balanced_interval(labels % 10 == 0, labels)
    plain = wilson(300, 3000)
    assert low < 0.1 < high
    assert high - low < 0.6 * (plain[1] - plain[0])


def test_the_interval_is_around_the_balanced_mean() -> None:
    labels = np.repeat([0, 1, 4], [100, 4, 10])
    right = np.concatenate([np.arange(100) < 90, np.arange(4) < 1, np.arange(10) < 5])
    for prior in (None, np.array([0.2, 0.7, 0.05, 0.0, 0.05])):
        low, high = balanced_interval(right, labels, prior)
        assert low < balanced_mean(right, labels, prior) < high
    assert balanced_mean(right, labels, np.array([1.0, 0, 0, 0, 0])) == pytest.approx(0.9)


def test_means_of_values_are_covered() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(30), random.integers(1, 12, 30))
    means, spread = random.normal(10, 5, 30), random.uniform(0.5, 3, 30)
    within = 0
    for _ in range(TRIALS):
        values = random.normal(means[labels], spread[labels])
        low, high = balanced_mean_interval(values, labels)
        assert low < balanced_mean(values, labels) < high
        within += low <= means.mean() <= high
    assert 0.93 < within / TRIALS < 0.995


def test_the_mean_of_one_class_is_the_usual_one() -> None:
    values = np.random.default_rng(4).normal(3, 1, 400)
    low, high = balanced_mean_interval(values, np.zeros(400, dtype=np.intp))
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_a_photo_a_class_still_has_an_interval() -> None:
    values = np.random.default_rng(5).normal(0, 1, 50)
    low, high = balanced_mean_interval(values, np.arange(50))
    assert high - low == pytest.approx(2 * 1.96 * values.std(ddof=1) / np.sqrt(50))
    assert balanced_mean_interval(np.array([2.0]), np.array([0])) == (-np.inf, np.inf)


@pytest.mark.parametrize("classes", range(2, 90))
def test_all_right_and_all_wrong_have_intervals_whatever_rounding_does(classes: int) -> None:
    labels = np.repeat(np.arange(classes), 3)
    prior = np.random.default_rng(classes).dirichlet(np.ones(classes))
    for weights in (None, prior):
        low, high = balanced_interval(np.ones(len(labels), bool), labels, weights)
        assert 0 < low < 1
        assert high == pytest.approx(1)
        assert balanced_interval(np.zeros(len(labels), bool), labels, weights)[0] == pytest.approx(0)
