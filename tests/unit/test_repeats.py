from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.audit.clients import Forgetful, Looking, Remembering
from enfpire.audit.repeats import ATTACKERS, known_channel_repeats, learned_repeats, strongest, watch
from enfpire.leakage.channel import Channel, posterior_vulnerability, uniform
from enfpire.leakage.repeats import (
    draw_messages,
    remembered,
    remembered_vulnerability,
    repeated_vulnerability,
    repeats_bound,
)
from enfpire.wire.arrays import Indices

Seen = tuple[int, ...]


def random_channel(classes: int, values: int, seed: int) -> Channel:
    random = np.random.default_rng(seed)
    return Channel(random.dirichlet(np.ones(classes)), random.dirichlet(np.full(values, 0.5), classes))


def cells(groups: int, each: int, stray: float) -> Channel:
    """Photos go astray, a class in its own way."""
    classes = groups * each
    wrong = np.random.default_rng(0).dirichlet(np.full(groups, 0.3), classes)
    return Channel(uniform(classes), (1 - stray) * np.eye(groups)[np.arange(classes) % groups] + stray * wrong)


def enumerated(channel: Channel, photos: int, seen: Callable[[Seen], Seen]) -> float:
    """The optimal attacker's accuracy, from every sequence of messages and what is seen of it."""
    joint: dict[Seen, np.ndarray] = {}
    for messages in product(range(channel.values), repeat=photos):
        chances = channel.prior * channel.rows[:, messages].prod(axis=1)
        joint[seen(messages)] = joint.get(seen(messages), 0) + chances
    return float(sum(chances.max() for chances in joint.values()))


def first_times(messages: Seen) -> Seen:
    return tuple(-1 if one in messages[:place] else one for place, one in enumerate(messages))


def order(messages: Seen) -> Seen:
    return tuple(one for one in first_times(messages) if one >= 0)


@pytest.mark.parametrize(("classes", "values", "photos"), [(5, 3, 1), (5, 3, 4), (4, 2, 9), (6, 4, 5)])
def test_repeats_are_enumerated(classes: int, values: int, photos: int) -> None:
    channel, random = random_channel(classes, values, 1), np.random.default_rng(2)
    found = repeated_vulnerability(channel, photos, random)
    assert found == pytest.approx(enumerated(channel, photos, lambda messages: messages))
    timed = remembered_vulnerability(channel, photos, random)
    assert timed == pytest.approx(enumerated(channel, photos, first_times), abs=0.01)
    untimed = remembered_vulnerability(channel, photos, random, clock=False)
    assert untimed == pytest.approx(enumerated(channel, photos, order), abs=0.01)


def test_what_is_drawn_agrees_with_what_is_enumerated(monkeypatch: pytest.MonkeyPatch) -> None:
    channel, random = random_channel(9, 4, 3), np.random.default_rng(4)
    exact = repeated_vulnerability(channel, 6, random)
    monkeypatch.setattr("enfpire.leakage.repeats.ENUMERATED", 0)
    assert repeated_vulnerability(channel, 6, random) == pytest.approx(exact, abs=0.01)


