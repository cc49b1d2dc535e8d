from __future__ import annotations

import numpy as np
import pytest

from enfpire.audit.attackers import bayes_accuracy, bayes_attack, oracle_attack, popularity_attack
from enfpire.leakage.channel import Channel, channel_of, posterior_vulnerability, uniform
from enfpire.wire.arrays import Indices


def labels_of(classes: int, each: int) -> Indices:
    return np.repeat(np.arange(classes), each)


def test_five_guesses_name_five_classes_of_a_group() -> None:
    labels = labels_of(60, 10)
    found = bayes_attack(labels % 6, labels, values=6)
    assert (found.accuracy, found.accuracy_in_five) == pytest.approx((6 / 60, 30 / 60))
    assert found.interval[0] < 6 / 60 < found.interval[1]
    assert found.interval_in_five[0] < 30 / 60 < found.interval_in_five[1]
    assert (found.right <= found.right_in_five).all()


def test_fewer_than_five_classes_are_all_among_five_guesses() -> None:
    labels = labels_of(3, 8)
    assert bayes_attack(np.zeros(24, dtype=np.intp), labels, values=1).accuracy_in_five == 1


def test_a_declared_prior_is_used_and_counted() -> None:
    """Of each group the most popular class is named: 0.4 + 0.3, whatever the number of its photos."""
    prior = np.array([0.4, 0.1, 0.2, 0.3])
    labels = np.repeat(np.arange(4), [10, 30, 20, 40])
    found = bayes_attack(labels // 2, labels, values=2, prior=prior)
    assert found.accuracy == pytest.approx(0.7)
    assert found.interval[0] < 0.7 < found.interval[1]


def test_the_oracle_reaches_the_channel_s_own_figure() -> None:
    """On the photos that the channel was read off, and on others that it makes."""
    random = np.random.default_rng(6)
    true = Channel(uniform(30), random.dirichlet(np.full(5, 0.4), 30))
    labels = labels_of(30, 400)
    messages = (random.random(len(labels))[:, None] > np.cumsum(true.rows, axis=1)[labels, :-1]).sum(axis=1)
    seen = channel_of(messages, labels, 5)
    for guesses, name in ((1, "accuracy"), (5, "accuracy_in_five")):
        assert getattr(oracle_attack(seen, messages, labels), name) == pytest.approx(
            posterior_vulnerability(seen, guesses)
        )
    found = oracle_attack(true, messages, labels)
    assert found.interval[0] - 0.01 < posterior_vulnerability(true) < found.interval[1] + 0.01
    assert bayes_accuracy(messages, labels, 5) < oracle_attack(seen, messages, labels).accuracy + 1e-9


def test_popularity_alone_is_the_largest_prior() -> None:
    labels = labels_of(20, 3)
    prior = np.arange(1, 21) / 210
    found = popularity_attack(prior, labels)
    assert found.accuracy == pytest.approx(20 / 210)
    assert found.accuracy_in_five == pytest.approx((20 + 19 + 18 + 17 + 16) / 210)
