from __future__ import annotations

from math import log2

import numpy as np
import pytest

from enfpire.audit.batches import absence, batch_leak, draw_batches
from enfpire.leakage.channel import Channel, uniform


def cells(groups: int, each: int, stray: float = 0.0) -> Channel:
    rows = np.eye(groups)[np.arange(groups * each) % groups]
    return Channel(uniform(groups * each), (1 - stray) * rows + stray / groups)


def test_one_photo_s_batch_is_one_message() -> None:
    """The class is one of the twelve of its group: it looks more likely than all of the other groups."""
    found = batch_leak(cells(7, 12), 1, 4000, np.random.default_rng(0))
    assert found.bits == pytest.approx(log2(7))
    assert found.accuracy == pytest.approx(found.prior, abs=1e-9)
    assert found.auc == pytest.approx(1 - 1 / 14, abs=0.01)  # half of the ties with batches of its own group


def test_a_set_that_names_every_class_tells_all() -> None:
    found = batch_leak(Channel(uniform(30), np.eye(30)), 6, 1000, np.random.default_rng(1))
    assert (found.accuracy, found.auc) == (1, 1)
    assert found.low > found.prior + 0.1


def test_one_group_tells_nothing() -> None:
    found = batch_leak(Channel(uniform(30), np.ones((30, 1))), 6, 2000, np.random.default_rng(2))
    assert (found.bits, found.auc) == (0, 0.5)
    assert found.low <= found.prior <= found.high


def test_a_larger_batch_hides_more() -> None:
    found = [batch_leak(cells(7, 12, 0.1), photos, 2000, np.random.default_rng(3)).auc for photos in (1, 4, 10, 30)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.85
    assert found[-1] < 0.55


def test_the_posterior_is_the_share_of_simulated_batches() -> None:
    """Unequal priors, unequal rows: what the attacker believes of each set is how it is with such sets."""
    random = np.random.default_rng(4)
    channel = Channel(random.dirichlet(np.ones(6)), random.dirichlet(np.full(4, 0.5), 6))
    inside, sent = draw_batches(channel, 5, 200_000, random)
    for names in np.unique(sent, axis=0):
        rows = (sent == names).all(axis=1)
        if rows.sum() < 5000:
            continue
        believed = np.exp(absence(channel, names[None], 5))[0]
        assert abs(believed - (1 - inside[rows].mean(axis=0))).max() < 0.08


def test_photos_in_as_many_groups_are_known_exactly() -> None:
    """Three photos in three groups: one photo a group, so the chance is the product over the groups."""
    random = np.random.default_rng(5)
    channel = Channel(random.dirichlet(np.ones(8)), random.dirichlet(np.ones(5), 8))
    sent = np.array([[True, True, False, False, True]])
    absent = np.prod(1 - (channel.joint / channel.messages)[:, sent[0]], axis=1)
    assert np.exp(absence(channel, sent, 3))[0] == pytest.approx(absent, abs=1e-4)


def test_batches_are_drawn_from_the_channel() -> None:
    inside, sent = draw_batches(cells(5, 4), 3, 3000, np.random.default_rng(6))
    assert (inside.sum(axis=1) <= 3).all()
    assert np.array_equal(sent, np.stack([inside[:, group::5].any(axis=1) for group in range(5)], axis=1))
    assert abs(inside.mean(axis=0) - (1 - (1 - 1 / 20) ** 3)).max() < 0.03
