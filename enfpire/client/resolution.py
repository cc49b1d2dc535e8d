"""Resolving a parcel: its reply, its bundle and its features become recognitions in the store."""

from __future__ import annotations

from functools import lru_cache

from enfpire.client.match import Match
from enfpire.client.protocol import resolve
from enfpire.client.recognition import Recognition
from enfpire.client.store import Parcel, PendingStore
from enfpire.errors import StoreError, WireError
from enfpire.wire.bundle import SignedBundle, open_bundle
from enfpire.wire.reply import decode_response


@lru_cache(maxsize=8)
def _opened(data: bytes) -> SignedBundle:
    return open_bundle(data)


def bundle_of(store: PendingStore, job: str) -> SignedBundle:
    """The bundle under which a job was submitted; raises `StoreError` where the store lost it."""
    record = store.job(job)
    data = None if record is None else store.bundle(record.bundle)
    if data is None:
        raise StoreError("the store has no bundle for this job; submit the photos again")
    return _opened(data)


def resolve_parcel(store: PendingStore, parcel_id: bytes) -> int:
    """Resolve one parcel that has its reply; returns how many recognitions are new.

    A parcel that is resolved already, or has no reply, is none. Raises `CandidateSetError` or `WireError` for a
    reply that cannot be used: the caller drops it and asks again.
    """
    parcel, data = store.load(parcel_id) or (None, None)
    if parcel is None or data is None:
        return 0
    response = decode_response(data)
    if response.reply is None:
        raise WireError("a refusal is not a reply")
    signed = bundle_of(store, parcel.job)
    held = {sent.digest: body for sent in response.reply.sets if (body := _held(store, sent.digest, sent.body))}
    matches = resolve(parcel.pending, response.reply, signed, held)
    return store.commit(parcel.job, recognitions(parcel, matches), parcel.id)


def _held(store: PendingStore, digest: bytes, body: bytes | None) -> bytes | None:
    return store.held_set(digest) if body is None else None


def recognitions(parcel: Parcel, matches: list[Match]) -> list[Recognition]:
    """The recognitions of a parcel's photos."""
    groups = [None] * len(matches) if parcel.pending.groups is None else parcel.pending.groups.tolist()
    return [
        recognition(row, photo, match, group)
        for row, photo, match, group in zip(parcel.rows, parcel.photos, matches, groups, strict=True)
    ]


def recognition(row: int, photo: str, match: Match, group: int | None) -> Recognition:
    """The recognition that a match makes of a photo."""
    return Recognition(
        row=row,
        photo=photo,
        name=match.name,
        similarity=match.similarity,
        margin=match.margin,
        info=match.info,
        group=group,
        candidates=match.candidates,
    )
