"""What is attacked: a published policy, and labelled photos that go through the real protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.audit.labelled import Labelled
from enfpire.client.match import class_scores
from enfpire.client.protocol import Pending, protect, resolve
from enfpire.client.transforms.cells import CellsTransform
from enfpire.client.unknown import unknown_of
from enfpire.curation.cells import CellsDraft
from enfpire.curation.fit import Fit
from enfpire.curation.held_out import class_similarities
from enfpire.curation.publish import draft_version, largest_set, make_bundle
from enfpire.server.answer import answer
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.arrays import Doubles, Floats, Indices
from enfpire.wire.bundle import Cells, Serving, SignedBundle, serving_of, sign_bundle
from enfpire.wire.candidates import decode_set
from enfpire.wire.query import Bits, Groups, Query, Request, Vectors, seal
from enfpire.wire.reply import Response, encode_response

BATCH = 256


@dataclass(frozen=True, eq=False)
class Subject:
    """A fit as it is published, photos that attackers know, and photos that clients ask about.

    Replies are padded as if every candidate set had `largest_set` bytes.
    """

    fit: Fit
    signed: SignedBundle
    lookup: MemoryLookup
    known: Labelled
    asked: Labelled
    largest_set: int = 0

    @property
    def classes(self) -> int:
        """C, how many classes are enrolled."""
        return len(self.fit.names)

    @property
    def serving(self) -> Serving:
        """What a worker would know of the bundle."""
        return serving_of(self.signed.bundle, self.largest_set)

    @property
    def cells(self) -> Cells | None:
        """The transform, where group numbers travel."""
        transform = self.signed.bundle.transform
        return transform if isinstance(transform, Cells) else None


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What became of photos: messages (n,) group numbers or (n, m) vectors, and what the client made of the replies.

    right (n,) 0 or 1; similarity (n,) to the best candidate; candidates (n,) how many classes came back; bytes are of
    all batches together.
    """

    messages: Indices | Floats = field(repr=False)
    right: Doubles = field(repr=False)
    similarity: Floats = field(repr=False)
    candidates: Doubles = field(repr=False)
    bytes_up: int
    bytes_down: int


def subject_of(fit: Fit, known: Labelled, asked: Labelled, key: Ed25519PrivateKey | None = None) -> Subject:
    """Publish a fit in memory, signed by `key` or by one of its own."""
    version = draft_version(fit)
    lookup = MemoryLookup(version, 0 if isinstance(fit.transform, CellsDraft) else fit.transform.candidates)
    sets = lookup.by_group(range(len(version.members or ())))
    digests = b"".join(found.digest for found in sets)
    largest = largest_set(fit, [len(found.body) for found in sets])
    signed = sign_bundle(make_bundle(fit, version.version, digests), key or Ed25519PrivateKey.generate())
    return Subject(fit, signed, lookup, known, asked, largest)


def exchange(subject: Subject, photos: Labelled, random: np.random.Generator) -> Exchanged:
    """Photos through protect, answer and resolve in batches of 256, the client's memory off."""
    parts = [_batch(subject, photos.at(rows), random) for rows in _batches(len(photos.labels))]
    return Exchanged(
        messages=np.concatenate([part.messages for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        similarity=np.concatenate([part.similarity for part in parts]),
        candidates=np.concatenate([part.candidates for part in parts]),
        bytes_up=sum(part.bytes_up for part in parts),
        bytes_down=sum(part.bytes_down for part in parts),
    )


def sent_by(subject: Subject, features: Floats, random: np.random.Generator) -> Indices | Floats:
    """The messages of features (n, d) alone, nobody answering: group numbers (n,), or vectors (n, m)."""
    return np.concatenate([seen(*protect(features[rows], subject.signed, random)) for rows in _batches(len(features))])


def _batches(count: int) -> Iterator[Indices]:
    for start in range(0, count, BATCH):
        yield np.arange(start, min(start + BATCH, count))


def _batch(subject: Subject, photos: Labelled, random: np.random.Generator) -> Exchanged:
    pending, query = protect(photos.vectors, subject.signed, random)
    reply = answer(query, subject.serving, subject.lookup)
    matches = resolve(pending, reply, subject.signed)
    names = np.array(subject.fit.names)[photos.labels]
    request = Request(client="audit", id=bytes(16), expires=0, query=query)
    return Exchanged(
        messages=seen(pending, query),
        right=np.array([match.name == name for match, name in zip(matches, names, strict=True)], dtype=np.float64),
        similarity=np.array([match.similarity for match in matches], dtype=np.float32),
        candidates=np.array([float(len(match.candidates)) for match in matches]),
        bytes_up=len(seal(request, bytes(32))),
        bytes_down=len(encode_response(Response(id=bytes(16), reply=reply), subject.largest_set)),
    )


def seen(pending: Pending, query: Query) -> Indices | Floats:
    """The message of each photo, as a server would know it if it knew which photo sent it."""
    match query.protected:
        case Groups(numbers=numbers):
            groups: Indices = numbers.values[pending.rows].astype(np.intp)
            return groups
        case Vectors(rows=rows):
            return rows.floats()[pending.rows]
        case Bits() as codes:
            return codes.signs()[pending.rows]


def unprotected_right(subject: Subject) -> Doubles:
    """Whether a service without protection names each asked photo: same prototypes, all classes, no rejection; (n,)."""
    best = class_similarities(subject.asked.vectors, subject.fit.prototypes).argmax(axis=1)
    right: Doubles = (best == subject.asked.labels).astype(np.float64)
    return right


def group_scores(subject: Subject, features: Floats) -> Floats:
    """Score of each group for features (n, d), as the client's router has it, shape (n, G)."""
    assert subject.cells is not None  # noqa: S101 - for the type checker; only cells have groups
    return CellsTransform(subject.cells).scores(features)


def right_in_group(subject: Subject) -> Doubles:
    """Whether the client would name each asked photo from the candidate set of each group, shape (n, G)."""
    names, photos = np.array(subject.fit.names), subject.asked
    right = np.zeros((len(photos.labels), subject.serving.groups))
    unknown = unknown_of(subject.signed.bundle)
    for group, sent in enumerate(subject.lookup.by_group(range(subject.serving.groups))):
        candidates = decode_set(sent.body)
        scores = class_scores(photos.vectors, candidates)
        named = np.array(candidates.names)[scores.argmax(axis=1)] == names[photos.labels]
        right[:, group] = named & unknown.accepts(photos.vectors, scores.max(axis=1))
    return right
