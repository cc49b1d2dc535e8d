from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from enfpire.audit.walks import Steps, attack_walks, draw_walks, exact, likelihoods, posteriors
from enfpire.curation.transitions import Sparse, from_coordinates, from_weights
from enfpire.errors import UsageError
from enfpire.leakage.channel import uniform
from enfpire.leakage.intervals import wilson
from enfpire.leakage.repeats import SILENCE, remembered
from enfpire.wire.arrays import Doubles, Indices
from tests.unit.test_equitable import torus


def city(side: int) -> Steps:
    places = np.stack(np.divmod(np.arange(float(side**2)), side), axis=1)
    return Steps(uniform(side**2), from_coordinates(places, 2))


def some_steps(classes: int, jumps: float, seed: int) -> Steps:
    random = np.random.default_rng(seed)
    weights = np.where(random.random((classes, classes)) < 0.6, random.random((classes, classes)), 0)
    return Steps(random.dirichlet(np.ones(classes)), from_weights(csr_array(weights)), jumps)


def in_order(steps: Steps, messages: Indices, emission: Doubles) -> Doubles:
    """p(class | messages) at each position, shape (T, C, n)."""
    return np.stack(list(posteriors(steps, list(likelihoods(messages, emission))))[::-1])


def enumerated(steps: Steps, messages: Indices, emission: Doubles, memory: bool) -> Doubles:
    """The same for one walk (T,), summed over all walks and all groups that their photos may go to."""
    classes, groups = emission.shape
    length = len(messages)
    matrix = (1 - steps.jumps) * steps.matrix.toarray() + steps.jumps / classes
    total = np.zeros((length, classes))
    for walk in product(range(classes), repeat=length):
        chance = steps.prior[walk[0]] * np.prod([matrix[pair] for pair in pairwise(walk)])
        for sent in product(range(groups), repeat=length):
            asked = remembered(np.array([sent]))[0] if memory else np.array(sent)
            if np.array_equal(asked, messages):
                total[range(length), walk] += chance * np.prod(emission[list(walk), list(sent)])
    shares: Doubles = total / total.sum(axis=1, keepdims=True)
    return shares


@given(st.integers(0, 40), st.booleans(), st.sampled_from([0.05, 0.4]))
@settings(max_examples=20, deadline=None)
def test_smoothing_is_the_sum_over_all_walks(seed: int, memory: bool, jumps: float) -> None:
    steps = some_steps(3, jumps, seed)
    random = np.random.default_rng(seed)
    emission = random.dirichlet(np.ones(2), 3)
    drawn = random.integers(0, 2, (1, 4))
    messages = remembered(drawn) if memory else drawn
    found = in_order(steps, messages, emission)[:, :, 0]
    assert np.allclose(found, enumerated(steps, messages[0], emission, memory))


def test_lattice_cosets_of_a_torus_stay_uniform() -> None:
    """However long the walk: every spot of the group stays as likely at every position, and no other is possible."""
    x, y = np.divmod(np.arange(64), 8)
    steps = Steps(uniform(64), torus(8))
    for groups in ((x + 3 * y) % 8, x % 4 * 2 + y % 2):
        walks = draw_walks(steps, 20, 12, np.random.default_rng(0))
        found = in_order(steps, groups[walks], exact(groups))
        same = groups[None, :, None] == groups[walks].T[:, None, :]
        assert np.allclose(found, same / 8)


def test_groups_that_ignore_the_map_are_seen_through() -> None:
    steps, random = city(12), np.random.default_rng(1)
    x, y = np.divmod(np.arange(144), 12)
    areas = x // 6 * 2 + y // 6
    walks = draw_walks(steps, 400, 15, random)
    folded = np.minimum(x % 4, 3 - x % 4) * 4 + np.minimum(y % 8, 7 - y % 8)
    leaky, tight = (
        attack_walks(steps, walks, exact(groups), areas) for groups in (random.permutation(144) % 8, folded)
    )
    assert leaky.classes.share.max() > 0.5
    assert leaky.areas.share.max() > 0.7
    assert tight.classes.high.max() < 0.2
    assert tight.areas.share.mean() < 0.45


