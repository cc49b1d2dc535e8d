from __future__ import annotations

import numpy as np

from enfpire.curation.prototypes import fit_prototypes, rows_by_class
from enfpire.wire.arrays import normalised
from tests.unit.synthetic import means, photos


def test_rows_by_class_is_a_partition_in_order() -> None:
    labels = np.array([2, 0, 2, 0, 0])
    assert [rows.tolist() for rows in rows_by_class(labels, 4)] == [[1, 3, 4], [], [0, 2], []]


def test_a_class_has_a_prototype_for_three_photos() -> None:
    counts = [1, 2, 3, 6, 20]
    labels = np.repeat(np.arange(5), counts)
    features = normalised(np.random.default_rng(0).standard_normal((len(labels), 6)).astype(np.float32))
    prototypes = fit_prototypes(features, labels, 4)
    assert np.bincount(prototypes.owners).tolist() == [1, 1, 1, 2, 4]
    assert prototypes.codes.shape == (9, 6)


def test_prototypes_are_unit_vectors_near_what_they_stand_for() -> None:
    taken = photos(means(10, 32), 1)
    prototypes = fit_prototypes(taken.raw, taken.labels, 4)
    assert np.allclose(np.linalg.norm(prototypes.features, axis=1), 1, atol=1e-6)
    # one photo a class: the prototype is that photo, but for its eight bits
    assert (prototypes.features * taken.raw).sum(axis=1).min() > 0.9995


def test_one_prototype_is_the_mean() -> None:
    taken = photos(means(10, 32), 6)
    prototypes = fit_prototypes(taken.raw, taken.labels, 1)
    expected = normalised(np.stack([taken.raw[taken.labels == number].mean(axis=0) for number in range(10)]))
    assert (prototypes.features * expected).sum(axis=1).min() > 0.9995


def test_two_looks_of_a_class_get_a_prototype_each() -> None:
    looks = normalised(np.random.default_rng(3).standard_normal((2, 16)).astype(np.float32))
    noise = np.random.default_rng(4).normal(scale=0.05, size=(20, 16)).astype(np.float32)
    features = normalised(looks[np.arange(20) % 2] + noise)
    prototypes = fit_prototypes(features, np.zeros(20, dtype=np.intp), 2)
    found = prototypes.features @ looks.T
    assert sorted(found.argmax(axis=1).tolist()) == [0, 1]
    assert found.max(axis=1).min() > 0.98


def test_prototypes_do_not_change_from_run_to_run() -> None:
    taken = photos(means(5, 16), 9)
    first, second = (fit_prototypes(taken.raw, taken.labels, 3) for _ in range(2))
    assert np.array_equal(first.codes, second.codes)
    assert np.array_equal(first.scales, second.scales)