def test_a_binary_message_has_its_closed_form() -> None:
    """Two classes, a message that is right three times in four: of three, the majority is right."""
    channel = Channel(uniform(2), np.array([[0.75, 0.25], [0.25, 0.75]]))
    assert repeated_vulnerability(channel, 3, np.random.default_rng(0)) == pytest.approx(0.75**3 + 3 * 0.75**2 * 0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_more_messages_tell_more_and_no_more_than_the_bound(classes: int, values: int, seed: int) -> None:
    channel, random = random_channel(classes, values, seed), np.random.default_rng(seed)
    found = [repeated_vulnerability(channel, messages, random) for messages in range(1, 6)]
    assert found[0] == pytest.approx(posterior_vulnerability(channel))
    assert all(after >= before - 1e-9 for before, after in pairwise(found))
    for messages, one in enumerate(found, 1):
        assert one <= repeats_bound(values, float(channel.prior.max()), messages) + 1e-9


def test_the_bound_of_repeats() -> None:
    assert repeats_bound(7, 1 / 81, 1) == pytest.approx(7 / 81)
    assert repeats_bound(7, 1 / 81, 2) == pytest.approx(49 / 81)
    assert repeats_bound(7, 1 / 81, 3) == 1
    assert repeats_bound(4096, 1e-6, 10_000) == 1
    assert repeats_bound(1, 0.25, 10_000) == 0.25


def test_the_same_group_again_tells_nothing() -> None:
    channel, random = cells(5, 6, stray=0), np.random.default_rng(5)
    for photos in (1, 2, 20):
        assert repeated_vulnerability(channel, photos, random) == pytest.approx(1 / 6)
        assert remembered_vulnerability(channel, photos, random, draws=200) == pytest.approx(1 / 6)


def test_a_group_is_asked_for_once() -> None:
    messages = np.array([[3, 3, 0, 3, 0], [1, 2, 1, 4, 4], [0, 0, 0, 0, 0]])
    assert remembered(messages).tolist() == [[3, -1, 0, -1, -1], [1, 2, -1, 4, -1], [0, -1, -1, -1, -1]]


def test_messages_are_drawn_from_the_channel() -> None:
    channel = random_channel(4, 5, 6)
    drawn = draw_messages(channel, 3, 60_000, np.random.default_rng(7))
    assert abs(np.bincount(drawn.ravel(), minlength=5) / drawn.size - channel.messages).max() < 0.01


def test_who_knows_the_channel_is_as_good_as_its_formula() -> None:
    channel, random = cells(5, 6, 0.3), np.random.default_rng(8)
    for found in known_channel_repeats(channel, random, trials=2000, photos=(1, 2, 5, 10)):
        exact = repeated_vulnerability(channel, found.photos, random)
        assert found.accuracy == pytest.approx(exact, abs=0.012)
        assert found.low < found.accuracy < found.high


def test_who_learns_comes_near_who_knows() -> None:
    """And never better but by chance: what was learned by heart is worth nothing on other clients."""
    channel, random = cells(5, 6, 0.3), np.random.default_rng(9)
    for photos, found in strongest(learned_repeats(Remembering(channel), 30, random)).items():
        best = remembered_vulnerability(channel, photos, random)
        assert 0.95 * best - 0.01 < found.accuracy < best + 0.012, photos


def test_steps_need_fewer_clients_than_knowing_by_heart() -> None:
    channel, random = cells(5, 6, 0.3), np.random.default_rng(10)
    found = {one.attacker: one for one in learned_repeats(Remembering(channel), 30, random, trials=400, photos=(20,))}
    assert found["steps"].low > found["places"].high


def test_a_client_of_which_nothing_is_to_be_learned() -> None:
    """Every class does the same at random: many sequences, each seen once, and all attackers are at chance."""
    channel, random = Channel(uniform(20), np.full((20, 6), 1 / 6)), np.random.default_rng(11)
    for client in (Forgetful(channel), Remembering(channel)):
        for found in learned_repeats(client, 20, random, trials=400, photos=(1, 10)):
            assert found.accuracy < 1 / 20 + 0.015, found


def test_silence_is_a_message() -> None:
    """All classes ask for one group; class 0's client does so at its first photo, class 1's at its second."""

    def simulate(label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:  # noqa: ARG001
        asked = np.full((trials, photos), -1)
        asked[:, label] = 3
        return asked

    found = {one.attacker: one.accuracy for one in learned_repeats(simulate, 2, np.random.default_rng(0), 40, (2,))}
    assert found == {"order": 0.5, "places": 1, "steps": 1}


def test_an_order_is_seen_without_a_clock() -> None:
    """Class 0 asks for group 0 and then 1, class 1 the other way round; anything may lie between."""

    def simulate(label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        asked = np.full((trials, photos), -1)
        places = np.sort(random.permuted(np.tile(np.arange(photos), (trials, 1)), axis=1)[:, :2], axis=1)
        rows = np.arange(trials)
        asked[rows, places[:, 0]], asked[rows, places[:, 1]] = label, 1 - label
        return asked

    only = {"order": ATTACKERS["order"]}
    (found,) = learned_repeats(simulate, 2, np.random.default_rng(1), 400, (6,), only)
    assert found.accuracy == 1


def test_a_client_looks_into_the_sets_that_it_holds() -> None:
    """Photo 0 goes to group 0 and fits its set; photo 1 goes to group 1, and fits both."""
    scores = np.array([[1, 0.7, 0], [0.9, 1, 0]], np.float32)
    client = Looking(scores, 0.2, np.array([0, 0]))
    asked = client(0, 12, 4000, np.random.default_rng(2))
    first = asked[:, 0]
    assert abs((first == 0).mean() - 0.5) < 0.05
    assert (asked[first == 0, 1:] == -1).all()
    later = asked[first == 1, 1:]
    assert ((later == 0).sum(axis=1) <= 1).all()
    assert ((later == 0).any(axis=1)).mean() > 0.99
    assert not (later == 1).any()


def test_a_client_without_slack_asks_as_one_that_remembers() -> None:
    labels = np.repeat([0, 1], 5)
    groups = np.random.default_rng(3).integers(0, 3, 10)
    client = Looking(np.eye(3, dtype=np.float32)[groups], 0.0, labels)
    asked = client(1, 6, 3, np.random.default_rng(4))
    drawn = np.random.default_rng(4).choice(np.arange(5, 10), (3, 6))
    assert np.array_equal(asked, remembered(groups[drawn]))


def test_looking_first_tells_less() -> None:
    """Sets that fit everything are never left: after the first photo the server learns nothing more."""
    random = np.random.default_rng(5)
    labels = np.repeat(np.arange(30), 10)
    groups = np.where(random.random(300) < 0.7, labels % 5, random.integers(0, 5, 300))
    willing, wary = (Looking(np.eye(5, dtype=np.float32)[groups], slack, labels) for slack in (1.0, 0.0))
    found = [
        strongest(learned_repeats(client, 30, random, 600, (1, 10)))[photos].accuracy
        for client, photos in ((willing, 1), (willing, 10), (wary, 10))
    ]
    assert found[1] == pytest.approx(found[0], abs=0.03)
    assert found[2] > 2 * found[1]


def test_clients_are_watched_from_their_first_photo() -> None:
    watched = watch(Remembering(cells(3, 2, 0.5)), 6, 8, 50, np.random.default_rng(6))
    assert watched.asked.shape == (300, 8)
    assert np.bincount(watched.labels).tolist() == [50] * 6
    assert (watched.until(1).asked >= 0).all()
