"""`enfpire bundle`: what a bundle promises, checked from its own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from enfpire.client.opening import read_bundle
from enfpire.errors import UsageError
from enfpire.leakage.guarantee import CellsGuarantee, guarantee_of
from enfpire.wire.bundle import Cells, Noise, Projection, Sign, SignedBundle, open_bundle

app = typer.Typer(help="Look at a bundle: what it promises, and who signed it.", no_args_is_help=True)

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The file that the operator published.")]


@app.command()
def show(
    bundle: BundlePath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what a bundle promises, in one screen."""
    rows = describe(open_bundle(read_bundle(bundle)))
    console = Console()
    if as_json:
        console.print_json(data=rows)
        return
    table = Table(title=str(bundle), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value))
    console.print(table)


@app.command()
def verify(
    bundle: BundlePath,
    operator_key: Annotated[str, typer.Option(help="The operator's public key, 64 hexadecimal digits.")],
) -> None:
    """Check that a bundle is whole and signed by the operator's key."""
    try:
        key = bytes.fromhex(operator_key)
    except ValueError:
        raise UsageError("the operator's key has 64 hexadecimal digits") from None
    signed = open_bundle(read_bundle(bundle), key)
    typer.echo(f"good: {signed.bundle.gallery} {signed.bundle.version}, digest {signed.digest.hex()}")


def describe(signed: SignedBundle) -> dict[str, Any]:
    """What a bundle promises, as plain values."""
    bundle = signed.bundle
    guarantee = guarantee_of(bundle)
    rows: dict[str, Any] = {
        "gallery": bundle.gallery,
        "version": bundle.version,
        "digest": signed.digest.hex(),
        "operator_key": signed.key.hex(),
        "bytes": len(signed.data),
        "extractor": bundle.extractor.name,
        "dimensions": bundle.dimensions,
        "classes": bundle.classes,
        "transform": bundle.transform.kind,
    }
    if guarantee is None:
        rows["guarantee"] = "none: this transform has no proof"
    else:
        if isinstance(guarantee, CellsGuarantee):
            rows |= {"groups": guarantee.groups, "classes_per_group": guarantee.smallest_group}
        rows |= {"bits_per_message": guarantee.bits, "bound": guarantee.bound}
    return rows | _kind_of_tables(signed) | {f"fitted_{name}": value for name, value in bundle.figures.items()}


def _kind_of_tables(signed: SignedBundle) -> dict[str, Any]:
    match signed.bundle.transform:
        case Cells() as cells:
            anchors = cells.anchors.shape[0]
            each = "one a class or more" if anchors >= signed.bundle.classes else f"{anchors / cells.groups:g} a cell"
            return {"anchors": f"{anchors} ({each})"}
        case Projection() as projection:
            return {"sent_dimensions": projection.basis.shape[1], "candidates": projection.candidates}
        case Noise() as noise:
            sent = noise.basis.shape[1]
            return {"epsilon": noise.epsilon, "sent_dimensions": sent, "candidates": noise.candidates}
        case Sign() as sign:
            return {"sent_bits": sign.basis.shape[1], "candidates": sign.candidates}
        case identity:
            return {"candidates": identity.candidates}
