"""`enfpire bundle`: what a bundle promises, checked from its own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from enfpire.cli.recognize import FLOOR, Insecure, MaxLeakBits, MinClasses, Unproved, parse_key
from enfpire.client.floor import Floor, check_floor
from enfpire.client.opening import read_bundle
from enfpire.client.refits import refit_message
from enfpire.errors import RefitError, UsageError
from enfpire.leakage.guarantee import CellsGuarantee, guarantee_of
from enfpire.leakage.messages import message_bits
from enfpire.leakage.refit import refit_of
from enfpire.wire.bundle import MEMBER_BYTES, Bundle, Cells, Noise, Projection, Sign, SignedBundle, open_bundle

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
    operator_key: Annotated[str, typer.Option(help="The operator's public key, 64 hexadecimal digits.")] = "",
    against: Annotated[
        Path | None, typer.Option(metavar="OLD_BUNDLE", help="Check that no class moved since this one.")
    ] = None,
    max_leak_bits: MaxLeakBits = FLOOR.max_leak_bits,
    min_classes_per_group: MinClasses = FLOOR.min_classes_per_group,
    unproved: Unproved = False,
    insecure: Insecure = False,
) -> None:
    """Check a bundle as a client does before it asks: signature, tables, guarantee, and that no class moved."""
    signed = open_bundle(read_bundle(bundle), parse_key(operator_key))
    check_floor(signed.bundle, Floor(max_leak_bits, min_classes_per_group, unproved, insecure))
    typer.echo(f"good: {signed.bundle.gallery} {signed.bundle.version}, digest {signed.digest.hex()}")
    pinned = "as it should be" if operator_key else "is it the operator's? check it with --operator-key"
    typer.echo(f"signed by {signed.key.hex()}: {pinned}")
    typer.echo(f"one message reveals {_promise(signed.bundle)}")
    if against is not None:
        typer.echo(_unmoved(open_bundle(read_bundle(against), signed.key), signed))


def _promise(bundle: Bundle) -> str:
    guarantee = guarantee_of(bundle)
    if guarantee is None:
        return f"up to {message_bits(bundle):g} bits: this transform has no proof"
    return (
        f"{guarantee.bits:.2f} bits at most, and names one of {guarantee.classes} equally likely classes with a "
        f"probability of {guarantee.bound:.1%} at most"
    )


def _unmoved(old: SignedBundle, new: SignedBundle) -> str:
    """That no class moved between two bundles of a gallery; raises `RefitError` where one did."""
    if old.bundle.gallery != new.bundle.gallery:
        raise UsageError(f"these are bundles of two galleries, {old.bundle.gallery} and {new.bundle.gallery}")
    refit = refit_of(old.bundle, new.bundle)
    if refit.moved:
        raise RefitError(refit_message(refit))
    changes = f"{refit.added} added, {refit.removed} removed"
    return f"no class moved since {old.bundle.version}: {changes}; old photos send what they sent before"


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
        if isinstance(guarantee, CellsGuarantee) and guarantee.claimed_bound is not None:
            rows["bound_that_the_operator_claims"] = guarantee.claimed_bound
    return rows | _kind_of_tables(signed) | {f"fitted_{name}": value for name, value in bundle.figures.items()}


def _kind_of_tables(signed: SignedBundle) -> dict[str, Any]:
    match signed.bundle.transform:
        case Cells() as cells:
            anchors = cells.anchors.shape[0]
            each = "one a class or more" if anchors >= signed.bundle.classes else f"{anchors / cells.groups:g} a cell"
            return {
                "anchors": f"{anchors} ({each})",
                "anchor_dimensions": cells.anchors.shape[1],
                "anchor_bytes": len(cells.anchors.data),
                "members": len(cells.members) // MEMBER_BYTES,
                "slack": cells.slack,
            }
        case Projection() as projection:
            return {"sent_dimensions": projection.basis.shape[1], "candidates": projection.candidates}
        case Noise() as noise:
            sent = noise.basis.shape[1]
            return {"epsilon": noise.epsilon, "sent_dimensions": sent, "candidates": noise.candidates}
        case Sign() as sign:
            return {"sent_bits": sign.basis.shape[1], "candidates": sign.candidates}
        case identity:
            return {"candidates": identity.candidates}
