"""Candidate sets: the classes that the server returns, in columns.

A set's bytes depend on the gallery version alone: classes in ascending order, prototypes class by class. Its
digest is the SHA-256 of those bytes, so that a set cannot be made for one client.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import FailFast, Field, model_validator

from enfpire.errors import GalleryError
from enfpire.wire.arrays import Array, Floats, Frozen, Int8s
from enfpire.wire.codec import KIB, MIB, decode, encode

SET_CAP = 64 * MIB
INFO_CAP = 16 * KIB
NAME_CAP = 400
SCALE_CAP = 1e6
MAX_CLASSES = 65_536
MAX_PROTOTYPES = 16


class CandidateSet(Frozen):
    """The classes of one candidate set.

    `names` and `infos` (JSON) have a value a class, `counts` (uint8) says how many prototypes each class has;
    `codes` (int8, shape (p, d)) times `scales` (float32, shape (p,)) are the prototypes.
    """

    names: Annotated[tuple[Annotated[str, Field(max_length=NAME_CAP)], ...], Field(max_length=MAX_CLASSES), FailFast()]
    infos: Annotated[
        tuple[Annotated[bytes, Field(max_length=INFO_CAP)], ...],
        Field(max_length=MAX_CLASSES, repr=False),
        FailFast(),
    ]
    counts: Array
    codes: Array
    scales: Array

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        dtypes = (self.counts.dtype, self.codes.dtype, self.scales.dtype)
        shapes = (len(self.counts.shape), len(self.codes.shape), len(self.scales.shape))
        if dtypes != ("u1", "i1", "f4") or shapes != (1, 2, 1):
            raise ValueError("a column has the wrong type")
        prototypes = int(self.counts.values.sum(dtype=np.int64))
        if not len(self.names) == len(self.infos) == self.counts.shape[0]:
            raise ValueError("names, infos and counts have one length")
        if not prototypes == self.codes.shape[0] == self.scales.shape[0]:
            raise ValueError("counts do not add up to the prototypes")
        # A prototype is a unit vector; scales far above would overflow where the client normalises.
        if not ((self.scales.values >= 0) & (self.scales.values <= SCALE_CAP)).all():
            raise ValueError("scales are finite, small and not negative")
        return self

    @property
    def prototypes(self) -> Floats:
        """Prototypes, float32, shape (p, d)."""
        return dequantise(self.codes.values, self.scales.values)

    def info(self, number: int) -> Any:  # noqa: ANN401 - any JSON
        """Info record of the class at place `number`; None where its bytes are not JSON."""
        try:
            return json.loads(self.infos[number])
        except (ValueError, RecursionError):
            return None


def encode_set(candidates: CandidateSet) -> bytes:
    """Bytes of a candidate set: equal sets have equal bytes."""
    return encode(candidates, b"C")


def decode_set(data: bytes) -> CandidateSet:
    """Parse a candidate set; raises `WireError` or `TooLargeError`."""
    return decode(data, b"C", CandidateSet, SET_CAP)


def digest_of(data: bytes) -> bytes:
    """SHA-256 of the bytes, 32 bytes."""
    return hashlib.sha256(data).digest()


def quantise(vectors: Floats) -> tuple[Int8s, Floats]:
    """Vectors (n, d) as int8 codes (n, d) and scales (n,), so that codes x scale is nearest to the vector."""
    largest = np.abs(vectors).max(axis=1)
    scales = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    codes = np.rint(vectors / scales[:, None]).astype(np.int8)
    return codes, scales


def dequantise(codes: Int8s, scales: Floats) -> Floats:
    """Vectors (n, d) that codes and scales stand for."""
    vectors: Floats = codes.astype(np.float32) * scales[:, None].astype(np.float32)
    return vectors


def encode_info(info: Any) -> bytes:  # noqa: ANN401 - any JSON
    """An info record as compact JSON with sorted keys.

    Raises `GalleryError` when it is over 16 KiB or not JSON.
    """
    try:
        data = json.dumps(info, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise GalleryError("an info record is not JSON; give text, numbers, lists and maps only") from error
    if len(data) > INFO_CAP:
        raise GalleryError(f"an info record has {len(data)} bytes; at most {INFO_CAP} travel with a candidate")
    return data


def collect(parts: Sequence[CandidateSet]) -> CandidateSet:
    """One set with the classes of all `parts`, in the order given; needs at least one part."""
    return CandidateSet(
        names=tuple(name for part in parts for name in part.names),
        infos=tuple(info for part in parts for info in part.infos),
        counts=Array.of(np.concatenate([part.counts.values for part in parts]), "u1"),
        codes=Array.of(np.concatenate([part.codes.values for part in parts]), "i1"),
        scales=Array.of(np.concatenate([part.scales.values for part in parts]), "f4"),
    )
