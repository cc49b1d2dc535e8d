"""Every task, queue and key name, in one place.

Keys on the exchange (all under `KEY_PREFIX`; written before any code that touches them):

    candidates.<gallery>:             list    Celery queue, single photos; clients push, candidate workers read
    candidates.<gallery>.bulk:        list    Celery queue, batches
    reply:<client>:<query>:           list    one reply, TTL; written by workers, read by that client alone
    client:<client>:                  hash    the client's key and state; written by the operator
    bundle:<digest>                   string  a signed bundle; written by the operator, public
    serving:<digest>                  string  what a worker must know to serve that bundle; operator's own

Every name that holds a variable part ends in a terminator or has a fixed length: a rule for the client `c1`
can never match a key of `c10`.
"""

from __future__ import annotations

import re

from enfpire.errors import UsageError

KEY_PREFIX = "enf:"

CANDIDATES_TASK = "enfpire.candidates"
RESOLVE_TASK = "enfpire.resolve"

RESOLVE_QUEUE = "resolve:"

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"


def check_name(name: str, what: str) -> str:
    """Return `name`, or raise `UsageError` when it cannot name a gallery or a client."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} cannot name a {what}: use 1 to 40 lower-case letters, digits and underscores, "
            "beginning with a letter"
        )
    return name


def candidates_queue(gallery: str, *, bulk: bool) -> str:
    """Queue of the query tasks for `gallery`; batches have one of their own, so that a photo overtakes them."""
    return f"candidates.{gallery}.bulk:" if bulk else f"candidates.{gallery}:"


def reply_key(client: str, request: bytes) -> str:
    """List that carries the one reply to one request."""
    return f"{KEY_PREFIX}reply:{client}:{request.hex()}:"


def client_key(client: str) -> str:
    """Hash with what the exchange knows of a client."""
    return f"{KEY_PREFIX}client:{client}:"


def bundle_key(digest: bytes) -> str:
    """String that holds the signed bundle with this digest."""
    return f"{KEY_PREFIX}bundle:{digest.hex()}"


def serving_key(digest: bytes) -> str:
    """String that holds the serving record of the bundle with this digest."""
    return f"{KEY_PREFIX}serving:{digest.hex()}"


def collection_name(gallery: str, version: str) -> str:
    """Milvus collection of one version of a gallery."""
    return f"enf_{gallery}_{version}"


def sets_collection_name(gallery: str, version: str) -> str:
    """Milvus collection that says which classes each group's candidate set holds."""
    return f"enf_{gallery}_{version}_sets"


def alias_name(gallery: str) -> str:
    """Milvus alias that always names the gallery's current version."""
    return f"enf_{gallery}"
