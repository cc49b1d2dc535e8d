"""Resolving a parcel: its reply, its bundle and its features become recognitions in the store."""

from __future__ import annotations

from collections import OrderedDict

from enfpire.client.match import Match
from enfpire.client.protocol import resolve
from enfpire.client.recognition import Recognition
from enfpire.client.store import Parcel, PendingStore
from enfpire.errors import StoreError, WireError
from enfpire.wire.bundle import SignedBundle, open_bundle
from enfpire.wire.reply import SentSet, decode_response

OPENED_BUNDLES = 8

# By digest, which names the content whichever store it is from. A large bundle takes long to read and to check.
_opened: OrderedDict[bytes, SignedBundle] = OrderedDict()


def bundle_of(store: PendingStore, job: str) -> SignedBundle:
    """The bundle under which a job was submitted, read from the store once by a process.

    Raises `StoreError` where the store lost the job or the bundle.
    """
    record = store.job(job)
    signed = None if record is None else _opened.get(record.bundle) or _read(store, record.bundle)
    if signed is None:
        raise StoreError("the store has no bundle for this job; submit the photos again")
    return signed


def remember(signed: SignedBundle) -> None:
    """Spare this process the reading of a bundle that it has opened."""
    _opened[signed.digest] = signed
    while len(_opened) > OPENED_BUNDLES:
        _opened.popitem(last=False)


def _read(store: PendingStore, digest: bytes) -> SignedBundle | None:
    data = store.bundle(digest)
    signed = None if data is None else open_bundle(data)
    if signed is None or signed.digest != digest:
        return None
    remember(signed)
    return signed


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
    gallery = signed.bundle.gallery
    held = {sent.digest: body for sent in response.reply.sets if (body := _held(store, gallery, sent))}
    matches = resolve(parcel.pending, response.reply, signed, held)
    return store.commit(parcel.job, recognitions(parcel, matches), parcel.id)


def _held(store: PendingStore, gallery: str, sent: SentSet) -> bytes | None:
    return store.held_set(gallery, sent.digest) if sent.body is None else None


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
