"""Registered clients: the operator keeps a key for each, under which the client seals its queries."""

from __future__ import annotations

import secrets
from typing import cast

import redis
from pydantic import BaseModel, ConfigDict, Field

from enfpire.errors import UsageError
from enfpire.exchange.connection import reachable
from enfpire.wire.names import NAME_PATTERN, check_name, client_key

KEY_BYTES = 32


class Credential(BaseModel):
    """What a client needs besides the exchange's URL: its id, and its key in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: str = Field(pattern=NAME_PATTERN)
    key: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)

    @property
    def secret(self) -> bytes:
        """The key, 32 bytes."""
        return bytes.fromhex(self.key)


def add_client(exchange: redis.Redis, client: str) -> Credential:
    """Register a client with a new key; raises `UsageError` where the id is taken."""
    check_name(client, "client")
    credential = Credential(client=client, key=secrets.token_hex(KEY_BYTES))
    with reachable("exchange"):
        if not exchange.hsetnx(client_key(client), "key", credential.key):
            raise UsageError(f"client {client!r} exists; revoke it first, or choose another id")
    return credential


def client_secret(exchange: redis.Redis, client: str) -> bytes | None:
    """A registered client's key, 32 bytes; None for an unknown or revoked client."""
    with reachable("exchange"):
        found = cast("bytes | None", exchange.hget(client_key(client), "key"))
    return None if found is None else bytes.fromhex(found.decode())


def list_clients(exchange: redis.Redis) -> list[str]:
    """Ids of all registered clients, sorted."""
    pattern = client_key("*")
    start = pattern.index("*")
    with reachable("exchange"):
        return sorted(key.decode()[start:-1] for key in exchange.scan_iter(match=pattern, count=1000))


def revoke_client(exchange: redis.Redis, client: str) -> bool:
    """Forget a client: its queries are refused from now on. False where it was not registered."""
    with reachable("exchange"):
        return bool(exchange.delete(client_key(check_name(client, "client"))))
