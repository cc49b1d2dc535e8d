"""The operator's signing key: one file that only its owner may read."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from enfpire.errors import StoreError


def open_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`, made on first use (mode 0600).

    Raises `StoreError` for a file that others may read or that holds no Ed25519 key.
    """
    try:
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise StoreError(f"others may read the operator's key {path}: run `chmod 600` on it")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"the operator's key {path} cannot be used; restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError(f"the operator's key {path} is not an Ed25519 key; restore it from a backup")
    return key


def _create(path: Path) -> None:
    """Write a new key beside `path`, then link it: of two processes that do so at once, one key wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with NamedTemporaryFile(dir=path.parent, prefix=path.name) as file:  # made with mode 0600
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
