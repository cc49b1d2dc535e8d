"""Publish: a fit becomes a version in Milvus, beside the old one, and a signed bundle.

The order matters. The version is complete in Milvus before its bundle is on the exchange, so that no query meets
half a gallery; the alias moves last. Every step can be repeated after a crash: the same fit makes the same
version, the same bytes and the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.curation.cells import CellsDraft
from enfpire.curation.codes import signs
from enfpire.curation.fit import Fit, encode_fit
from enfpire.curation.largest import largest_around
from enfpire.curation.prototypes import rows_by_class
from enfpire.exchange.bundles import put_bundle
from enfpire.server import gallery
from enfpire.server.answer import Lookup
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Array, Floats
from enfpire.wire.bundle import (
    Bundle,
    Cells,
    Identity,
    Noise,
    Projection,
    Serving,
    Sign,
    SignedBundle,
    TransformSpec,
    member_of,
    sign_bundle,
)
from enfpire.wire.candidates import CandidateSet, encode_set

Progress = Callable[[str, int, int], None]

SETS_AT_A_TIME = 64


def publish(
    fit: Fit, milvus: gallery.MilvusClient, exchange: redis.Redis, key: Ed25519PrivateKey, progress: Progress
) -> SignedBundle:
    """Publish a fit; `progress(what, done, total)` is called as it goes on.

    Raises `UnavailableError` where Milvus or the exchange does not answer; publishing again goes on.
    """
    version = draft_version(fit)
    gallery.create_version(milvus, version, lambda done, total: progress("classes", done, total))
    digests, sizes = _candidate_sets(version, milvus, progress)
    signed = sign_bundle(make_bundle(fit, version.version, digests), key)
    put_bundle(exchange, signed, largest_set(fit, sizes))
    gallery.switch_alias(milvus, version.gallery, version.version)
    return signed


def draft_version(fit: Fit) -> GalleryVersion:
    """The gallery version that a fit makes."""
    prototypes = fit.prototypes
    return GalleryVersion(
        gallery=fit.gallery,
        version=hashlib.sha256(encode_fit(fit)).hexdigest()[:12],
        cards=tuple(encode_set(card) for card in cards(fit)),
        vectors=searched_vectors(fit),
        owners=prototypes.owners,
        members=fit.transform.members if isinstance(fit.transform, CellsDraft) else None,
    )


def searched_vectors(fit: Fit) -> Floats:
    """The prototypes (p, m) as the transform shows them to the server, without noise."""
    draft, vectors = fit.transform, fit.prototypes.features
    if isinstance(draft, CellsDraft) or draft.kind == "identity":
        return vectors
    projected = vectors @ draft.basis.floats()
    return signs(projected) if draft.kind == "sign" else projected


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


def _candidate_sets(
    version: GalleryVersion, milvus: gallery.MilvusClient, progress: Progress
) -> tuple[bytes, list[int]]:
    """Digests of the groups' candidate sets, as the workers will serve them, and how many bytes each has."""
    if version.members is None:
        return b"", []
    groups = len(version.members)
    serving = Serving(gallery=version.gallery, version=version.version, kind="cells", groups=groups)
    lookup: Lookup = gallery.MilvusLookup(milvus, serving)
    parts: list[bytes] = []
    sizes: list[int] = []
    for start in range(0, groups, SETS_AT_A_TIME):
        chunk: Sequence[int] = range(start, min(start + SETS_AT_A_TIME, groups))
        found = lookup.by_group(chunk)
        parts += [one.digest for one in found]
        sizes += [len(one.body) for one in found]
        progress("candidate sets", len(parts), groups)
    return b"".join(parts), sizes


def largest_set(fit: Fit, sizes: Sequence[int]) -> int:
    """Bytes of the largest candidate set: `sizes` (G,) are those of the groups' sets, where groups travel."""
    draft = fit.transform
    return max(sizes) if isinstance(draft, CellsDraft) else largest_around(cards(fit), draft.candidates)


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
        figures=fit.figures,
    )


def _transform(fit: Fit, digests: bytes) -> TransformSpec:
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
            slack=draft.slack,
            priors=_largest_priors(draft, len(groups)),
        )
    match draft.kind:
        case "projection":
            return Projection(basis=draft.basis, candidates=draft.candidates)
        case "noise":
            return Noise(basis=draft.basis, epsilon=draft.epsilon, candidates=draft.candidates)
        case "sign":
            return Sign(basis=draft.basis, candidates=draft.candidates)
        case "identity":
            return Identity(candidates=draft.candidates)


def _largest_priors(draft: CellsDraft, groups: int) -> Array | None:
    """The `groups` largest declared priors, descending; a message names one of so many classes at best."""
    if draft.priors is None:
        return None
    return Array.of(np.sort(draft.priors.values)[::-1][:groups], "f4")
