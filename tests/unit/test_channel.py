from __future__ import annotations

from itertools import combinations
from math import log2

import numpy as np
import pytest
import qif
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.errors import UsageError
from enfpire.leakage.anonymity import anonymity, label_diversity
from enfpire.leakage.channel import (
    Channel,
    channel_of,
    message_counts,
    min_capacity,
    min_entropy_leakage,
    mutual_information,
    of_kinds,
    posterior,
    posterior_vulnerability,
    prior_vulnerability,
    shares_of,
    uniform,
    worst_posterior,
)
from enfpire.leakage.guarantee import cells_guarantee
from enfpire.wire.arrays import Doubles

EXACT = 1e-9


def random_rows(rows: int, columns: int, seed: int) -> Doubles:
    """Distributions, some of them nearly certain, some nearly even."""
    random = np.random.default_rng(seed)
    return np.array([random.dirichlet(np.full(columns, random.choice([0.1, 1, 20]))) for _ in range(rows)])


@st.composite
def channels(draw: st.DrawFn) -> Channel:
    classes, values, seed = draw(st.integers(1, 12)), draw(st.integers(1, 8)), draw(st.integers(0, 2**32 - 1))
    return Channel(random_rows(1, classes, seed)[0], random_rows(classes, values, seed + 1))


def cells(groups: int, each: int) -> Channel:
    """Equally likely classes, as many to a group."""
    return Channel(uniform(groups * each), np.eye(groups)[np.arange(groups * each) % groups])


