"""Which classes are nearest to a vector: one exact definition, for memory and for Milvus.

A class is as near as its nearest prototype (cosine), and of two that are equally near the lower class number comes
first. A vector store computes similarities in float32 and in an order of its own, so what it calls nearest differs
from server to server where similarities nearly tie. `settled` decides those ties exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.server.version import class_of_row
from enfpire.wire.arrays import Bools, Doubles, Floats, Indices

# Well above the error of a float32 cosine (3e-7 at 128 dimensions, measured on Milvus 2.3 and on Milvus Lite).
TIE = 1e-5


@dataclass(frozen=True)
class Hits:
    """What a search found for one vector: rows (h,) and scores (h,), best first; `whole` if there is no more."""

    rows: Indices
    scores: Floats
    whole: bool


def similarities(query: Floats, vectors: Floats) -> Doubles:
    """Cosine similarity of query (m,) to vectors (p, m), times the query's length; float64, shape (p,).

    A vector's value does not depend on the others around it, as it would in a matrix product.
    """
    wide = vectors.astype(np.float64)
    dots = (wide * query.astype(np.float64)).sum(axis=1)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    result: Doubles = dots / lengths
    return result


def nearest_first(classes: Indices, scores: Doubles, count: int) -> Indices:
    """At most `count` distinct classes, nearest first; classes (h,) and scores (h,) in any order."""
    return distinct(classes[np.lexsort((classes, -scores))], count)


def distinct(classes: Indices, count: int) -> Indices:
    """The first `count` distinct values of classes (h,), in the order given."""
    _, first = np.unique(classes, return_index=True)
    kept: Indices = classes[np.sort(first)[:count]]
    return kept


def runs(scores: Floats) -> Indices:
    """Number of the run of near ties that each score (h,) belongs to, best first; shape (h,)."""
    gaps = scores[:-1] - scores[1:] >= TIE
    numbers: Indices = np.concatenate([[0], np.cumsum(gaps)]).astype(np.intp)[: len(scores)]
    return numbers


def needed(hits: Hits, count: int) -> int | None:
    """How many of the hits decide which `count` classes are nearest: up to the end of a run of near ties.

    None when the search must go deeper to decide it.
    """
    classes = class_of_row(hits.rows)
    _, first = np.unique(classes, return_index=True)
    numbers = runs(hits.scores)
    if len(first) >= count:
        end = int(np.searchsorted(numbers, numbers[np.sort(first)[count - 1]], side="right"))
        if end < len(classes):
            return end
    return len(classes) if hits.whole else None


def tied(scores: Floats) -> Bools:
    """Whether each score (h,), best first, nearly ties with a neighbour; shape (h,)."""
    numbers = runs(scores)
    ties: Bools = np.bincount(numbers, minlength=1)[numbers] > 1
    return ties


def settled(hits: Hits, exact: Doubles, count: int) -> Indices:
    """At most `count` distinct classes, nearest first; exact (h,) decides within runs of near ties."""
    classes = class_of_row(hits.rows)
    return distinct(classes[np.lexsort((classes, -exact, runs(hits.scores)))], count)
