"""The connection to Milvus, and its errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import grpc
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from enfpire.errors import UnavailableError, UsageError

# A read that meets a dead Milvus takes the sum of these two (pymilvus connects anew within it); a worker's task is
# killed after 20 s.
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
WRITE_SECONDS = 120.0

CHANNEL = {
    # By default an idle connection is pinged every 10 seconds. Milvus Lite takes that for an attack after half a
    # minute ("Too many pings") and hangs up, which pymilvus sometimes reports as a server that is gone.
    "grpc.keepalive_permit_without_calls": 0,
    # By default a server that was away is tried less and less often, every two minutes at last.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 500,
}

# It writes a traceback for every error that it also raises, before our own message.
for noisy in ("pymilvus.decorators", "pymilvus.client.connection_manager"):
    logging.getLogger(noisy).setLevel(logging.CRITICAL)


def connect(uri: str, token: str | None = None, timeout: float = CONNECT_SECONDS) -> MilvusClient:
    """Connect to the Milvus at `uri` (`http://HOST:PORT`); `token` is `user:password` or an API key.

    Make one in each process, after forking. Raises `UsageError` for a URI of another kind, `UnavailableError` when
    nobody answers within `timeout` seconds, or the token is refused.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the address of Milvus reads http://HOST:PORT (https where it has TLS); correct the setting")
    shown = f"{parts.scheme}://{parts.hostname}:{parts.port or 19530}"
    with reaching_milvus(f"no Milvus answers at {shown}; check that it runs there, and the token if it needs one"):
        return MilvusClient(uri=uri, token=token or "", timeout=timeout, grpc_options=CHANNEL)


@contextmanager
def reaching_milvus(message: str) -> Iterator[None]:
    """Turn what Milvus and the network raise into an `UnavailableError` with this message and Milvus' code."""
    try:
        yield
    except MilvusException as error:
        raise UnavailableError(f"{message} (Milvus code {error.code})") from error
    except (grpc.RpcError, ConnectionError, TimeoutError) as error:
        raise UnavailableError(message) from error
