"""Publish: a fit becomes a version in Milvus, beside the old one, and a signed bundle.

The order matters. The version is complete in Milvus before its bundle is on the exchange, so that no query meets
half a gallery; the alias moves last. Every step can be repeated after a crash: the same fit makes the same
version, the same bytes and the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.curation.fit import CellsDraft, Fit, encode_fit
from enfpire.curation.prototypes import rows_by_class
from enfpire.exchange.bundles import put_bundle
from enfpire.server import gallery
from enfpire.server.answer import Lookup
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Array, Floats, Indices
from enfpire.wire.bundle import Bundle, Cells, Identity, Projection, Serving, SignedBundle, member_of, sign_bundle
from enfpire.wire.candidates import CandidateSet, encode_set

Progress = Callable[[str, int, int], None]
Nearest = Callable[[Floats, int], list[Indices]]

SETS_AT_A_TIME = 64


def publish(
    fit: Fit, milvus: gallery.MilvusClient, exchange: redis.Redis, key: Ed25519PrivateKey, progress: Progress
) -> SignedBundle:
    """Publish a fit; `progress(what, done, total)` is called as it goes on.

    Raises `UnavailableError` where Milvus or the exchange does not answer; publishing again goes on.
    """
    version = draft_version(fit)
    gallery.create_version(milvus, version, lambda done, total: progress("classes", done, total))
    if isinstance(fit.transform, CellsDraft):
        members = choose_members(fit, lambda vectors, count: _nearest(milvus, version, vectors, count))
        version = replace(version, members=members)
        gallery.write_members(milvus, version)
    digests = _digests(version, milvus, progress)
    signed = sign_bundle(make_bundle(fit, version.version, digests), key)
    put_bundle(exchange, signed)
    gallery.switch_alias(milvus, version.gallery, version.version)
    return signed


def draft_version(fit: Fit) -> GalleryVersion:
    """The gallery version that a fit makes, its candidate sets not chosen yet."""
    prototypes = fit.prototypes
    vectors = prototypes.features
    if fit.transform.kind == "projection":
        vectors = vectors @ fit.transform.basis.floats()
    return GalleryVersion(
        gallery=fit.gallery,
        version=hashlib.sha256(encode_fit(fit)).hexdigest()[:12],
        cards=tuple(encode_set(card) for card in cards(fit)),
        vectors=vectors,
        owners=prototypes.owners,
        members=None,
    )


def cards(fit: Fit) -> list[CandidateSet]:
    """Each class as a candidate set of its own."""
    rows = rows_by_class(fit.owners.values.astype(np.intp), len(fit.names))
    return [
        CandidateSet(
            names=(name,),
            infos=(info,),
            counts=Array.of(np.array([len(own)]), "u1"),
            codes=Array.of(fit.codes.values[own], "i1"),
            scales=Array.of(fit.scales.values[own], "f4"),
        )
        for name, info, own in zip(fit.names, fit.infos, rows, strict=True)
    ]


def choose_members(fit: Fit, nearest: Nearest) -> tuple[Indices, ...]:
    """Ascending class numbers of each group's candidate set: its own, and those nearest around its anchors.

    `nearest(vectors, count)` searches the gallery. A set has `over_ask` times as many classes as its group.
    """
    draft = fit.transform
    assert isinstance(draft, CellsDraft)  # noqa: S101 - for the type checker; `publish` asked
    groups, anchors = draft.groups.values.astype(np.intp), draft.anchors.floats()
    own = rows_by_class(groups, int(groups.max()) + 1)
    if draft.over_ask <= 1:
        return tuple(own)
    routes = draft.routes.values
    return tuple(
        _with_others(members, anchors[routes == group], draft.over_ask, nearest, fit)
        for group, members in enumerate(own)
    )


def _with_others(own: Indices, anchors: Floats, over_ask: float, nearest: Nearest, fit: Fit) -> Indices:
    wanted = min(round(over_ask * len(own)), len(fit.names))
    found = np.unique(np.concatenate(nearest(anchors, wanted)))
    others = np.setdiff1d(found, own)
    prototypes = fit.prototypes
    similarity = np.full(len(fit.names), -np.inf, dtype=np.float32)
    np.maximum.at(similarity, prototypes.owners, (prototypes.features @ anchors.T).max(axis=1))
    ranked = others[np.argsort(-similarity[others], kind="stable")]
    return np.sort(np.concatenate([own, ranked[: wanted - len(own)]]))


def _nearest(milvus: gallery.MilvusClient, version: GalleryVersion, vectors: Floats, count: int) -> list[Indices]:
    return gallery.nearest_classes(milvus, version.gallery, version.version, vectors, count)


def _digests(version: GalleryVersion, milvus: gallery.MilvusClient, progress: Progress) -> bytes:
    """Digests of the candidate sets, as the workers will serve them."""
    if version.members is None:
        return b""
    groups = len(version.members)
    serving = Serving(gallery=version.gallery, version=version.version, kind="cells", groups=groups)
    lookup: Lookup = gallery.MilvusLookup(milvus, serving)
    parts: list[bytes] = []
    for start in range(0, groups, SETS_AT_A_TIME):
        chunk: Sequence[int] = range(start, min(start + SETS_AT_A_TIME, groups))
        parts += [found.digest for found in lookup.by_group(chunk)]
        progress("candidate sets", len(parts), groups)
    return b"".join(parts)


def make_bundle(fit: Fit, version: str, digests: bytes) -> Bundle:
    """The bundle of a fit whose candidate sets have these digests."""
    return Bundle(
        gallery=fit.gallery,
        version=version,
        classes=len(fit.names),
        extractor=fit.extractor,
        whitening=fit.whitening,
        transform=_transform(fit, digests),
        unknown_below=fit.unknown_below,
    )


def _transform(fit: Fit, digests: bytes) -> Cells | Projection | Identity:
    draft = fit.transform
    if isinstance(draft, CellsDraft):
        own = rows_by_class(draft.groups.values.astype(np.intp), len(draft.groups.values))
        groups = [sorted(member_of(fit.names[number]) for number in classes) for classes in own if len(classes)]
        return Cells(
            anchors=draft.anchors,
            routes=draft.routes,
            classes=Array.of(np.array([len(group) for group in groups]), "u4"),
            members=b"".join(member for group in groups for member in group),
            digests=digests,
        )
    if draft.kind == "projection":
        return Projection(basis=draft.basis, candidates=draft.candidates)
    return Identity(candidates=draft.candidates)
