from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.leakage.guarantee import CellsGuarantee, cells_guarantee, efficiency, guarantee_of
from tests.wire import samples


def test_the_figures_of_a_plain_case() -> None:
    found = cells_guarantee(np.array([12, 12, 12, 12, 11, 11, 11], np.uint32))
    assert found == CellsGuarantee(groups=7, classes=81, bits=log2(7), bound=7 / 81, smallest_group=11)


def test_a_bundle_shows_its_own_guarantee() -> None:
    found = guarantee_of(samples.bundle())
    assert isinstance(found, CellsGuarantee)
    assert (found.groups, found.classes, found.smallest_group) == (2, 5, 2)
    assert guarantee_of(samples.projection_bundle()) is None


def test_a_class_a_group_promises_nothing() -> None:
    assert cells_guarantee(np.ones(9, np.uint32)).bound == 1
    assert cells_guarantee(np.array([500], np.uint32)).bits == 0


def test_large_counts_do_not_wrap_around() -> None:
    assert cells_guarantee(np.full(4, 2**31, np.uint32)).classes == 2**33


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_no_attacker_is_better_than_the_bound(sizes: list[int], seed: int) -> None:
    """Every strategy is: a class for each group number. The best one is right as often as there are groups."""
    owners = np.repeat(np.arange(len(sizes)), sizes)
    bound = cells_guarantee(np.array(sizes, np.uint32)).bound
    guesses = np.random.default_rng(seed).integers(0, len(owners), (200, len(sizes)))
    best = np.array([np.flatnonzero(owners == group)[0] for group in range(len(sizes))])
    right = [(np.arange(len(owners)) == strategy[owners]).mean() for strategy in [*guesses, best]]
    assert max(right) <= bound + 1e-12
    assert right[-1] == pytest.approx(bound)


def test_nature_s_limit_is_one() -> None:
    """k equal classes a group, all of them sent: retention 1 at K = k and bound 1/k."""
    assert efficiency(1.0, 10, cells_guarantee(np.full(4, 10, np.uint32)).bound) == pytest.approx(1.0)
