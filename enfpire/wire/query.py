"""The query: all that the server ever sees of a photo.

`Query` is the protocol's message; `Request` is the envelope that takes it over the exchange. A query holds its
rows in *canonical order*, so that neither the order of the photos nor anything random travels with them: group
numbers and binary codes ascending and without repeats, vectors sorted.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import FailFast, Field, model_validator

from enfpire.errors import WireError
from enfpire.wire.arrays import Array, Bools, Floats, Frozen, Indices
from enfpire.wire.codec import KIB, MIB, decode, encode
from enfpire.wire.names import NAME_PATTERN

REQUEST_CAP = 2 * MIB
SEALED_CAP = REQUEST_CAP + KIB
MAC_BYTES = 32
MAX_ROWS = 4096
MAX_BITS = 32_768
MAX_HELD = 4096

Digest = Annotated[bytes, Field(min_length=32, max_length=32)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Groups(Frozen):
    """Group numbers, uint32, shape (n,), strictly ascending."""

    kind: Literal["groups"] = "groups"
    numbers: Array

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        values = self.numbers.values
        if self.numbers.dtype != "u4" or values.ndim != 1 or not 1 <= len(values) <= MAX_ROWS:
            raise ValueError("group numbers are 1 to 4096 values of uint32")
        if (values[1:] <= values[:-1]).any():
            raise ValueError("group numbers ascend without repeats")
        return self


class Vectors(Frozen):
    """Transformed vectors, float16, shape (n, m), rows in lexicographic order."""

    kind: Literal["vectors"] = "vectors"
    rows: Array

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        values = self.rows.values
        if self.rows.dtype != "f2" or values.ndim != 2 or not 1 <= len(values) <= MAX_ROWS:
            raise ValueError("vectors are 1 to 4096 rows of float16")
        if not np.isfinite(values).all():
            raise ValueError("vectors are finite")
        return self


class Bits(Frozen):
    """Binary codes of `width` bits, packed: uint8, shape (n, ceil(width / 8)), rows strictly ascending as bytes.

    Bit 0 is the highest bit of the first byte; the bits that fill up the last byte are 0.
    """

    kind: Literal["bits"] = "bits"
    width: Annotated[int, Field(ge=1, le=MAX_BITS)]
    rows: Array

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        if self.rows.dtype != "u1" or len(self.rows.shape) != 2 or not 1 <= self.rows.shape[0] <= MAX_ROWS:
            raise ValueError("codes are 1 to 4096 rows of uint8")
        values = self.rows.values
        if values.shape[1] != -(-self.width // 8) or (values[:, -1] & (0xFF >> (self.width - 1) % 8 + 1)).any():
            raise ValueError("a code has as many bytes as its bits need, filled up with 0")
        texts = [row.tobytes() for row in values]
        if any(later <= earlier for earlier, later in pairwise(texts)):
            raise ValueError("codes ascend without repeats")
        return self

    @classmethod
    def of(cls, codes: Bools) -> tuple[Self, Indices]:
        """Pack codes (n, width), True for a 1, each once; and the row of each, shape (n,)."""
        rows, places = np.unique(np.packbits(codes, axis=1), axis=0, return_inverse=True)
        return cls(width=codes.shape[1], rows=Array.of(rows, "u1")), places.reshape(-1).astype(np.intp)

    def signs(self) -> Floats:
        """The codes as float32, shape (n, width): 1 for a 1, -1 for a 0."""
        signs: Floats = np.unpackbits(self.rows.values, axis=1, count=self.width).astype(np.float32) * 2 - 1
        return signs


ProtectedFeatures = Annotated[Groups | Vectors | Bits, Field(discriminator="kind")]


class Query(Frozen):
    """Protected features for one gallery under one bundle.

    `held` are the digests of candidate sets that the client has and does not need again.
    """

    gallery: Name
    bundle: Digest
    protected: ProtectedFeatures
    held: Annotated[tuple[Digest, ...], Field(max_length=MAX_HELD), FailFast()] = ()


class Request(Frozen):
    """A query on its way: whose it is, a random id, and until when (unix seconds) an answer is wanted."""

    client: Name
    id: Annotated[bytes, Field(min_length=16, max_length=16)]
    expires: Annotated[int, Field(ge=0, lt=2**63)]
    query: Query


def seal(request: Request, key: bytes) -> bytes:
    """Bytes of `request`, preceded by their HMAC-SHA256 under the client's key."""
    body = encode(request, b"Q")
    return hmac.digest(key, body, hashlib.sha256) + body


def unseal(sealed: bytes) -> Request:
    """Parse a sealed request *without* checking its HMAC; `verified` does that.

    Raises `WireError` or `TooLargeError`.
    """
    if len(sealed) < MAC_BYTES:
        raise WireError("these bytes are not a Request")
    return decode(sealed[MAC_BYTES:], b"Q", Request, REQUEST_CAP)


def verified(sealed: bytes, key: bytes) -> bool:
    """Whether the request was sealed under `key`."""
    return hmac.compare_digest(hmac.digest(key, sealed[MAC_BYTES:], hashlib.sha256), sealed[:MAC_BYTES])
