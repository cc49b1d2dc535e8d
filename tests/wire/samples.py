"""One small message of each kind; the golden bytes are theirs."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.wire.arrays import Array
from enfpire.wire.bundle import (
    Bundle,
    Cells,
    Extractor,
    Noise,
    Projection,
    Sign,
    TransformSpec,
    Whitening,
    member_of,
)
from enfpire.wire.candidates import CandidateSet, digest_of
from enfpire.wire.query import Bits, Groups, Query, Request, Vectors
from enfpire.wire.reply import Reply, Response, SentSet

CLIENT_KEY = bytes(range(32))
OPERATOR_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
BUNDLE = digest_of(b"a bundle")
SET = digest_of(b"a set")


def request() -> Request:
    groups = Groups(numbers=Array.of(np.array([3, 258]), "u4"))
    query = Query(gallery="groceries", bundle=BUNDLE, protected=groups, held=(SET,))
    return Request(client="phone_1", id=bytes(range(16)), expires=1_800_000_000, query=query)


def vector_request() -> Request:
    vectors = Vectors(rows=Array.of(np.array([[-1.0, 0.5], [0.25, 2.0]]), "f2"))
    query = Query(gallery="groceries", bundle=BUNDLE, protected=vectors)
    return Request(client="phone_1", id=bytes(range(16)), expires=1_800_000_000, query=query)


def sign_request() -> Request:
    codes, _ = Bits.of(np.array([[1, 0, 1, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]], np.bool_))
    query = Query(gallery="groceries", bundle=BUNDLE, protected=codes)
    return Request(client="phone_1", id=bytes(range(16)), expires=1_800_000_000, query=query)


def response() -> Response:
    sets = (SentSet(digest=SET, body=b"a set"), SentSet(digest=BUNDLE, body=None))
    return Response(id=bytes(range(16)), reply=Reply(sets=sets, index=Array.of(np.array([1, 0, 1]), "u4")))


def refusal() -> Response:
    return Response(id=bytes(range(16)), refusal="expired")


def candidate_set() -> CandidateSet:
    return CandidateSet(
        names=("Hafermilch", "Käse"),
        infos=(b'{"title":"Oat milk"}', b"null"),
        counts=Array.of(np.array([2, 1]), "u1"),
        codes=Array.of(np.array([[127, -127], [1, 0], [-128, 5]]), "i1"),
        scales=Array.of(np.array([0.5, 1.0, 0.25]), "f4"),
    )


def bundle() -> Bundle:
    names = ("Hafermilch", "Käse", "Apfel", "Birne", "Brot")
    cells = Cells(
        anchors=Array.of(np.array([[1.0, 0.0], [0.0, -1.0]]), "f2"),
        routes=Array.of(np.array([1, 0]), "u4"),
        classes=Array.of(np.array([2, 3]), "u4"),
        members=b"".join(sorted(map(member_of, names[:2])) + sorted(map(member_of, names[2:]))),
        digests=SET + BUNDLE,
        slack=0.125,
        priors=Array.of(np.array([0.5, 0.25]), "f4"),
    )
    return _bundle(cells, 2)


def projection_bundle() -> Bundle:
    return _bundle(Projection(basis=Array.of(np.array([[1.0], [0.0]]), "f2"), candidates=5), 2)


def noise_bundle() -> Bundle:
    return _bundle(Noise(basis=Array.of(np.array([[0.0], [1.0]]), "f2"), epsilon=0.5, candidates=5), 2)


def sign_bundle() -> Bundle:
    basis = Array.of(np.array([[0.5, 1.0], [1.0, -0.5]]), "f2")
    return _bundle(Sign(basis=basis, candidates=5), 2)


def _bundle(transform: TransformSpec, dimensions: int) -> Bundle:
    return Bundle(
        gallery="groceries",
        version="0123456789ab",
        classes=5,
        extractor=Extractor(name="efficientnet-lite0", weights=digest_of(b"weights"), dimensions=3),
        whitening=Whitening(
            mean=Array.of(np.array([0.5, 0.0, -0.5]), "f4"), matrix=Array.of(np.eye(3)[:, :dimensions], "f4")
        ),
        transform=transform,
        unknown_below=0.25,
        figures={"retention": 0.99},
    )
