"""What a policy costs in bytes: a photo's query and candidate set, the bundle, or the whole gallery instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from enfpire.curation.cells import CellsDraft, CellsOptions
from enfpire.curation.choosing import Grouping
from enfpire.curation.fit import Base, Fit, VectorOptions, fit_transform
from enfpire.curation.publish import make_bundle
from enfpire.wire.arrays import Array, Doubles, Indices
from enfpire.wire.bundle import DIGEST_BYTES, KEY_BYTES, SIGNATURE_BYTES
from enfpire.wire.candidates import CandidateSet, collect, encode_set
from enfpire.wire.codec import HEADER_BYTES, encode
from enfpire.wire.query import Groups, Query, Request, seal

# more classes are downloaded in several sets
_AT_ONCE = 4096


def without_transform(base: Base) -> Fit:
    """A fit that has all that policies share, and no protection: to price them, never to publish."""
    return fit_transform(base, VectorOptions(kind="identity", candidates=1))


def set_bytes(classes: Sequence[CandidateSet], sets: Sequence[Indices]) -> Indices:
    """Bytes of each encoded candidate set (G,), given the sets' class numbers."""
    return np.array([len(encode_set(collect([classes[number] for number in members]))) for members in sets])


def download_bytes(classes: Sequence[CandidateSet]) -> int:
    """Bytes of all classes of a gallery, once: what a client gets that asks nothing."""
    starts = range(0, len(classes), _AT_ONCE)
    return sum(len(encode_set(collect(classes[start : start + _AT_ONCE]))) for start in starts)


def query_bytes(gallery: str) -> int:
    """Bytes of a sealed query for one photo, of a client with a name of eight letters."""
    query = Query(gallery=gallery, bundle=bytes(32), protected=Groups(numbers=Array.of(np.zeros(1), "u4")))
    request = Request(client="clientid", id=bytes(16), expires=2**31, query=query)
    return len(seal(request, bytes(32)))


def bundle_bytes(fit: Fit) -> int:
    """Bytes of the signed bundle that publishing a fit of `cells` makes."""
    draft = fit.transform
    groups = len(draft.sizes.values) if isinstance(draft, CellsDraft) else 0
    body = encode(make_bundle(fit, "0" * 12, bytes(groups * DIGEST_BYTES)), b"B")
    return HEADER_BYTES + KEY_BYTES + SIGNATURE_BYTES + len(body)


def planned_bytes(
    fit: Fit, base: Base, options: CellsOptions, groups: Grouping, priors: Doubles | None, figures: Mapping[str, float]
) -> int:
    """Bytes of the bundle of a policy that was not fitted yet: its tables' sizes are known, their values are not.

    `fit` is what `without_transform` makes of `base`; groups and cells (C,).
    """
    own, cells = groups
    things = base.fitted.labels if options.anchors == "class" else cells[base.fitted.labels]
    counts = np.minimum(np.bincount(things), options.anchors_each)
    route_of = own if options.anchors == "class" else _groups_of_cells(own, cells)
    dimensions = min(options.anchor_dimensions or base.fitted.features.shape[1], base.fitted.features.shape[1])
    count = int(own.max()) + 1
    draft = CellsDraft(
        groups=Array.of(own, "u4"),
        anchors=Array.of(np.zeros((counts.sum(), dimensions)), "i1" if options.int8 else "f2"),
        routes=Array.of(np.repeat(route_of, counts), "u4"),
        candidates=Array.of(np.zeros(0), "u4"),
        sizes=Array.of(np.zeros(count), "u4"),
        slack=options.slack,
        priors=None if priors is None else Array.of(priors, "f4"),
    )
    return bundle_bytes(fit.model_copy(update={"transform": draft, "figures": dict(figures)}))


def _groups_of_cells(groups: Indices, cells: Indices) -> Indices:
    found = np.zeros(int(cells.max()) + 1, np.intp)
    found[cells] = groups
    return found
