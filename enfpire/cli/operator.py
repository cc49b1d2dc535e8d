"""The operator's commands: enrol, publish, and who may ask.

What needs scipy or pymilvus is imported by the command that uses it: a client's machine has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from enfpire.cli.options import DEFAULT_WORKSPACE, AsJson, ExchangeUrl, Gallery, Workspace
from enfpire.cli.output import bar, check_folder, reporter
from enfpire.curation.workspace import Workspace as OperatorWorkspace
from enfpire.errors import UsageError
from enfpire.exchange.clients import add_client, list_clients, revoke_client
from enfpire.exchange.connection import connect
from enfpire.wire.names import check_name

if TYPE_CHECKING:
    from enfpire.curation.enroll import EnrollReport

clients = typer.Typer(help="Clients that may ask.", no_args_is_help=True)

MilvusUri = Annotated[str, typer.Option("--milvus", envvar="ENFPIRE_SERVER_MILVUS_URI", help="Milvus' URI.")]
MilvusToken = Annotated[str, typer.Option(envvar="ENFPIRE_SERVER_MILVUS_TOKEN", help="user:password, where it asks.")]


def enroll(
    photos: Annotated[Path | None, typer.Argument(metavar="PHOTOS", help="A folder with a folder a class.")] = None,
    gallery: Gallery = "",
    info: Annotated[Path | None, typer.Option(help="FILE.csv or FILE.jsonl: a record a class.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Classes in PHOTOS lose photos that are not there.")
    ] = False,
    remove: Annotated[list[str] | None, typer.Option(metavar="CLASS", help="Remove a class. Repeatable.")] = None,
    network: Annotated[str, typer.Option(help="efficientnet-lite0, or a torchvision model.")] = "efficientnet-lite0",
    weights: Annotated[Path | None, typer.Option(help="Weights file of a torchvision model.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Enrol photos: their features, by content, and what is to be known of each class."""
    from enfpire.client.extractor import load_extractor
    from enfpire.curation.enroll import enroll as enroll_photos
    from enfpire.curation.infos import read_infos

    check_name(gallery, "gallery")
    if photos is None and info is None and not remove:
        raise UsageError("nothing to do: give a folder of PHOTOS, --info FILE, or --remove CLASS")
    infos = {} if info is None else read_infos(info)
    with OperatorWorkspace.open(workspace) as opened:
        for name in remove or []:
            opened.remove_classes(gallery, [name])
        if photos is None:
            _print_unused(opened.set_infos(gallery, infos), as_json)
            return
        with bar() as progress:
            task = progress.add_task("enrolling", total=None)
            report = enroll_photos(
                opened,
                gallery,
                photos,
                load_extractor(network, weights),
                infos,
                lambda done, total: progress.update(task, completed=done, total=total),
                replace=replace,
            )
    _print_enrolled(report, gallery, as_json)


def _print_enrolled(report: EnrollReport, gallery: str, as_json: bool) -> None:
    if as_json:
        Console().print_json(data=asdict(report))
        return
    typer.echo(
        f"{gallery}: {report.classes} classes, {report.photos} photos ({report.added} new, {report.removed} removed); "
        f"next: enfpire fit --gallery {gallery}"
    )
    warnings = [f"not enrolled: {one.file}: {one.reason}" for one in report.broken]
    warnings += [f"no usable photo in class {name}" for name in report.empty]
    warnings += [f"one photo in several classes: {', '.join(names)}" for names in report.shared]
    for line in warnings:
        typer.echo(line, err=True)
    _print_unused(report.unused)


def _print_unused(names: Sequence[str], as_json: bool = False) -> None:
    if as_json:
        Console().print_json(data={"unused": list(names)})
        return
    for name in names:
        typer.echo(f"an info record of no class: {name}", err=True)


def publish(
    gallery: Gallery,
    out: Annotated[Path, typer.Option(help="NAME.enfpire")],
    exchange: ExchangeUrl,
    milvus: MilvusUri,
    milvus_token: MilvusToken = "",
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Write the fitted version into Milvus beside the old one, and its signed bundle."""
    from enfpire.curation.fit import decode_fit
    from enfpire.curation.publish import publish as publish_fit
    from enfpire.server.gallery import connect as connect_milvus

    check_folder(out)
    with OperatorWorkspace.open(workspace) as opened, bar() as progress:
        signed = publish_fit(
            decode_fit(opened.fit(check_name(gallery, "gallery"))),
            connect_milvus(milvus, milvus_token or None),
            connect(exchange),
            opened.operator_key(),
            reporter(progress),
        )
        opened.record_version(gallery, signed.bundle.version, signed.digest)
    draft = out.with_name(out.name + ".part")
    draft.write_bytes(signed.data)
    draft.replace(out)
    if as_json:
        row = {"bundle": str(out), "digest": signed.digest.hex(), "version": signed.bundle.version}
        Console().print_json(data=row | {"operator_key": signed.key.hex()})
        return
    typer.echo(f"published {gallery} {signed.bundle.version}: {out} ({len(signed.data)} bytes)")
    typer.echo(f"operator key, for clients to pin: {signed.key.hex()}")


@clients.command("add")
def add(
    client: Annotated[str, typer.Argument(help="An id for the client.")],
    exchange: ExchangeUrl,
    out: Annotated[Path, typer.Option(help="File for the credential; hand it to the client.")],
) -> None:
    """Register a client and write its credential."""
    if out.exists():
        raise UsageError(f"{str(out)!r} exists; choose another file for the credential")
    check_folder(out)
    credential = add_client(connect(exchange), client)
    out.touch(mode=0o600)
    out.write_text(credential.model_dump_json() + "\n", encoding="utf-8")
    typer.echo(f"registered {client}; its credential is in {out}")


@clients.command("list")
def show_clients(exchange: ExchangeUrl) -> None:
    """List the registered clients."""
    for client in list_clients(connect(exchange)):
        typer.echo(client)


@clients.command()
def revoke(client: Annotated[str, typer.Argument()], exchange: ExchangeUrl) -> None:
    """Forget a client: its queries are refused from now on."""
    if not revoke_client(connect(exchange), client):
        raise UsageError(f"there is no client {client!r}; `enfpire clients list` shows them")
    typer.echo(f"revoked {client}")
