"""Reading one gallery version from Milvus: texts by key, and the classes nearest to a vector.

A version never changes once it is published, so reads do not wait for the store's clock: `Bounded` finds all that was
written more than seconds ago, and where a row is missing, `Strong` asks once more. (Milvus 2.3, 100 classes by key:
6 to 10 ms; 300 ms if each read is `Strong`.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymilvus import MilvusClient

from enfpire.errors import UnavailableError
from enfpire.server.connection import READ_SECONDS, WRITE_SECONDS, reaching_milvus
from enfpire.server.nearest import Hits, needed, settled, similarities, tied
from enfpire.server.version import first_row
from enfpire.wire.arrays import Doubles, Floats, Indices, normalised
from enfpire.wire.names import collection_name

KEYS_PER_READ = 512
VECTORS_PER_SEARCH = 64
# Milvus returns no more than this for one vector.
MAX_HITS = 16_384
FAILED = "Milvus did not answer a look-up; check that it runs"


def load_version(client: MilvusClient, name: str) -> None:
    """Make the collection `name` readable; quick where it is so already.

    Raises `UnavailableError` where it is not there.
    """
    with reaching_milvus(f"Milvus did not load {name}; check that it runs, and its memory"):
        if not client.has_collection(name, timeout=READ_SECONDS):
            raise UnavailableError(f"{name} is not in Milvus; publish that version again, or withdraw its bundle")
        client.load_collection(name, timeout=WRITE_SECONDS)


def read_column(client: MilvusClient, name: str, key: str, keys: Sequence[int], column: str) -> list[object]:
    """Value of `column` in the row of each key, in the order of `keys`.

    Raises `UnavailableError` when Milvus fails, or a row is missing.
    """
    found: dict[int, object] = {}
    for start in range(0, len(keys), KEYS_PER_READ):
        some = list(keys[start : start + KEYS_PER_READ])
        rows = _get(client, name, key, some, column, "Bounded")
        if len(rows) < len(set(some)):
            rows = _get(client, name, key, some, column, "Strong")
        found |= rows
    if len(found) < len(set(keys)):
        raise UnavailableError(f"{name} has not all of its rows; publish that version again")
    return [found[one] for one in keys]


def nearest_classes(client: MilvusClient, gallery: str, version: str, vectors: Floats, count: int) -> list[Indices]:
    """For each vector (n, m) at most `count` distinct classes, nearest first: the same as in memory.

    (Beyond 50,000 prototypes the index is approximate, and so is the answer.) Raises `UnavailableError`.
    """
    search = _Search(client, collection_name(gallery, version), count)
    found: list[Indices] = []
    for start in range(0, len(vectors), VECTORS_PER_SEARCH):
        found += search.nearest(vectors[start : start + VECTORS_PER_SEARCH])
    return found


class _Search:
    """A search for the `count` nearest classes that goes as deep as it must."""

    def __init__(self, client: MilvusClient, name: str, count: int) -> None:
        self._client = client
        self._name = name
        self._count = count

    def nearest(self, vectors: Floats) -> list[Indices]:
        """The nearest classes of each vector (n, m), nearest first."""
        decided: dict[int, Hits] = {}
        open_rows = np.flatnonzero(vectors.any(axis=1)).tolist()
        limit = min(MAX_HITS, 4 * self._count + 16)
        while open_rows:
            for row, hits in zip(open_rows, self._hits(vectors[open_rows], limit), strict=True):
                end = len(hits.rows) if limit == MAX_HITS else needed(hits, self._count)
                if end is not None:
                    decided[row] = Hits(hits.rows[:end], hits.scores[:end], hits.whole)
            open_rows = [row for row in open_rows if row not in decided]
            limit = min(MAX_HITS, 4 * limit)
        return self._settle(vectors, decided)

    def _hits(self, vectors: Floats, limit: int) -> list[Hits]:
        with reaching_milvus(FAILED):
            found = self._client.search(
                self._name,
                data=list(normalised(vectors)),
                limit=limit,
                search_params={"metric_type": "COSINE", "params": {"ef": limit}},
                # with none named, Milvus Lite sends them all
                output_fields=["row"],
                consistency_level="Bounded",
                timeout=READ_SECONDS,
            )
        return [
            Hits(np.array(hits.ids, np.intp), np.array(hits.distances, np.float32), len(hits.ids) < limit)
            for hits in found
        ]

    def _settle(self, vectors: Floats, decided: dict[int, Hits]) -> list[Indices]:
        prototypes = self._prototypes(list(decided.values()))
        first = self._first() if len(decided) < len(vectors) else np.empty(0, np.intp)
        return [
            settled(decided[row], _exact(vector, decided[row], prototypes), self._count) if row in decided else first
            for row, vector in enumerate(vectors)
        ]

    def _prototypes(self, found: list[Hits]) -> dict[int, Floats]:
        """Vectors of the rows whose order is not certain from the scores."""
        rows = sorted({row for hits in found for row in hits.rows[tied(hits.scores)].tolist()})
        vectors = read_column(self._client, self._name, "row", rows, "vector")
        return {row: np.array(vector, np.float32) for row, vector in zip(rows, vectors, strict=True)}

    def _first(self) -> Indices:
        """What is nearest to a vector of zeros: every class equally, so the first ones."""
        classes = np.arange(self._count)
        there = _get(self._client, self._name, "row", first_row(classes).tolist(), "row", "Bounded")
        return classes[[row in there for row in first_row(classes).tolist()]]


def _exact(vector: Floats, hits: Hits, prototypes: dict[int, Floats]) -> Doubles:
    """Exact similarities where they decide; shape (h,), 0 elsewhere."""
    values = np.zeros(len(hits.rows))
    ties = tied(hits.scores)
    if ties.any():
        values[ties] = similarities(vector, np.stack([prototypes[row] for row in hits.rows[ties].tolist()]))
    return values


def _get(client: MilvusClient, name: str, key: str, keys: list[int], column: str, level: str) -> dict[int, object]:
    with reaching_milvus(FAILED):
        fields = sorted({key, column})
        rows = client.get(name, ids=keys, output_fields=fields, consistency_level=level, timeout=READ_SECONDS)
    return {row[key]: row[column] for row in rows}
