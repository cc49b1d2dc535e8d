from __future__ import annotations

import numpy as np
import pytest

from enfpire.client.match import best_matches, class_scores, match_set, top_two
from enfpire.client.unknown import Unknown
from enfpire.errors import CandidateSetError
from enfpire.wire.arrays import Array, Floats, normalised
from enfpire.wire.candidates import CandidateSet, encode_info, quantise


def candidates(names: list[str], prototypes: list[list[float]], counts: list[int] | None = None) -> CandidateSet:
    codes, scales = quantise(np.array(prototypes, dtype=np.float32))
    return CandidateSet(
        names=tuple(names),
        infos=tuple(encode_info({"title": name.upper()}) for name in names),
        counts=Array.of(np.array(counts or [1] * len(names)), "u1"),
        codes=Array.of(codes, "i1"),
        scales=Array.of(scales, "f4"),
    )


def features(*rows: list[float]) -> Floats:
    return normalised(np.array(rows, dtype=np.float32))


# b has two looks
SHELF = candidates(["a", "b", "c"], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], [1, 2, 1])


def test_the_nearest_prototype_decides() -> None:
    found = match_set(features([3, 1, 0], [0, 1, 3], [0, 3, 1], [-2, 1, 0]), SHELF, Unknown(-1))
    assert [match.name for match in found] == ["a", "b", "b", "c"]
    assert [match.info for match in found] == [{"title": "A"}, {"title": "B"}, {"title": "B"}, {"title": "C"}]
    assert all(match.candidates == ("a", "b", "c") for match in found)


def test_similarity_and_margin_are_of_classes() -> None:
    (match,) = match_set(features([0, 3, 4]), SHELF, Unknown(-1))
    # the second best prototype (0.6) is b's own: the lead is over the other classes
    assert match.similarity == pytest.approx(0.8, abs=1e-6)
    assert match.margin == pytest.approx(0.8, abs=1e-6)


def test_scores_are_the_best_of_each_class() -> None:
    scores = class_scores(features([0, 3, 4], [1, 0, 0]), SHELF)
    assert np.allclose(scores, np.array([[0.0, 0.8, 0.0], [1.0, 0.0, -1.0]]), atol=1e-6)


@pytest.mark.parametrize(("unknown_below", "name"), [(0.79, "b"), (0.81, None)])
def test_what_fits_too_badly_is_unknown(unknown_below: float, name: str | None) -> None:
    (match,) = match_set(features([0, 3, 4]), SHELF, Unknown(unknown_below))
    assert match.name == name
    assert (match.info is None) == (name is None)
    assert match.similarity == pytest.approx(0.8, abs=1e-6)
    assert match.candidates == ("a", "b", "c")


def test_a_single_candidate_leads_over_nobody() -> None:
    (match,) = match_set(features([3, 4, 0]), candidates(["only"], [[1, 0, 0]]), Unknown(-1))
    assert match.name == "only"
    assert match.similarity == pytest.approx(0.6, abs=1e-6)
    assert match.margin == pytest.approx(1.6, abs=1e-6)


def test_a_batch_is_matched_as_each_row_alone() -> None:
    random = np.random.default_rng(0)
    sets = [
        candidates([f"{number} {place}" for place in range(5)], random.standard_normal((5, 6)).tolist())
        for number in range(3)
    ]
    rows, places = features(*random.standard_normal((40, 6)).tolist()), random.integers(0, 3, 40)
    together = best_matches(rows, sets, places, Unknown(0.3))
    for row, place, match in zip(rows, places.tolist(), together, strict=True):
        (alone,) = match_set(row[None], sets[place], Unknown(0.3))
        assert (match.name, match.candidates, match.info) == (alone.name, alone.candidates, alone.info)
        assert match.similarity == pytest.approx(alone.similarity, abs=1e-6)
    assert {match.name is None for match in together} == {True, False}


def test_top_two_of_a_tie_is_the_first() -> None:
    best, similarity, margin = top_two(np.array([[0.5, 0.5, 0.1]], dtype=np.float32))
    assert (best.tolist(), similarity.tolist(), margin.tolist()) == ([0], [0.5], [0.0])


def test_a_lead_over_what_is_dissimilar_is_large() -> None:
    best, similarity, margin = top_two(np.array([[-0.5, 0.25, -0.75]], dtype=np.float32))
    assert (best.tolist(), similarity.tolist(), margin.tolist()) == ([1], [0.25], [0.75])


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CandidateSetError, match="other dimensions"):
        match_set(features([1, 0]), SHELF, Unknown(-1))
    with pytest.raises(CandidateSetError, match="empty"):
        match_set(features([1, 0, 0]), SHELF.model_copy(update={"names": ()}), Unknown(-1))
    with pytest.raises(CandidateSetError, match="no prototype"):
        match_set(features([1, 0, 0]), candidates(["a", "b"], [[1, 0, 0]], [1, 0]), Unknown(-1))
