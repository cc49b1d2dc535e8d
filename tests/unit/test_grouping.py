"""Groups by local search, what shapes them, and groups that stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.curation.cells import CellsOptions
from enfpire.curation.choosing import choose_groups, far_apart, keep_groups
from enfpire.curation.clustering import equal_sizes
from enfpire.curation.confusion import class_affinity, soft_choice
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.grouping import KindPenalty, Penalty, PriorPenalty, kind_counts, regroup, swap_gains, total
from enfpire.curation.held_out import splits
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.arrays import Doubles, Indices, normalised
from tests.unit.synthetic import RECIPE, means, photos

CENTRES = normalised(means(60, 32))
KNOWN = photos(means(60, 32), 6, spread=1.0)
OPTIONS = CellsOptions(classes_per_group=12)
KINDS = np.repeat([0, 1, 2], [30, 20, 10])


def random_affinity(classes: int, seed: int) -> Doubles:
    values = np.random.default_rng(seed).random((classes, classes))
    both: Doubles = values + values.T
    np.fill_diagonal(both, 0)
    return both


def swapped(groups: Indices, one: int, other: int) -> Indices:
    changed = groups.copy()
    changed[[one, other]] = groups[[other, one]]
    return changed


def penalties(seed: int) -> tuple[Penalty, ...]:
    random = np.random.default_rng(seed)
    priors = random.random(12)
    return (
        KindPenalty(random.integers(3, size=12), most=0.4, weight=2.0),
        PriorPenalty(priors / priors.sum(), weight=3.0),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 11), st.integers(0, 11), st.booleans())
def test_a_swap_changes_the_total_by_its_gain(seed: int, one: int, other: int, punished: bool) -> None:
    groups = np.random.default_rng(seed).permutation(np.arange(12) % 3)
    if groups[one] == groups[other]:
        return
    affinity, terms = random_affinity(12, seed), penalties(seed) if punished else ()
    gain = swap_gains(groups, affinity)[one, other] - sum(term.changes(groups)[one, other] for term in terms)
    after = total(swapped(groups, one, other), affinity, terms)
    assert after - total(groups, affinity, terms) == pytest.approx(gain)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_no_swap_improves_what_was_found(seed: int, punished: bool) -> None:
    start = np.random.default_rng(seed).permutation(np.arange(12) % 3)
    affinity, terms = random_affinity(12, seed), penalties(seed) if punished else ()
    found = regroup(start, affinity, terms)
    assert np.array_equal(np.bincount(found), np.bincount(start))
    value = total(found, affinity, terms)
    assert value >= total(start, affinity, terms) - 1e-9
    pairs = [(one, other) for one in range(12) for other in range(one)]
    assert max(total(swapped(found, *pair), affinity, terms) for pair in pairs) <= value + 1e-6


def test_confused_classes_share_a_group_though_their_means_are_far_apart() -> None:
    affinity = np.zeros((6, 6))
    affinity[[0, 2, 4], [5, 3, 1]] = affinity[[5, 3, 1], [0, 2, 4]] = 1
    found = regroup(np.array([0, 0, 1, 1, 2, 2]), affinity)
    assert found[0] == found[5]
    assert found[2] == found[3]
    assert found[4] == found[1]


def test_soft_choices_are_probabilities_and_follow_the_scores() -> None:
    scores = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32)
    chosen = soft_choice(scores)
    assert np.allclose(chosen.sum(axis=1), 1)
    assert np.array_equal(chosen.argmax(axis=1), scores.argmax(axis=1))
    assert np.allclose(soft_choice(scores * 7), chosen, atol=1e-5)


def test_classes_that_photos_confuse_have_affinity() -> None:
    close = CENTRES.copy()
    close[1] = normalised((close[0] + 0.05 * close[1])[None])[0]
    taken = photos(close, 9, spread=0.2)
    found = class_affinity(close, splits(taken.raw, taken.labels, RECIPE))
    assert np.allclose(found, found.T)
    assert (np.diag(found) == 0).all()
    assert found[0, 1] > 2 * found[0, 2:].max()


def test_groups_of_look_alikes_without_declarations() -> None:
    groups, cells = choose_groups(CENTRES, splits(KNOWN.raw, KNOWN.labels, RECIPE), OPTIONS, NOTHING)
    assert np.array_equal(groups, cells)
    assert np.bincount(groups).tolist() == [12] * 5
    same = groups[:, None] == groups[None, :]
    others = same & ~np.eye(60, dtype=bool)
    similar = CENTRES @ CENTRES.T
    assert similar[others].mean() > similar[~same].mean() + 0.04


def test_declared_kinds_are_mixed_as_far_as_asked() -> None:
    options = OPTIONS.model_copy(update={"most_kind": 0.52})
    groups, _ = choose_groups(CENTRES, [], options, Declared(kinds=KINDS))
    assert kind_counts(groups, KINDS).max(axis=1).sum() <= 0.52 * 60
    assert np.bincount(groups).tolist() == [12] * 5


def test_popular_classes_share_a_group() -> None:
    priors = 1 / np.arange(1, 61)
    priors = np.random.default_rng(0).permutation(priors / priors.sum())
    mixed, _ = choose_groups(CENTRES, [], OPTIONS, NOTHING)
    layered, _ = choose_groups(CENTRES, [], OPTIONS, Declared(priors=priors))
    named = [sum(priors[groups == g].max() for g in range(5)) for groups in (mixed, layered)]
    assert named[1] < 0.7 * named[0]


def test_groups_of_far_apart_cells() -> None:
    groups, cells = far_apart(CENTRES, 5, 3)
    assert sorted(np.bincount(groups).tolist()) == sorted(equal_sizes(60, 5).tolist())
    assert len(np.unique(cells)) == 15
    assert all(len(np.unique(groups[cells == cell])) == 1 for cell in range(15))
    alike, _ = choose_groups(CENTRES, [], OPTIONS, NOTHING)

    def inside(of: Indices) -> float:
        return float((CENTRES @ CENTRES.T)[of[:, None] == of[None, :]].mean())

    assert inside(cells) > inside(groups)
    assert inside(groups) < inside(alike)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_nobody_moves_when_classes_join_or_leave(seed: int, newcomers: int) -> None:
    random = np.random.default_rng(seed)
    kept = random.permutation(np.concatenate([np.arange(48) % 4, np.full(newcomers, -1)]))
    kept = np.delete(kept, np.flatnonzero(kept >= 0)[random.choice(40, 3, replace=False)])
    groups, _ = keep_groups(normalised(random.standard_normal((len(kept), 8)).astype(np.float32)), kept)
    assert np.array_equal(groups[kept >= 0], kept[kept >= 0])
    assert np.bincount(groups).max() <= max(-(-len(kept) // 4), np.bincount(kept[kept >= 0]).max())


def test_a_new_class_joins_its_look_alikes_while_there_is_room() -> None:
    kept = np.arange(60) % 5
    kept[7] = -1
    near = CENTRES.copy()
    near[7] = near[10]
    groups, _ = keep_groups(near, kept)
    assert groups[7] == kept[10] or np.bincount(kept[kept >= 0])[kept[10]] == 12


def test_a_group_without_a_class_cannot_be_kept() -> None:
    with pytest.raises(GalleryError, match="lost all"):
        keep_groups(CENTRES[:3], np.array([0, 2, 2]))


@pytest.mark.parametrize(
    ("options", "declared"),
    [
        (OPTIONS.model_copy(update={"cells_per_group": 3}), Declared(priors=np.full(60, 1 / 60))),
        (OPTIONS.model_copy(update={"cells_per_group": 3, "most_kind": 0.5}), Declared(kinds=KINDS)),
    ],
)
def test_wishes_that_exclude_each_other_are_not_dropped_silently(options: CellsOptions, declared: Declared) -> None:
    with pytest.raises(UsageError, match="at once: choose one"):
        choose_groups(CENTRES, [], options, declared)
