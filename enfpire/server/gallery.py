"""Reading gallery versions from Milvus: candidate sets by key, and the classes nearest to a vector.

A candidate set by group costs two look-ups by key, however large the gallery is.

A version never changes once it is published, so reads do not wait for the store's clock: `Bounded` finds everything
that was written more than seconds ago, and where a row is missing, `Strong` asks once more. (Milvus 2.3, 100 classes by
key: 6 to 10 ms, but 300 ms when each read is `Strong`.)
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from pymilvus import MilvusClient

from enfpire.server.answer import EncodedSet
from enfpire.server.connection import connect as connect
from enfpire.server.gallery_writer import create_version as create_version
from enfpire.server.gallery_writer import current_version as current_version
from enfpire.server.gallery_writer import decode_members
from enfpire.server.gallery_writer import drop_version as drop_version
from enfpire.server.gallery_writer import switch_alias as switch_alias
from enfpire.server.gallery_writer import versions as versions
from enfpire.server.gallery_writer import write_members as write_members
from enfpire.server.version import class_of_row, first_row
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Serving
from enfpire.wire.candidates import CandidateSet, collect, decode_set, encode_set
from enfpire.wire.names import collection_name, sets_collection_name

KEYS_PER_READ = 512
GROUPS_AT_ONCE = 64
VECTORS_AT_ONCE = 64
# Milvus returns no more than this for one vector.
MAX_HITS = 16_384


class MilvusLookup:
    """Serves one version; `candidates` classes around a vector, as the serving record says.

    Makes no call before the first question. Raises `UnavailableError` when Milvus fails, or the version is not there.
    """

    def __init__(self, client: MilvusClient, serving: Serving) -> None:
        self._client = client
        self._serving = serving
        self._classes = collection_name(serving.gallery, serving.version)
        self._sets = sets_collection_name(serving.gallery, serving.version)
        self._loaded = False

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        """The candidate set of each group."""
        self._load()
        found: list[EncodedSet] = []
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            some = list(groups[start : start + GROUPS_AT_ONCE])
            texts = self._read(self._sets, "group", some, "members")
            found += self._sets_of([decode_members(texts[group]) for group in some])
        return found

    def around(self, vectors: Floats) -> list[EncodedSet]:
        """The candidate set around each vector (n, m)."""
        self._load()
        gallery, version, count = self._serving.gallery, self._serving.version, self._serving.candidates
        found: list[EncodedSet] = []
        for start in range(0, len(vectors), VECTORS_AT_ONCE):
            some = vectors[start : start + VECTORS_AT_ONCE]
            found += self._sets_of([np.sort(near) for near in self._nearest(gallery, version, some, count)])
        return found

    def _sets_of(self, members: list[Indices]) -> list[EncodedSet]:
        classes = np.unique(np.concatenate(members))
        cards = self._cards(classes)
        made: dict[bytes, EncodedSet] = {}
        for some in members:
            if some.tobytes() not in made:
                chosen = collect([cards[number] for number in some.tolist()])
                made[some.tobytes()] = EncodedSet.of(encode_set(chosen))
        return [made[some.tobytes()] for some in members]

    def _cards(self, classes: Indices) -> dict[int, CandidateSet]:
        texts = self._read(self._classes, "row", first_row(classes).tolist(), "card")
        return {int(class_of_row(np.intp(row))): decode_set(base64.b64decode(text)) for row, text in texts.items()}
