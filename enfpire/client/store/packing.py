"""Parcels and recognitions as the bytes that both stores keep.

The candidates' names and the info record of a recognition repeat over thousands of photos, so a record only
names them by digest; each is kept once for a job, as a *part*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from pydantic import Field

from enfpire.client.protocol import Pending
from enfpire.client.recognition import Recognition
from enfpire.client.store.records import JobRecord, Parcel, Waiting
from enfpire.errors import StoreError, UsageError, WireError
from enfpire.wire.arrays import Array, Frozen
from enfpire.wire.codec import MIB, decode, encode

PARCEL_CAP = 256 * MIB
PART_BYTES = 16
ENCODER = json.JSONEncoder(separators=(",", ":"))

DAMAGED = "the store holds a damaged record: run `enfpire purge`, and submit the photos again"


class _StoredParcel(Frozen):
    """A parcel without its id and its query."""

    job: str
    rows: Array
    photos: tuple[str, ...] = Field(repr=False)
    features: Array
    places: Array
    groups: Array | None


@dataclass(frozen=True, slots=True)
class PackedRecognition:
    """One recognition as a store keeps it."""

    row: int
    failed: bool
    body: bytes = field(repr=False)


def named(job: JobRecord, photos: Iterable[str]) -> Iterator[Waiting]:
    """The photos with their rows.

    Raises `UsageError` where a name cannot be stored as UTF-8, or `job.total` is not their number.
    """
    count = 0
    for row, photo in enumerate(photos):
        try:
            photo.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the file name of photo {row} is not valid UTF-8: rename the file") from None
        yield Waiting(row, photo)
        count += 1
    if count != job.total:
        raise UsageError(f"a job of {job.total} photos came with {count}: give `total` as many as there are photos")


def printable(label: str) -> str:
    """The label with "?" where it is not valid UTF-8, such as the undecodable bytes of a path."""
    return label.encode(errors="replace").decode()


def pack_parcel(parcel: Parcel) -> bytes:
    """Bytes of a parcel, all but its id and its query."""
    pending = parcel.pending
    stored = _StoredParcel(
        job=parcel.job,
        rows=Array.of(np.asarray(parcel.rows), "u4"),
        photos=parcel.photos,
        features=Array.of(pending.features, "f4"),
        places=Array.of(pending.rows, "u4"),
        groups=None if pending.groups is None else Array.of(pending.groups, "u4"),
    )
    return encode(stored, b"P")


def unpack_parcel(number: bytes, query: bytes, data: bytes) -> Parcel:
    """The parcel with the id `number` and that query, of which `pack_parcel` packed the rest.

    Raises `StoreError` for damaged bytes.
    """
    try:
        stored = decode(data, b"P", _StoredParcel, PARCEL_CAP)
    except WireError as error:
        raise StoreError(DAMAGED) from error
    groups = None if stored.groups is None else stored.groups.values.astype(np.intp)
    pending = Pending(stored.features.values, stored.places.values.astype(np.intp), groups)
    return Parcel(number, stored.job, tuple(stored.rows.values.tolist()), stored.photos, pending, query)


def pack_recognitions(recognitions: Sequence[Recognition]) -> tuple[list[PackedRecognition], dict[bytes, bytes]]:
    """Each recognition packed, and the parts that they name, by digest."""
    parts: dict[bytes, bytes] = {}
    seen: dict[tuple[str, ...], bytes] = {}
    packer = msgpack.Packer()
    return [_packed(one, parts, seen, packer) for one in recognitions], parts


def _packed(
    one: Recognition, parts: dict[bytes, bytes], seen: dict[tuple[str, ...], bytes], packer: msgpack.Packer
) -> PackedRecognition:
    info = None if one.info is None else _part(one.info, parts)
    if one.candidates not in seen:
        seen[one.candidates] = _part(one.candidates, parts)
    names = seen[one.candidates]
    record = (one.row, one.photo, one.name, one.similarity, one.margin, info, one.group, names, one.error)
    return PackedRecognition(one.row, one.error is not None, packer.pack(record))


def _part(value: Any, parts: dict[bytes, bytes]) -> bytes:  # noqa: ANN401 - any JSON
    body = ENCODER.encode(value).encode()
    digest = hashlib.blake2b(body, digest_size=PART_BYTES).digest()
    parts[digest] = body
    return digest


def unpack_recognitions(
    bodies: Sequence[bytes], fetch: Callable[[list[bytes]], Mapping[bytes, bytes]]
) -> list[Recognition]:
    """The recognitions that were packed; `fetch` returns parts by digest.

    Raises `StoreError` for damaged bytes or a missing part.
    """
    try:
        records = [msgpack.unpackb(body, use_list=False) for body in bodies]
        wanted = {digest for record in records for digest in (record[5], record[7]) if digest is not None}
        parts = {digest: json.loads(body) for digest, body in fetch(sorted(wanted)).items()}
        names = {digest: tuple(parts[digest]) for digest in {record[7] for record in records}}
        return [_unpacked(record, parts, names) for record in records]
    except (ValueError, TypeError, KeyError, IndexError):  # not chained: a validation error quotes its input
        raise StoreError(DAMAGED) from None


def _unpacked(
    record: tuple[Any, ...], parts: Mapping[bytes, Any], names: Mapping[bytes, tuple[str, ...]]
) -> Recognition:
    row, photo, name, similarity, margin, info, group, candidates, error = record
    return Recognition(
        row=row,
        photo=photo,
        name=name,
        similarity=similarity,
        margin=margin,
        info=None if info is None else parts[info],
        group=group,
        candidates=names[candidates],
        error=error,
    )
