from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu

from enfpire.client.features import whiten
from enfpire.client.match import match_set
from enfpire.client.unknown import Unknown, known_scores, leading_coordinates, unknown_of
from enfpire.curation.held_out import class_similarities
from enfpire.wire.candidates import decode_set
from tests.unit.synthetic import means, photos, shop


def test_the_first_coordinates_of_three_quarters_of_the_classes_count() -> None:
    assert [leading_coordinates(classes) for classes in (1, 2, 5, 81, 4001)] == [2, 2, 3, 60, 3000]


def test_a_photo_that_is_strong_there_needs_more_similarity() -> None:
    features = np.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]], np.float32)
    similarity = np.array([0.5, 0.5], np.float32)
    assert np.allclose(known_scores(features, similarity, 2), [0.5, 0.0])
    assert Unknown(0.2, 2).accepts(features, similarity).tolist() == [True, False]
    assert Unknown(0.2).accepts(features, similarity).tolist() == [True, True]


def test_scores_stay_in_the_range_of_the_bundle() -> None:
    features = np.eye(3, dtype=np.float32)
    assert known_scores(features, np.full(3, -0.9, np.float32), 3).tolist() == [-1, -1, -1]


def test_the_best_candidate_is_the_same_and_its_similarity_is_a_cosine() -> None:
    taken = shop()
    sent = decode_set(taken.lookup.by_group([0])[0].body)
    strict, never = (match_set(taken.features[:40], sent, one) for one in (Unknown(1.0, 30), Unknown(-1.0)))
    assert [one.similarity for one in strict] == [one.similarity for one in never]
    assert all(one.name is None for one in strict)
    assert all(one.name is not None for one in never)


def test_outsiders_are_told_at_least_as_well_as_by_similarity_alone() -> None:
    taken = shop()
    strangers = whiten(photos(means(200, 32, seed=99), 3, seed=5).raw, taken.fit.whitening)
    inside, outside = (
        (each, class_similarities(each, taken.fit.prototypes).max(axis=1)) for each in (taken.features, strangers)
    )
    leading = unknown_of(taken.signed.bundle).leading
    plain = mannwhitneyu(inside[1], outside[1]).statistic
    judged = mannwhitneyu(known_scores(*inside, leading), known_scores(*outside, leading)).statistic
    assert judged > 0.97 * plain
