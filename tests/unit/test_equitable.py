from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from enfpire.curation.equitable import area_share, equitable_groups, likeness, mismatch
from enfpire.curation.foldings import axes_of, crossed, cut, fold, slide, slow_modes
from enfpire.curation.swaps import Flow, Spread, Term, improved, pooled
from enfpire.curation.transitions import Sparse, Transitions, from_coordinates, from_weights
from enfpire.errors import UsageError
from enfpire.wire.arrays import Doubles, Indices, normalised


def torus(side: int) -> Sparse:
    """Steps to the four neighbours on a map without borders."""
    ring = np.roll(np.eye(side), 1, axis=1) + np.roll(np.eye(side), -1, axis=1)
    return from_weights(csr_array(np.kron(ring, np.eye(side)) + np.kron(np.eye(side), ring)))


def grid(rows: int, columns: int, order: Indices | None = None) -> Sparse:
    places = np.stack(np.divmod(np.arange(float(rows * columns)), columns), axis=1)
    return from_coordinates(places if order is None else places[order], 2)


def named(matrix: Sparse, coordinates: Doubles | None = None) -> Transitions:
    return Transitions(tuple(f"spot {number}" for number in range(matrix.shape[0])), matrix, coordinates)


def some_matrix(classes: int, seed: int) -> Sparse:
    random = np.random.default_rng(seed)
    return from_weights(
        csr_array(np.where(random.random((classes, classes)) < 0.3, random.random((classes, classes)), 0))
    )


def share_of(matrix: Sparse) -> float:
    moves = matrix.toarray()
    np.fill_diagonal(moves, 0)
    return float(1 / (2 * (moves**2).sum()))


def uneven(matrix: Sparse, groups: Indices) -> float:
    """The definition of `mismatch`, group by group."""
    members = np.eye(groups.max() + 1)[groups]
    total = 0.0
    for masses in (matrix.toarray() @ members, matrix.toarray().T @ members):
        for group in range(groups.max() + 1):
            own = masses[groups == group]
            total += ((own - own.mean(axis=0)) ** 2).sum()
    return float(total * share_of(matrix))


def shuffled(classes: int, groups: int, seed: int) -> Indices:
    return np.random.default_rng(seed).permutation(np.arange(classes) % groups)


@pytest.mark.parametrize(("across", "down", "groups"), [(1, 3, 8), (4, 1, 8), (1, 2, 4)])
def test_lattice_cosets_of_a_torus_are_equitable(across: int, down: int, groups: int) -> None:
    x, y = np.divmod(np.arange(64), 8)
    assert mismatch(torus(8), (across * x + down * y) % groups) == pytest.approx(0, abs=1e-12)


