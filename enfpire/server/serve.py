"""From the bytes of a request to the bytes of its response: every check, then `answer`.

What goes wrong becomes a code and nothing else. A response goes to a list of the client that the request names,
under the request's random id, and nowhere else; bytes that are no request are dropped.

The size of a reply tells an onlooker of encrypted traffic how many sets it has, never which (`enfpire.wire.reply`). A
refusal is shorter than any reply: its size does tell that it is one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enfpire.errors import Code, UnavailableError, WireError
from enfpire.server.answer import Lookup, ReplyTooLargeError, answer
from enfpire.wire.bundle import Serving
from enfpire.wire.query import SEALED_CAP, Request, unseal, verified
from enfpire.wire.reply import REPLY_CAP, Response, encode_response

logger = logging.getLogger(__name__)

# No client waits that long; a recorded request is of no use to anybody for longer than this.
LONGEST_WAIT_SECONDS = 3600


class Directory(Protocol):
    """What the operator's exchange knows of clients and bundles."""

    def secret(self, client: str) -> bytes | None:
        """Key of a registered client."""
        ...

    def serving(self, digest: bytes) -> Serving | None:
        """Serving record of a bundle that is served."""
        ...


Galleries = Callable[[Serving], Lookup]


@dataclass(frozen=True)
class Answered:
    """A response and the list it goes to."""

    client: str
    request: bytes
    data: bytes


def serve(sealed: bytes, directory: Directory, galleries: Galleries) -> Answered | None:
    """Answer one sealed request; None for bytes that are none."""
    request = _parsed(sealed)
    if request is None:
        return None
    result = _result(request, sealed, directory, galleries)
    if isinstance(result, Code):
        logger.warning("refused a query: %s", result.value)
        result = encode_response(Response(id=request.id, refusal=result.value))
    return Answered(request.client, request.id, result)


def _parsed(sealed: bytes) -> Request | None:
    if len(sealed) > SEALED_CAP:
        logger.warning("dropped a request over the size cap")
        return None
    try:
        return unseal(sealed)
    except WireError as error:
        logger.warning("dropped a request that is not valid: %s", error)
        return None


def _result(request: Request, sealed: bytes, directory: Directory, galleries: Galleries) -> bytes | Code:
    secret = directory.secret(request.client)
    if secret is None:
        return Code.UNKNOWN_CLIENT
    if not verified(sealed, secret):
        return Code.BAD_SIGNATURE
    now = time.time()
    if request.expires < now:
        return Code.EXPIRED
    if request.expires > now + LONGEST_WAIT_SECONDS:
        return Code.BAD_QUERY
    serving = directory.serving(request.query.bundle)
    if serving is None or serving.gallery != request.query.gallery:
        return Code.UNKNOWN_BUNDLE
    return _looked_up(request, serving, galleries)


def _looked_up(request: Request, serving: Serving, galleries: Galleries) -> bytes | Code:
    try:
        reply = answer(request.query, serving, galleries(serving))
    except WireError:
        return Code.BAD_QUERY
    except ReplyTooLargeError:
        return Code.TOO_LARGE
    except UnavailableError as error:
        logger.warning("the gallery cannot be read: %s", error)
        return Code.TRY_AGAIN
    data = encode_response(Response(id=request.id, reply=reply), serving.largest_set)
    return data if len(data) <= REPLY_CAP else Code.TOO_LARGE