@settings(max_examples=60, deadline=None)
@given(channels())
def test_an_independent_library_measures_the_same(channel: Channel) -> None:
    prior, rows = channel.prior.copy(), channel.rows.copy()
    assert prior_vulnerability(channel) == pytest.approx(qif.measure.bayes_vuln.prior(prior), abs=EXACT)
    assert posterior_vulnerability(channel) == pytest.approx(qif.measure.bayes_vuln.posterior(prior, rows), abs=EXACT)
    assert min_entropy_leakage(channel) == pytest.approx(
        qif.measure.bayes_vuln.min_entropy_leakage(prior, rows), abs=1e-6
    )
    assert min_capacity(channel) == pytest.approx(log2(qif.measure.bayes_vuln.mult_capacity(rows)), abs=1e-6)
    assert mutual_information(channel) == pytest.approx(qif.measure.shannon.add_leakage(prior, rows), abs=1e-6)
    sent = channel.messages > 0
    table = posterior(channel)[sent].T
    assert table == pytest.approx(qif.channel.posteriors(rows[:, sent], prior), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(channels(), st.integers(1, 3))
def test_several_guesses_are_a_gain_function(channel: Channel, top: int) -> None:
    """Guessing `top` classes: as the library's g-vulnerability with a row a set of classes."""
    sets = list(combinations(range(channel.classes), min(top, channel.classes)))
    gains = np.array([[float(name in guess) for name in range(channel.classes)] for guess in sets])
    prior, rows = channel.prior.copy(), channel.rows.copy()
    assert prior_vulnerability(channel, top) == pytest.approx(qif.measure.g_vuln.prior(gains, prior), abs=EXACT)
    found = qif.measure.g_vuln.posterior(gains, prior, rows)
    assert posterior_vulnerability(channel, top) == pytest.approx(found, abs=EXACT)


@settings(max_examples=60, deadline=None)
@given(channels(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_nothing_that_is_done_to_a_message_makes_it_tell_more(channel: Channel, values: int, seed: int) -> None:
    after = Channel(channel.prior, channel.rows @ random_rows(channel.values, values, seed))
    for measure in (posterior_vulnerability, min_capacity, mutual_information, min_entropy_leakage):
        assert measure(after) <= measure(channel) + EXACT
    assert anonymity(after).entropy >= anonymity(channel).entropy - EXACT


@settings(max_examples=60, deadline=None)
@given(channels())
def test_what_a_message_tells_is_bounded(channel: Channel) -> None:
    bits = log2(channel.values) + EXACT
    assert prior_vulnerability(channel) <= posterior_vulnerability(channel) + EXACT
    assert -EXACT <= min_entropy_leakage(channel) <= min_capacity(channel) + EXACT <= bits + EXACT
    assert 0 <= mutual_information(channel) <= bits
    largest = np.sort(channel.prior)[-channel.values :].sum()
    assert posterior_vulnerability(channel) <= largest + EXACT
    assert posterior_vulnerability(channel) <= worst_posterior(channel, 0) + EXACT
    for guesses in range(1, channel.classes):
        assert posterior_vulnerability(channel, guesses) <= posterior_vulnerability(channel, guesses + 1) + EXACT
    assert posterior_vulnerability(channel, channel.classes) == pytest.approx(1)


@pytest.mark.parametrize(("groups", "each"), [(1, 9), (7, 12), (40, 100)])
def test_groups_of_equal_size_have_their_closed_forms(groups: int, each: int) -> None:
    channel = cells(groups, each)
    classes = groups * each
    bound = cells_guarantee(np.full(groups, each, np.uint32)).bound
    assert posterior_vulnerability(channel) == pytest.approx(bound) == pytest.approx(groups / classes)
    assert posterior_vulnerability(channel, 5) == pytest.approx(5 * bound)
    for bits in (min_entropy_leakage(channel), min_capacity(channel), mutual_information(channel)):
        assert bits == pytest.approx(log2(groups))
    assert worst_posterior(channel) == pytest.approx(1 / each)
    found = anonymity(channel)
    assert (found.entropy, found.effective, found.count) == pytest.approx((log2(each), each, each))
    assert found.worst_effective == pytest.approx(each)
    assert found.worst_count == each


def test_a_symmetric_binary_channel_has_its_closed_form() -> None:
    channel = Channel(uniform(2), np.array([[0.9, 0.1], [0.1, 0.9]]))
    noise = -0.9 * log2(0.9) - 0.1 * log2(0.1)
    assert posterior_vulnerability(channel) == pytest.approx(0.9)
    assert min_capacity(channel) == pytest.approx(log2(1.8))
    assert mutual_information(channel) == pytest.approx(1 - noise)
    assert anonymity(channel).entropy == pytest.approx(noise)


def test_the_worst_group_is_not_one_that_hardly_exists() -> None:
    """Class 0 gives itself away, but once in 40,000 photos."""
    rows = np.array([[0.9999, 0, 0.0001], *([[1, 0, 0]] * 2), [0, 1, 0]])
    channel = Channel(uniform(4), rows)
    assert worst_posterior(channel) == pytest.approx(1)  # the group of one class
    wide = Channel(uniform(4), np.array([[0.9999, 0, 0.0001], [1, 0, 0], [0, 1, 0], [0, 1, 0]]))
    assert worst_posterior(wide) == pytest.approx(0.5, abs=1e-3)
    assert worst_posterior(wide, negligible=0) == pytest.approx(1)
    assert anonymity(wide).worst_count == 2


def test_a_worst_group_is_found_where_every_message_is_rare() -> None:
    assert worst_posterior(cells(2000, 3)) == pytest.approx(1 / 3)


def test_stray_photos_open_no_class() -> None:
    """One photo in fifty goes astray, to the other group: it does not make the candidates twice as many."""
    rows = np.where(np.arange(20)[:, None] % 2 == np.arange(2), 0.98, 0.02)
    found = anonymity(Channel(uniform(20), rows))
    assert found.worst_count == 10
    assert 10 < found.effective < 12


def test_a_message_that_is_never_sent_says_nothing() -> None:
    channel = Channel(uniform(2), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert posterior(channel).tolist() == [[0.5, 0.5], [0, 0]]
    assert min_entropy_leakage(channel) == mutual_information(channel) == 0


def test_kinds_that_a_group_leaves_open() -> None:
    """Group 0: three classes of kind 0. Group 1: one of each of three kinds."""
    channel = Channel(uniform(6), np.eye(2)[[0, 0, 0, 1, 1, 1]])
    kinds = np.array([0, 0, 0, 0, 1, 2])
    found = label_diversity(channel, kinds)
    assert found.distinct.tolist() == [1, 3]
    assert found.bits == pytest.approx([0, log2(3)])
    assert (found.mean_distinct, found.mean_bits) == pytest.approx((2, log2(3) / 2))
    assert (found.worst_distinct, found.worst_bits) == (1, 0)
    assert posterior_vulnerability(of_kinds(channel, kinds)) == pytest.approx((3 + 1) / 6)
    assert prior_vulnerability(of_kinds(channel, kinds)) == pytest.approx(4 / 6)


@settings(max_examples=40, deadline=None)
@given(channels(), st.integers(0, 2**32 - 1))
def test_a_kind_is_a_secret_as_any_other(channel: Channel, seed: int) -> None:
    """The message multiplies the chance to guess the kind by no more than it may for the class."""
    kinds = np.unique(np.random.default_rng(seed).integers(3, size=channel.classes), return_inverse=True)[1]
    if (np.bincount(kinds, weights=channel.prior) == 0).any():
        return
    kind = of_kinds(channel, kinds)
    assert kind.messages == pytest.approx(channel.messages)
    assert posterior_vulnerability(kind) >= posterior_vulnerability(channel) - EXACT
    assert min_entropy_leakage(kind) <= min_capacity(channel) + EXACT
    assert mutual_information(kind) <= mutual_information(channel) + EXACT


def test_a_channel_is_read_off_photos() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2, 1])
    messages = np.array([0, 0, 0, 1, 1, 1, 0])
    found = channel_of(messages, labels, values=3)
    assert found.prior.tolist() == pytest.approx([1 / 3] * 3)
    assert found.rows.tolist() == [[0.75, 0.25, 0], [1, 0, 0], [0, 1, 0]]
    assert channel_of(messages, labels, 3, prior=np.array([0.5, 0.5, 0])).prior.tolist() == [0.5, 0.5, 0]


def test_a_class_without_messages_has_no_shares() -> None:
    assert shares_of(np.array([[3.0, 1], [0, 0]])).tolist() == [[0.75, 0.25], [0, 0]]


def test_many_photos_show_the_true_channel() -> None:
    true = Channel(uniform(9), random_rows(9, 4, 3))
    random = np.random.default_rng(4)
    labels = np.repeat(np.arange(9), 20_000)
    messages = (random.random(len(labels))[:, None] > np.cumsum(true.rows, axis=1)[labels, :-1]).sum(axis=1)
    assert abs(channel_of(messages, labels, 4).rows - true.rows).max() < 5 * 0.5 / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("prior", "rows"),
    [
        ([1.0], [[0.5, 0.6]]),
        ([1.0], [[1.5, -0.5]]),
        ([0.5, 0.4], [[1.0], [1.0]]),
        ([1.0], [[float("nan"), 1.0]]),
    ],
)
def test_what_is_no_distribution_is_refused(prior: list[float], rows: list[list[float]]) -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        Channel(np.array(prior), np.array(rows))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="a row a class"):
        Channel(uniform(2), np.ones((3, 1)))
    with pytest.raises(UsageError, match="a row a class"):
        Channel(np.zeros(0), np.zeros((0, 2)))
    with pytest.raises(UsageError, match="class 1 has no message"):
        channel_of(np.array([0, 0]), np.array([0, 2]), values=1)
    for messages, labels in (([3], [0]), ([-1], [0]), ([0], [-1])):
        with pytest.raises(UsageError, match="outside of 0 to"):
            message_counts(np.array(messages), np.array(labels), values=3)
    with pytest.raises(UsageError, match="kind 1 has no class"):
        of_kinds(cells(2, 2), np.array([0, 2, 0, 2]))


def test_a_channel_does_not_change() -> None:
    rows = np.eye(2)
    channel = Channel(uniform(2), rows)
    rows[0] = 0.5
    assert channel.rows.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="read-only"):
        channel.rows[0] = 0.5
