"""What a client opens before it asks: the bundle, under a pinned key, and its own credential."""

from __future__ import annotations

from pathlib import Path

from enfpire.client.settings import ClientSettings
from enfpire.client.store import PendingStore
from enfpire.errors import BundleError, UsageError
from enfpire.exchange.clients import Credential
from enfpire.wire.bundle import SignedBundle, open_bundle


def read_bundle(bundle: str | Path | bytes) -> bytes:
    """Bytes of a bundle; raises `BundleError` where the file cannot be read."""
    if isinstance(bundle, bytes):
        return bundle
    try:
        return Path(bundle).expanduser().read_bytes()
    except OSError as error:
        raise BundleError(f"the bundle {str(bundle)!r} cannot be read: {error.strerror}") from error


def open_pinned(data: bytes, store: PendingStore, operator_key: bytes | None) -> SignedBundle:
    """Open a bundle under `operator_key`, or else the gallery's pinned key, or else under the one that signed it.

    Raises `SignatureError` for another key.
    """
    signed = open_bundle(data, operator_key)
    pinned = store.pinned(signed.bundle.gallery)
    return signed if operator_key is not None or pinned is None else open_bundle(data, pinned)


def find_credential(credential: Credential | str | Path | None, settings: ClientSettings) -> Credential:
    """The client's credential: as given, from its file, or from the environment."""
    if isinstance(credential, Credential):
        return credential
    try:
        if credential is not None:
            return Credential.model_validate_json(Path(credential).expanduser().read_bytes())
        return Credential(client=settings.id, key=settings.key)
    except (OSError, ValueError):
        raise UsageError(
            "no valid credential: give the file that the operator made with `enfpire clients add`, "
            "or set ENFPIRE_CLIENT_ID and ENFPIRE_CLIENT_KEY"
        ) from None
