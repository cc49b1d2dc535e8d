from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enfpire.curation import clustering
from enfpire.curation.clustering import (
    assign_at_prices,
    assign_equally,
    balanced_clusters,
    equal_sizes,
    spherical_kmeans,
)
from enfpire.wire.arrays import Floats, normalised
from tests.unit.synthetic import means, photos

# multiples of a sixteenth: sums are exact, so that optima can be compared without a tolerance
gains = st.tuples(st.integers(1, 6), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-16, 16).map(lambda value: value / 16))
)


def best_total(values: Floats) -> float:
    """Highest sum of any assignment whose column sizes differ by one at most, by trying them all."""
    rows, columns = values.shape
    sizes = equal_sizes(rows, columns).tolist()
    layouts = {tuple(column for column, size in enumerate(order) for _ in range(size)) for order in permutations(sizes)}
    return max(
        float(values[np.arange(rows), list(columns)].sum())
        for layout in layouts
        for columns in set(permutations(layout))
    )


@given(gains)
@settings(max_examples=60, deadline=None)
def test_columns_are_used_equally_and_no_assignment_gains_more(values: Floats) -> None:
    columns = assign_equally(values)
    used = np.bincount(columns, minlength=values.shape[1])
    assert columns.shape == (len(values),)
    assert used.max() - used.min() <= 1
    assert float(values[np.arange(len(values)), columns].sum()) == best_total(values)


@given(st.integers(1, 40), st.integers(1, 12))
def test_equal_sizes_add_up(members: int, clusters: int) -> None:
    sizes = equal_sizes(members, clusters)
    assert len(sizes) == clusters
    assert sizes.sum() == members
    assert sizes.max() - sizes.min() <= 1


@given(st.integers(2, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_balanced_clusters_are_of_equal_size(shape: tuple[int, int], seed: int) -> None:
    members, clusters = shape
    points = normalised(np.random.default_rng(seed).standard_normal((members, 4)).astype(np.float32))
    sizes = np.bincount(balanced_clusters(points, clusters), minlength=clusters)
    assert sorted(sizes.tolist()) == sorted(equal_sizes(members, clusters).tolist())


def test_balanced_clusters_find_what_belongs_together() -> None:
    centres = normalised(np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32))
    jitter = np.random.default_rng(1).normal(scale=0.1, size=(24, 16)).astype(np.float32)
    found = balanced_clusters(normalised(np.repeat(centres, 6, axis=0) + jitter), 4).reshape(4, 6)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0].tolist())) == 4


def test_twice_as_many_look_alikes_fill_two_clusters() -> None:
    axes = np.eye(3, dtype=np.float32)
    jitter = np.random.default_rng(2).normal(scale=0.02, size=(12, 3)).astype(np.float32)
    points = normalised(np.repeat(axes, [8, 2, 2], axis=0) + jitter)
    assert sorted(np.bincount(balanced_clusters(points, 3)).tolist()) == [4, 4, 4]


def test_clusters_do_not_change_from_run_to_run() -> None:
    points = photos(means(50, 8), 1).raw
    assert np.array_equal(balanced_clusters(points, 7), balanced_clusters(points, 7))
    assert np.array_equal(spherical_kmeans(points, 7), spherical_kmeans(points, 7))


def test_prices_share_columns_equally_and_gain_nearly_as_much() -> None:
    points = on_sphere(300)
    for clusters in (7, 10):
        values = points @ on_sphere(clusters).T
        columns = assign_at_prices(values)
        used = np.bincount(columns, minlength=clusters)
        assert used.max() - used.min() <= 1
        best = values[np.arange(300), assign_equally(values)].sum()
        assert values[np.arange(300), columns].sum() > 0.97 * best


def test_many_points_are_assigned_at_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MANY_POINTS", 20)
    monkeypatch.setattr(clustering, "assign_equally", None)
    sizes = np.bincount(balanced_clusters(on_sphere(41), 4))
    assert sorted(sizes.tolist()) == [10, 10, 10, 11]


def on_sphere(points: int) -> Floats:
    return normalised(np.random.default_rng(0).standard_normal((points, 6)).astype(np.float32))


def test_few_points_are_their_own_centres() -> None:
    points = photos(means(3, 8), 1).raw
    assert np.array_equal(spherical_kmeans(points, 3), points)
    assert np.array_equal(spherical_kmeans(points, 5), points)


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_centres_are_unit_vectors_and_more_of_them_fit_better(clusters: int) -> None:
    points = photos(means(30, 8), 1).raw
    centres, finer = spherical_kmeans(points, clusters), spherical_kmeans(points, clusters + 6)
    assert centres.shape == (clusters, 8)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-6)
    assert (points @ finer.T).max(axis=1).sum() > (points @ centres.T).max(axis=1).sum()


def test_repeated_points_leave_no_centre_undefined() -> None:
    points = np.repeat(np.eye(2, 4, dtype=np.float32), 5, axis=0)
    assert np.isfinite(spherical_kmeans(points, 4)).all()
