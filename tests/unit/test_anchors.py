from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest

from enfpire.curation.anchors import cell_anchors, class_anchors
from enfpire.curation.clustering import balanced_clusters, spherical_kmeans
from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import Floats, Indices, normalised
from tests.unit.synthetic import Photos, means, one_thread, photos

CENTRES = means(100, 24)
GROUPS = balanced_clusters(normalised(CENTRES), 10)
KNOWN = photos(CENTRES, 6, seed=1)
ASKED = photos(CENTRES, 6, seed=2)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def routed_rightly(anchors: Floats, routes: Indices, asked: Photos = ASKED) -> float:
    return float((routes[(asked.raw @ anchors.T).argmax(axis=1)] == GROUPS[asked.labels]).mean())


def centroids(per_cell: int) -> tuple[Floats, Indices]:
    cells = [spherical_kmeans(KNOWN.raw[rows], per_cell) for rows in rows_by_class(GROUPS[KNOWN.labels], 10)]
    return np.concatenate(cells), np.repeat(np.arange(10), per_cell)


@lru_cache
def trained(per_cell: int) -> tuple[Floats, Indices]:
    return cell_anchors(KNOWN.raw, KNOWN.labels, GROUPS, per_cell)


@pytest.mark.parametrize(("per_cell", "gain"), [(1, 0.03), (3, 0)])
def test_trained_anchors_route_better_than_centroids(per_cell: int, gain: float) -> None:
    anchors, routes = trained(per_cell)
    assert anchors.shape == (10 * per_cell, 24)
    assert anchors.dtype == np.float32
    assert routes.tolist() == sorted(list(range(10)) * per_cell)
    assert routed_rightly(anchors, routes) > routed_rightly(*centroids(per_cell)) + gain


def test_more_anchors_a_cell_route_better() -> None:
    assert routed_rightly(*trained(3)) > routed_rightly(*trained(1)) + 0.03


def test_training_makes_the_same_anchors_again() -> None:
    again, _ = cell_anchors(KNOWN.raw, KNOWN.labels, GROUPS, 1)
    assert again.tobytes() == trained(1)[0].tobytes()


def test_anchors_keep_their_routes_in_half_precision() -> None:
    anchors, routes = trained(1)
    packed = anchors.astype(np.float16).astype(np.float32)
    same = (ASKED.raw @ anchors.T).argmax(axis=1) == (ASKED.raw @ packed.T).argmax(axis=1)
    assert same.mean() > 0.99
    assert routed_rightly(packed, routes) > 0.7


def test_anchors_of_classes_route_best() -> None:
    anchors, routes = class_anchors(KNOWN.raw, KNOWN.labels, GROUPS, 1)
    assert anchors.shape == (100, 24)
    assert np.array_equal(routes, GROUPS)
    assert routed_rightly(anchors, routes) > routed_rightly(*trained(1))


def test_a_class_with_few_photos_has_few_anchors() -> None:
    labels = np.array([0, 1, 1, 1])
    anchors, routes = class_anchors(KNOWN.raw[:4], labels, np.array([1, 0]), 2)
    assert anchors.shape == (3, 24)
    assert routes.tolist() == [1, 0, 0]


def test_a_cell_with_few_photos_has_few_anchors() -> None:
    labels = np.array([0, 1, 2, 2])
    anchors, routes = cell_anchors(KNOWN.raw[[0, 6, 12, 13]], labels, np.array([0, 1, 1]), 3)
    assert routes.tolist() == [0, 1, 1, 1]
    assert np.isfinite(anchors).all()
    assert routes[(KNOWN.raw[[0, 6, 12, 13]] @ anchors.T).argmax(axis=1)].tolist() == [0, 1, 1, 1]


def test_a_class_that_was_photographed_often_weighs_no_more() -> None:
    """A rare class keeps its side of a border that it shares with a class of many photos."""
    random = np.random.default_rng(0)
    common = normalised((np.array([1.0, 0.3]) + random.normal(scale=0.35, size=(900, 2))).astype(np.float32))
    rare = normalised((np.array([1.0, -0.3]) + random.normal(scale=0.35, size=(30, 2))).astype(np.float32))
    labels = np.repeat([0, 1], [900, 30])
    anchors, routes = cell_anchors(np.vstack([common, rare]), labels, np.array([0, 1]), 1)
    found = routes[(rare @ anchors.T).argmax(axis=1)]
    assert (found == 1).mean() > 0.7
