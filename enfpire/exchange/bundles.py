"""Bundles on the exchange: written by the operator, served to clients, summed up for workers."""

from __future__ import annotations

from typing import cast

import redis

from enfpire.errors import WireError
from enfpire.exchange.connection import reachable
from enfpire.wire.bundle import Serving, SignedBundle, serving_of
from enfpire.wire.codec import KIB, decode, encode
from enfpire.wire.names import bundle_key, serving_key

SERVING_CAP = 4 * KIB


def put_bundle(exchange: redis.Redis, signed: SignedBundle, largest_set: int) -> None:
    """Put a bundle on the exchange under its digest; from now on workers serve it, in replies padded to `largest_set`.

    `largest_set`: bytes of the largest candidate set under the bundle; 0 for replies of their own size.
    """
    serving = encode(serving_of(signed.bundle, largest_set), b"V")
    with reachable("exchange"):
        exchange.set(bundle_key(signed.digest), signed.data)
        exchange.set(serving_key(signed.digest), serving)


def fetch_bundle(exchange: redis.Redis, digest: bytes) -> bytes | None:
    """Bytes of the signed bundle with this digest, not checked yet; None where the operator has none."""
    with reachable("exchange"):
        return cast("bytes | None", exchange.get(bundle_key(digest)))


def fetch_serving(exchange: redis.Redis, digest: bytes) -> Serving | None:
    """What a worker must know to serve the bundle with this digest; None where it is not served."""
    with reachable("exchange"):
        data = cast("bytes | None", exchange.get(serving_key(digest)))
    if data is None:
        return None
    try:
        return decode(data, b"V", Serving, SERVING_CAP)
    except WireError:
        return None


def drop_bundle(exchange: redis.Redis, digest: bytes) -> None:
    """Stop serving a bundle: queries under it are refused with a code from now on."""
    with reachable("exchange"):
        exchange.delete(bundle_key(digest), serving_key(digest))
