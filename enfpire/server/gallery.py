"""The gallery in Milvus: what the operator's tools write, and where a worker's candidate sets come from.

Everything that the other packages use of Milvus is named here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from pymilvus import MilvusClient

from enfpire.errors import UnavailableError, WireError
from enfpire.server.answer import EncodedSet
from enfpire.server.connection import connect
from enfpire.server.gallery_reader import load_version, nearest_classes, read_column
from enfpire.server.gallery_writer import (
    create_version,
    current_version,
    decode_members,
    drop_version,
    switch_alias,
    versions,
    write_members,
)
from enfpire.server.version import first_row
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Serving
from enfpire.wire.candidates import CandidateSet, collect, decode_set, encode_set
from enfpire.wire.names import collection_name, sets_collection_name

__all__ = [
    "MilvusClient",
    "MilvusLookup",
    "connect",
    "create_version",
    "current_version",
    "drop_version",
    "nearest_classes",
    "switch_alias",
    "versions",
    "write_members",
]

# How many rows of a query are looked up together: it bounds the cards in memory.
ROWS_AT_ONCE = 64


class MilvusLookup:
    """Candidate sets of the version that a bundle is served from.

    A group's set costs look-ups by key alone, however large the gallery is. The first question makes the first call.
    Questions raise `UnavailableError` when Milvus fails, or has not got the version, or has damaged rows of it.
    """

    def __init__(self, client: MilvusClient, serving: Serving) -> None:
        self._client = client
        self._serving = serving
        self._classes = collection_name(serving.gallery, serving.version)
        self._sets = sets_collection_name(serving.gallery, serving.version)
        self._loaded = False

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        """The candidate set of each group."""
        with self._version():
            return [
                one
                for start in range(0, len(groups), ROWS_AT_ONCE)
                for one in self._sets_of(self._members(groups[start : start + ROWS_AT_ONCE]))
            ]

    def around(self, vectors: Floats) -> list[EncodedSet]:
        """The candidate set around each vector (n, m)."""
        with self._version():
            return [
                one
                for start in range(0, len(vectors), ROWS_AT_ONCE)
                for one in self._sets_of(self._nearest(vectors[start : start + ROWS_AT_ONCE]))
            ]

    @contextmanager
    def _version(self) -> Iterator[None]:
        """Load the version before the first question, and again after an error: a restart may have unloaded it."""
        try:
            if not self._loaded:
                load_version(self._client, self._classes)
                if self._serving.kind == "cells":
                    load_version(self._client, self._sets)
                self._loaded = True
            yield
        except UnavailableError:
            self._loaded = False
            raise

    def _members(self, groups: Sequence[int]) -> list[Indices]:
        texts = read_column(self._client, self._sets, "group", groups, "members")
        with _whole(self._sets):
            return [decode_members(str(text)) for text in texts]

    def _nearest(self, vectors: Floats) -> list[Indices]:
        serving = self._serving
        found = nearest_classes(self._client, serving.gallery, serving.version, vectors, serving.candidates)
        return [np.sort(classes) for classes in found]

    def _sets_of(self, members: list[Indices]) -> list[EncodedSet]:
        cards = self._cards(np.unique(np.concatenate(members)))
        distinct = {classes.tobytes(): classes for classes in members}
        with _whole(self._classes):
            encoded = {
                key: EncodedSet.of(encode_set(collect([cards[number] for number in classes.tolist()])))
                for key, classes in distinct.items()
            }
        return [encoded[classes.tobytes()] for classes in members]

    def _cards(self, classes: Indices) -> dict[int, CandidateSet]:
        texts = read_column(self._client, self._classes, "row", first_row(classes).tolist(), "card")
        with _whole(self._classes):
            cards = [decode_set(base64.b64decode(str(text))) for text in texts]
        return dict(zip(classes.tolist(), cards, strict=True))


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Turn what damaged rows raise into advice for the operator: it is not the query that is wrong."""
    try:
        yield
    except (WireError, ValueError, TypeError) as error:
        raise UnavailableError(
            f"{name} in Milvus holds damaged rows; restore a backup, or drop it there and publish again"
        ) from error
