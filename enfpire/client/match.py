"""Comparing original features with candidates, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from enfpire.client.unknown import Unknown
from enfpire.errors import CandidateSetError
from enfpire.wire.arrays import Floats, Indices, normalised
from enfpire.wire.candidates import CandidateSet


@dataclass(frozen=True, slots=True)
class Match:
    """The best candidate for one feature; `name` is None where even that one does not fit."""

    name: str | None
    similarity: float
    margin: float
    info: Any
    candidates: tuple[str, ...]


def best_matches(features: Floats, sets: list[CandidateSet], places: Indices, unknown: Unknown) -> list[Match]:
    """Match features (n, d) with `sets[places[i]]`, places (n,); one matrix product a set."""
    matches: list[Match | None] = [None] * len(features)
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        found = match_set(features[rows], sets[place], unknown)
        for row, match in zip(rows.tolist(), found, strict=True):
            matches[row] = match
    return [match for match in matches if match is not None]


def match_set(features: Floats, candidates: CandidateSet, unknown: Unknown) -> list[Match]:
    """Match features (n, d) with one candidate set."""
    if not candidates.names or candidates.codes.shape[1] != features.shape[1]:
        raise CandidateSetError("a candidate set is empty or has other dimensions than the bundle")
    scores = class_scores(features, candidates)
    best, similarity, margin = top_two(scores)
    accepted = unknown.accepts(features, similarity)
    return [
        Match(
            candidates.names[number] if known else None,
            value,
            lead,
            candidates.info(number) if known else None,
            candidates.names,
        )
        for number, value, lead, known in zip(
            best.tolist(), similarity.tolist(), margin.tolist(), accepted.tolist(), strict=True
        )
    ]


def class_scores(features: Floats, candidates: CandidateSet) -> Floats:
    """Cosine similarity of features (n, d) to the nearest prototype of each class, shape (n, classes)."""
    counts = candidates.counts.values.astype(np.intp)
    if (counts == 0).any():
        raise CandidateSetError("a candidate has no prototype")
    similarities = features @ normalised(candidates.prototypes).T
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    scores: Floats = np.maximum.reduceat(similarities, starts, axis=1)
    return scores


def top_two(scores: Floats) -> tuple[Indices, Floats, Floats]:
    """Best column of each row (n,), its score (n,), and its lead over the second best (n,)."""
    best = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    similarity = scores[rows, best]
    if scores.shape[1] == 1:
        return best, similarity, similarity + np.float32(1)
    others = scores.copy()
    others[rows, best] = -np.inf
    return best, similarity, similarity - others.max(axis=1)
