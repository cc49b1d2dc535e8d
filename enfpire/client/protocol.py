"""The client's two pure functions: `protect` before a query travels, `resolve` after its reply came.

    pending, query = protect(features, bundle)
    recognitions   = resolve(pending, reply, bundle)

No input and no output. Nothing is random but the noise of a `noise` bundle: under any other the same features make the
same query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from enfpire.client.match import Match, best_matches
from enfpire.client.messages import with_messages
from enfpire.client.transforms import transform_of
from enfpire.client.transforms.cells import CellsTransform
from enfpire.client.unknown import unknown_of
from enfpire.errors import CandidateSetError, FeatureError
from enfpire.wire.arrays import Floats, Indices, check_rows
from enfpire.wire.bundle import Cells, SignedBundle, member_of
from enfpire.wire.candidates import CandidateSet, decode_set, digest_of
from enfpire.wire.query import Bits, Groups, Query, Vectors
from enfpire.wire.reply import Reply, SentSet


@dataclass(frozen=True)
class Pending:
    """What stays on the client while a query travels.

    `features` (n, d); `rows` (n,) is the place of each feature in the query; `groups` (n,) is the group of each
    where groups travel. Its repr holds no feature.
    """

    features: Floats = field(repr=False)
    rows: Indices = field(repr=False)
    groups: Indices | None = field(repr=False)


def protect(
    features: Floats,
    signed: SignedBundle,
    random: np.random.Generator | None = None,
    *,
    sent: Mapping[int, bytes] | None = None,
    held: Collection[int] | None = None,
) -> tuple[Pending, Query]:
    """Protect features (n, d), n at least 1.

    `sent` are the messages of photos, by row, that sent one before: they send the same again, wherever this bundle
    would put them. A client that remembers says which groups' sets are `held`: under `cells`, photos that nearly fit
    one of them go there. A `noise` bundle's noise comes from the operating system; for tests and audits from `random`.
    Raises `FeatureError` for another shape, no or too many rows, NaN or infinity.
    """
    checked = check_rows(features, signed.bundle.dimensions)
    if not len(checked):
        raise FeatureError("there is no feature to protect; give one at least")
    transform = transform_of(signed.bundle, random)
    protected: Groups | Vectors | Bits
    if held is not None and isinstance(transform, CellsTransform):
        protected, rows = transform.protect_familiar(checked, held)
    else:
        protected, rows = transform.protect(checked)
    if sent:
        protected, rows = with_messages(protected, rows, sent)
    groups = protected.numbers.values[rows].astype(np.intp) if isinstance(protected, Groups) else None
    query = Query(gallery=signed.bundle.gallery, bundle=signed.digest, protected=protected)
    return Pending(checked, rows, groups), query


def resolve(
    pending: Pending, reply: Reply, signed: SignedBundle, held: dict[bytes, bytes] | None = None
) -> list[Match]:
    """Pick for each pending feature the candidate that fits it best.

    `held` are bodies of candidate sets, by digest, that the query said the client has. Raises
    `CandidateSetError` when a set is not the one that the bundle names.
    """
    sets = opened_sets(pending, reply, signed, held or {})
    places = reply.index.values[pending.rows].astype(np.intp)
    return best_matches(pending.features, sets, places, unknown_of(signed.bundle))


def opened_sets(pending: Pending, reply: Reply, signed: SignedBundle, held: dict[bytes, bytes]) -> list[CandidateSet]:
    """The reply's candidate sets, each checked against its digest and, for cells, against the bundle."""
    if len(reply.index.values) <= int(pending.rows.max()):
        raise CandidateSetError("the reply has fewer rows than the query; ask the operator to check the worker")
    sets = [_opened(sent, held) for sent in reply.sets]
    if isinstance(signed.bundle.transform, Cells) and pending.groups is not None:
        places = reply.index.values[pending.rows]
        for group, place in set(zip(pending.groups.tolist(), places.tolist(), strict=True)):
            _check_promised(group, reply.sets[place].digest, sets[place], signed.bundle.transform)
    return sets


def _check_promised(group: int, digest: bytes, candidates: CandidateSet, cells: Cells) -> None:
    """Raise unless this is the set that the bundle names, with as many classes as the guarantee counts."""
    if digest != cells.digest(group):
        raise CandidateSetError(
            "the server sent another candidate set than the bundle names: it may have been made for this "
            "client; do not use the reply, and ask the operator"
        )
    if not cells.members_of(group) <= {member_of(name) for name in candidates.names}:
        raise CandidateSetError(
            "a candidate set lacks classes that the bundle promises: its guarantee is false; "
            "do not use this bundle, and ask the operator"
        )


def _opened(sent: SentSet, held: dict[bytes, bytes]) -> CandidateSet:
    body = sent.body if sent.body is not None else held.get(sent.digest)
    if body is None or digest_of(body) != sent.digest:
        raise CandidateSetError("a candidate set is missing or does not fit its digest; the query is asked again")
    return decode_set(body)
