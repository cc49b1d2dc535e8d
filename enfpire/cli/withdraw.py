"""`enfpire withdraw`: the end of a bundle.

pymilvus is imported where it is used: a client's machine has none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from enfpire.cli.operator import MilvusToken
from enfpire.cli.options import ExchangeUrl
from enfpire.client.opening import read_bundle
from enfpire.errors import UnavailableError, UsageError
from enfpire.exchange.bundles import drop_bundle, fetch_serving
from enfpire.exchange.connection import connect
from enfpire.wire.bundle import Serving, open_bundle, serving_of


def withdraw(
    bundle: Annotated[str, typer.Argument(metavar="DIGEST|BUNDLE", help="Digest of a bundle, or its file.")],
    exchange: ExchangeUrl,
    # never from the environment: it deletes
    milvus: Annotated[str, typer.Option(help="Delete its version from this Milvus, too.")] = "",
    milvus_token: MilvusToken = "",
) -> None:
    """Stop serving a bundle: queries under it are refused within a minute."""
    digest, serving = _named_bundle(bundle)
    with connect(exchange) as connection:
        found = fetch_serving(connection, digest)
        serving = serving or found
        if serving is None or (found is None and not milvus):
            raise UsageError(f"bundle {digest.hex()} is not served by this exchange; check the digest and the exchange")
        drop_bundle(connection, digest)
    typer.echo(f"withdrew {serving.gallery} {serving.version}, bundle {digest.hex()}")
    if milvus:
        _drop_version(serving, milvus, milvus_token, bundle)


def _named_bundle(name: str) -> tuple[bytes, Serving | None]:
    """Digest of a bundle, and its serving record where its file is given."""
    if re.fullmatch("[0-9a-fA-F]{64}", name):
        return bytes.fromhex(name), None
    if not Path(name).exists():
        raise UsageError(f"{name!r} is neither a bundle's file nor a digest of 64 hexadecimal digits")
    signed = open_bundle(read_bundle(Path(name)))
    return signed.digest, serving_of(signed.bundle)


def _drop_version(serving: Serving, milvus: str, token: str, bundle: str) -> None:
    from enfpire.server import gallery as galleries

    gallery, version = serving.gallery, serving.version
    try:
        client = galleries.connect(milvus, token or None)
        if galleries.current_version(client, gallery) == version:
            typer.echo(
                f"kept {gallery} {version} in Milvus: it is the current version; publish another first", err=True
            )
            return
        galleries.drop_version(client, gallery, version)
    except UnavailableError as error:
        again = "the same command" if Path(bundle).exists() else "the command with the bundle's file"
        raise UnavailableError(
            f"the bundle is withdrawn, its version is still in Milvus; {again} drops it: {error}"
        ) from error
    typer.echo(f"dropped {gallery} {version} from Milvus")