@given(st.integers(6, 30), st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_mismatch_is_the_variance_inside_groups(classes: int, groups: int, seed: int) -> None:
    matrix, found = some_matrix(classes, seed), shuffled(classes, groups, seed)
    assert mismatch(matrix, found) == pytest.approx(uneven(matrix, found))


def test_groups_at_random_have_a_mismatch_near_one() -> None:
    assert mismatch(grid(16, 16), shuffled(256, 8, 0)) == pytest.approx(1, abs=0.25)
    slow = csr_array(0.9 * np.eye(256) + 0.1 * grid(16, 16).toarray())
    assert mismatch(slow, shuffled(256, 8, 0)) == pytest.approx(1, abs=0.25)


@given(st.integers(8, 25), st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_what_a_swap_changes_is_what_it_changes(classes: int, groups: int, seed: int) -> None:
    """Also after a swap, which a term must take into account; groups of unequal size, directed transitions."""
    matrix, found = some_matrix(classes, seed), shuffled(classes, groups, seed)
    rows = np.random.default_rng(seed).standard_normal((classes, 3))
    share = share_of(matrix)
    flows = [Flow(each, found, share) for each in (matrix, csr_array(matrix.T))]
    terms: list[Term] = [*flows, Spread(rows, found, -0.3)]

    def cost(of: Indices) -> float:
        return mismatch(matrix, of) - 0.3 * pooled(rows, of)

    for one in (0, classes // 2):
        others = np.flatnonzero(found != found[one])
        told = np.sum([term.changes(one, others, found) for term in terms], axis=0)
        after = []
        for other in others:
            swapped = found.copy()
            swapped[one], swapped[other] = found[other], found[one]
            after.append(cost(swapped) - cost(found))
        assert np.allclose(told, after)
        for term in terms:
            term.swap(one, int(others[0]), found)
        found[one], found[others[0]] = found[others[0]], found[one]


def test_swaps_only_improve_and_keep_sizes() -> None:
    matrix, start = grid(8, 8), shuffled(64, 5, 1)
    share = share_of(matrix)
    terms: list[Term] = [Flow(each, start, share) for each in (matrix, csr_array(matrix.T))]
    found = improved(start, terms, np.random.default_rng(0))
    assert np.array_equal(np.bincount(found), np.bincount(start))
    assert mismatch(matrix, found) < 0.8 * mismatch(matrix, start)


def test_a_strip_folds_like_a_map() -> None:
    axis = np.arange(12.0)
    assert cut(fold(axis, 3), 4).tolist() == [0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3]
    assert cut(slide(axis, 3), 4).tolist() == [0, 1, 2, 3] * 3


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_crossed_cuts_are_of_equal_size(classes: int, rows: int, columns: int) -> None:
    first, second = np.random.default_rng(classes).random((2, classes))
    sizes = np.bincount(crossed(first, second, rows, columns), minlength=rows * columns)
    assert sizes.max() - sizes.min() <= 1


def test_axes_are_found_without_coordinates() -> None:
    """Even those of a square, whose two slowest modes are any mixture of the two."""
    order = np.random.default_rng(0).permutation(256)
    x, y = np.divmod(order, 16)
    found = {cut(axis, 16).tobytes() for axis in axes_of(grid(16, 16, order))}
    for place in (x, y):
        assert found & {place.tobytes(), (15 - place).tobytes()}


@pytest.mark.parametrize("hint", [False, True])
def test_a_map_is_folded(hint: bool) -> None:
    order = np.random.default_rng(1).permutation(144)
    places = np.stack(np.divmod(order, 12), axis=1).astype(np.float64)
    matrix = grid(12, 12, order)
    groups = equitable_groups(named(matrix, places if hint else None), 8)
    assert np.bincount(groups).tolist() == [18] * 8
    x, y = places.astype(np.intp).T
    assert mismatch(matrix, groups) < 0.6 * mismatch(matrix, x % 4 * 2 + y % 2)


def test_a_tour_is_cut_into_cosets() -> None:
    """Round in a circle, one way: groups by place modulo G are equitable, folded ones are not."""
    matrix = from_weights(csr_array(np.roll(np.eye(48), 1, axis=1)))
    assert mismatch(matrix, equitable_groups(named(matrix), 4)) == pytest.approx(0, abs=1e-9)


def test_area_is_traded_for_mismatch() -> None:
    matrix = grid(16, 16)
    modes = slow_modes(matrix, 15)
    near, far = (equitable_groups(named(matrix), 8, area_weight=weight) for weight in (0.0, 2.0))
    assert mismatch(matrix, near) <= mismatch(matrix, far) + 1e-12
    assert area_share(modes, far) < area_share(modes, near)


def test_areas_have_all_of_the_slow_modes_and_spread_groups_none() -> None:
    halves = np.arange(40) // 20
    matrix = from_weights(csr_array((halves[:, None] == halves) * 1.0 + 0.001))
    slowest = slow_modes(matrix, 1)
    assert area_share(slowest, halves) == pytest.approx(1)
    assert area_share(slowest, np.arange(40) % 2) == pytest.approx(0, abs=1e-9)


def test_look_alikes_are_put_together_where_that_is_asked_for() -> None:
    random = np.random.default_rng(2)
    kinds = np.repeat(np.eye(6), 6, axis=0)[random.permutation(36)]
    means = normalised((kinds + 0.05 * random.standard_normal((36, 6))).astype(np.float32))
    transitions = named(grid(6, 6))
    without, together = equitable_groups(transitions, 6), equitable_groups(transitions, 6, means, weight=5.0)
    assert likeness(means.astype(np.float64), together) > 0.95
    assert likeness(means.astype(np.float64), without) < 0.5


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_any_graph_is_cut_into_equal_groups(classes: int, groups: int, seed: int) -> None:
    if groups > classes:
        with pytest.raises(UsageError, match="do not make"):
            equitable_groups(named(some_matrix(classes, seed)), groups)
        return
    sizes = np.bincount(equitable_groups(named(some_matrix(classes, seed)), groups, seed=seed), minlength=groups)
    assert sizes.max() - sizes.min() <= 1


def test_users_who_never_move_make_no_axis() -> None:
    still = from_weights(csr_array((12, 12), dtype=np.float64))
    assert axes_of(still) == []
    assert np.bincount(equitable_groups(named(still), 3)).tolist() == [4, 4, 4]


def test_groups_do_not_change_from_run_to_run() -> None:
    transitions = named(grid(9, 11))
    assert np.array_equal(equitable_groups(transitions, 7, seed=3), equitable_groups(transitions, 7, seed=3))
