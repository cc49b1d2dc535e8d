"""Cells as they are fitted: routing of left-out photos, over-asking, dials, and groups that were published."""

from __future__ import annotations

import numpy as np
import pytest

from enfpire.client.transforms.cells import CellsTransform
from enfpire.curation.cells import CellsDraft, CellsOptions, held_out_routing
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Fit, fit
from enfpire.curation.held_out import splits
from enfpire.curation.one_thread import one_thread
from enfpire.curation.over_asking import candidate_classes
from enfpire.errors import UsageError
from enfpire.wire.bundle import Cells
from tests.unit.synthetic import CELLS, RECIPE, enrolled, means, photos, shop

PER_CELL = CellsOptions(classes_per_group=12, anchors="cell")
MEANS = means(66, 32)


def gallery(classes: list[int]) -> Enrolled:
    """Some of 66 classes, each under its own name."""
    taken = photos(MEANS[classes], 5, seed=1)
    made = enrolled(taken)
    return Enrolled(
        made.gallery, made.raw, made.labels, tuple(f"class {one:03}" for one in classes), made.infos, made.extractor
    )


def draft_of(fitted: Fit) -> CellsDraft:
    assert isinstance(fitted.transform, CellsDraft)
    return fitted.transform


def fitted(classes: list[int], published: Fit | None = None, options: CellsOptions = CELLS) -> Fit:
    with one_thread():
        return fit(gallery(classes), options, RECIPE, published=published)


def test_a_set_takes_the_classes_whose_photos_go_astray_most() -> None:
    routed = np.array([[0.9, 0.1], [0.6, 0.4], [0.0, 1.0], [0.3, 0.7]])
    groups = np.array([0, 0, 1, 1])
    assert [one.tolist() for one in candidate_classes(routed, groups, 1)] == [[0, 1], [2, 3]]
    assert [one.tolist() for one in candidate_classes(routed, groups, 1.5)] == [[0, 1, 3], [1, 2, 3]]
    assert [one.tolist() for one in candidate_classes(routed, groups, 99)] == [[0, 1, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("over_ask", [1.2, 1.5, 2.0])
def test_over_asking_costs_what_it_says(over_ask: float) -> None:
    draft = draft_of(shop(PER_CELL.model_copy(update={"over_ask": over_ask})).fit)
    sizes = np.array([len(one) for one in draft.members])
    own = [np.flatnonzero(draft.groups.values == group) for group in range(5)]
    assert all(set(mine.tolist()) <= set(sent.tolist()) for mine, sent in zip(own, draft.members, strict=True))
    assert all((np.diff(sent) > 0).all() for sent in draft.members)
    assert set(sizes.tolist()) == {round(12 * over_ask)}


def test_left_out_photos_are_routed_as_new_ones_are() -> None:
    taken = photos(means(60, 32), 6, seed=1)
    groups = shop(PER_CELL).groups
    routing = held_out_routing(splits(taken.raw, taken.labels, RECIPE), groups, groups, PER_CELL)
    assert routing.scores.shape == (360, 5)
    assert np.allclose(routing.routed.sum(axis=1), 1)
    right = (routing.scores.argmax(axis=1) == groups[taken.labels[routing.rows]]).mean()
    transform = shop(PER_CELL).signed.bundle.transform
    assert isinstance(transform, Cells)
    fresh = (CellsTransform(transform).route(shop(PER_CELL).features) == groups[shop(PER_CELL).labels]).mean()
    assert abs(right - fresh) < 0.06


@pytest.mark.parametrize(("changes", "size"), [({"int8": True}, 1440), ({"anchor_dimensions": 10}, 1200), ({}, 2880)])
def test_the_size_of_anchors_is_a_dial(changes: dict[str, object], size: int) -> None:
    taken = shop(CELLS.model_copy(update=changes))
    transform = taken.signed.bundle.transform
    assert isinstance(transform, Cells)
    assert len(transform.anchors.data) == size
    assert (CellsTransform(transform).route(taken.features) == taken.groups[taken.labels]).mean() > 0.85


def test_slack_is_in_units_of_the_scores() -> None:
    plain, none, packed = (
        draft_of(shop(CELLS.model_copy(update=changes)).fit).slack for changes in ({}, {"slack": 0.0}, {"int8": True})
    )
    assert none == 0 < plain
    assert packed > 20 * plain


def test_published_groups_stay_when_classes_come_and_go() -> None:
    first = fitted(list(range(60)))
    later = fitted([*range(5), *range(6, 66)], published=first)
    before = dict(zip(first.names, draft_of(first).groups.values.tolist(), strict=True))
    after = dict(zip(later.names, draft_of(later).groups.values.tolist(), strict=True))
    assert {name: after[name] for name in before if name in after} == {
        name: group for name, group in before.items() if name in after
    }
    assert len(after) == 65
    assert np.bincount(draft_of(later).groups.values).min() >= 12


def test_published_groups_that_do_not_fit_are_not_changed_silently() -> None:
    first = fitted(list(range(60)))
    with pytest.raises(UsageError, match="--regroup"):
        fitted(list(range(60)), published=first, options=CellsOptions(classes_per_group=10))
    with pytest.raises(UsageError, match="--regroup"):
        fitted(list(range(1, 60)), published=first)
