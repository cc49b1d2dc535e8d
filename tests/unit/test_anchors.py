from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest

from enfpire.curation.anchors import Anchors, cell_anchors, class_anchors
from enfpire.curation.clustering import balanced_clusters, spherical_kmeans
from enfpire.curation.one_thread import one_thread
from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import normalised
from tests.unit.synthetic import Photos, means, photos

CENTRES = means(100, 24)
GROUPS = balanced_clusters(normalised(CENTRES), 10)
KNOWN = photos(CENTRES, 6, seed=1)
ASKED = photos(CENTRES, 6, seed=2)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def routed_rightly(anchors: Anchors, asked: Photos = ASKED) -> float:
    return float((anchors.scores(asked.raw).argmax(axis=1) == GROUPS[asked.labels]).mean())


def centroids(per_cell: int) -> Anchors:
    cells = [spherical_kmeans(KNOWN.raw[rows], per_cell) for rows in rows_by_class(GROUPS[KNOWN.labels], 10)]
    return Anchors(np.concatenate(cells), np.repeat(np.arange(10), per_cell))


@lru_cache
def trained(per_cell: int) -> Anchors:
    return cell_anchors(KNOWN.raw, KNOWN.labels, GROUPS, GROUPS, per_cell)


@pytest.mark.parametrize(("per_cell", "gain"), [(1, 0.03), (3, 0)])
def test_trained_anchors_route_better_than_centroids(per_cell: int, gain: float) -> None:
    made = trained(per_cell)
    assert made.vectors.shape == (10 * per_cell, 24)
    assert made.vectors.dtype == np.float32
    assert made.routes.tolist() == sorted(list(range(10)) * per_cell)
    assert routed_rightly(made) > routed_rightly(centroids(per_cell)) + gain


def test_more_anchors_a_cell_route_better() -> None:
    assert routed_rightly(trained(3)) > routed_rightly(trained(1)) + 0.03


def test_training_makes_the_same_anchors_again() -> None:
    again = cell_anchors(KNOWN.raw, KNOWN.labels, GROUPS, GROUPS, 1)
    assert again.vectors.tobytes() == trained(1).vectors.tobytes()


@pytest.mark.parametrize(("int8", "same"), [(False, 0.99), (True, 0.97)])
def test_anchors_keep_their_routes_in_few_bits(int8: bool, same: float) -> None:
    made = trained(1)
    sent = made.as_sent(int8=int8)
    assert len(made.packed(int8=int8).data) == 10 * 24 * (1 if int8 else 2)
    assert (made.scores(ASKED.raw).argmax(axis=1) == sent.scores(ASKED.raw).argmax(axis=1)).mean() > same
    assert np.array_equal(sent.as_sent(int8=int8).scores(ASKED.raw), sent.scores(ASKED.raw))


def test_anchors_of_classes_route_best() -> None:
    made = class_anchors(KNOWN.raw, KNOWN.labels, GROUPS, 1)
    assert made.vectors.shape == (100, 24)
    assert np.array_equal(made.routes, GROUPS)
    assert routed_rightly(made) > routed_rightly(trained(1))


def test_a_class_with_few_photos_has_few_anchors() -> None:
    labels = np.array([0, 1, 1, 1])
    made = class_anchors(KNOWN.raw[:4], labels, np.array([1, 0]), 2)
    assert made.vectors.shape == (3, 24)
    assert made.routes.tolist() == [1, 0, 0]


def test_a_cell_with_few_photos_has_few_anchors() -> None:
    labels, groups = np.array([0, 1, 2, 2]), np.array([0, 1, 1])
    some = KNOWN.raw[[0, 6, 12, 13]]
    made = cell_anchors(some, labels, groups, groups, 3)
    assert made.routes.tolist() == [0, 1, 1, 1]
    assert np.isfinite(made.vectors).all()
    assert made.scores(some).argmax(axis=1).tolist() == [0, 1, 1, 1]


def test_a_group_of_several_cells_has_an_anchor_for_each() -> None:
    """Far-apart clusters in one group: one anchor cannot lead to both, an anchor a cell can."""
    random = np.random.default_rng(1)
    centres = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    labels = np.repeat(np.arange(4), 20)
    taken = normalised((centres[labels] + random.normal(scale=0.1, size=(80, 2))).astype(np.float32))
    cells, groups = np.arange(4), np.array([0, 0, 1, 1])
    made = cell_anchors(taken, labels, cells, groups, 1)
    assert made.routes.tolist() == [0, 0, 1, 1]
    assert (made.scores(taken).argmax(axis=1) == groups[labels]).all()


def test_anchors_of_few_dimensions_see_those_alone() -> None:
    made = class_anchors(np.ascontiguousarray(KNOWN.raw[:, :8]), KNOWN.labels, GROUPS, 1)
    changed = ASKED.raw.copy()
    changed[:, 8:] = 7
    assert np.array_equal(made.scores(ASKED.raw), made.scores(changed))


def test_a_class_that_was_photographed_often_weighs_no_more() -> None:
    """A rare class keeps its side of a border that it shares with a class of many photos."""
    random = np.random.default_rng(0)
    common = normalised((np.array([1.0, 0.3]) + random.normal(scale=0.35, size=(900, 2))).astype(np.float32))
    rare = normalised((np.array([1.0, -0.3]) + random.normal(scale=0.35, size=(30, 2))).astype(np.float32))
    labels = np.repeat([0, 1], [900, 30])
    own = np.array([0, 1])
    made = cell_anchors(np.vstack([common, rare]), labels, own, own, 1)
    assert (made.scores(rare).argmax(axis=1) == 1).mean() > 0.7