def test_one_photo_reaches_the_bound() -> None:
    steps = city(8)
    groups = np.random.default_rng(0).permutation(64) % 8
    found = attack_walks(
        steps, draw_walks(steps, 4_000, 1, np.random.default_rng(1)), exact(groups), np.arange(64) // 16
    )
    assert found.classes.low[0] <= 8 / 64 <= found.classes.high[0]
    assert found.classes.prior.tolist() == pytest.approx([1 / 64])
    assert found.areas.prior.tolist() == pytest.approx([1 / 4])


def test_one_group_tells_nothing_but_where_users_are() -> None:
    steps = Steps(np.array([0.5, 0.3, 0.2]), from_weights(csr_array(np.eye(3))))
    walks = draw_walks(steps, 3_000, 4, np.random.default_rng(0))
    found = attack_walks(steps, walks, np.ones((3, 1)), np.array([0, 1, 1]))
    assert found.classes.prior.tolist() == pytest.approx([0.5] * 4)
    assert (found.classes.low <= 0.5).all()
    assert (found.classes.high >= 0.5).all()
    assert found.areas.share == pytest.approx(found.classes.share)


def test_messages_of_misrouted_photos_tell_less() -> None:
    steps = city(8)
    groups = np.random.default_rng(2).permutation(64) % 4
    walks = draw_walks(steps, 500, 10, np.random.default_rng(3))
    sharp, blurred = (attack_walks(steps, walks, table, groups) for table in (exact(groups), 0.6 * exact(groups) + 0.1))
    assert blurred.classes.share.mean() < sharp.classes.share.mean()


def test_silence_is_a_message() -> None:
    """A client with a memory tells less than one without, and more than nothing: where it walks, it has been."""
    steps = city(8)
    groups = np.random.default_rng(2).permutation(64) % 8
    walks = draw_walks(steps, 500, 12, np.random.default_rng(3))
    asked, silent = (
        attack_walks(steps, walks, exact(groups), groups, memory=memory).classes.share for memory in (False, True)
    )
    assert asked[0] >= silent[0] > 8 / 64
    assert silent.mean() < asked.mean()
    tables = list(likelihoods(np.array([[3, SILENCE, 1, SILENCE]]), exact(groups)))
    assert np.array_equal(tables[1][:, 0], groups == 3)
    assert np.array_equal(tables[3][:, 0], (groups == 3) | (groups == 1))


def test_walks_follow_the_transitions() -> None:
    steps = some_steps(6, 0.0, 5)
    walks = draw_walks(steps, 20_000, 3, np.random.default_rng(6))
    assert np.bincount(walks[:, 0], minlength=6) / 20_000 == pytest.approx(steps.prior, abs=0.02)
    counts = np.zeros((6, 6))
    np.add.at(counts, (walks[:, 1], walks[:, 2]), 1)
    assert counts / counts.sum(axis=1, keepdims=True) == pytest.approx(steps.matrix.toarray(), abs=0.05)


def test_walks_that_jump_go_anywhere() -> None:
    walks = draw_walks(Steps(uniform(5), from_weights(csr_array(np.eye(5))), 0.5), 20_000, 2, np.random.default_rng(0))
    assert (walks[:, 0] == walks[:, 1]).mean() == pytest.approx(0.6, abs=0.02)


def test_a_step_that_is_ruled_out_is_told_unless_jumps_are_allowed() -> None:
    matrix: Sparse = from_weights(csr_array(np.eye(3)))
    walks = np.array([[0, 2]])
    with pytest.raises(UsageError, match="allow for jumps"):
        attack_walks(Steps(uniform(3), matrix), walks, np.eye(3), np.arange(3))
    found = attack_walks(Steps(uniform(3), matrix, 0.1), walks, np.eye(3), np.arange(3))
    assert found.classes.share.tolist() == [1, 1]


def test_figures_have_their_intervals() -> None:
    steps = city(6)
    walks = draw_walks(steps, 700, 5, np.random.default_rng(0))  # more than are smoothed at once
    named = attack_walks(steps, walks, exact(np.arange(36) % 6), np.arange(36) // 6).classes
    for share, low, high in zip(named.share, named.low, named.high, strict=True):
        assert (low, high) == pytest.approx(wilson(share * 700, 700))
    assert named.share[named.worst] == named.share.max()
