"""`enfpire calibrate`: the policy is found, and its figures are measured, from targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from enfpire.cli.fit import MaxKindAccuracy, Regroup, check_kinds, describe_groups, published_fit
from enfpire.cli.options import DEFAULT_WORKSPACE, AsJson, Gallery, Kinds, Prior, Transitions, Workspace
from enfpire.cli.output import bar, reporter
from enfpire.curation.workspace import Workspace as OperatorWorkspace
from enfpire.errors import GalleryError
from enfpire.wire.names import check_name

if TYPE_CHECKING:
    from enfpire.curation.calibrate import Calibration
    from enfpire.curation.outcomes import Estimate, Outcome

_TARGETS = "Targets"
# Runners-up that fit beside the others into 80 columns.
_NEXT = 2


def calibrate(
    gallery: Gallery,
    max_server_accuracy: Annotated[
        float,
        typer.Option(
            metavar="X", min=1e-6, max=1, help="How often a message may name the class.", rich_help_panel=_TARGETS
        ),
    ],
    min_retention: Annotated[
        float,
        typer.Option(
            metavar="X", min=0.01, max=1, help="User accuracy over unprotected accuracy.", rich_help_panel=_TARGETS
        ),
    ],
    max_bytes_per_photo: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Up and down, for a client without memory.", rich_help_panel=_TARGETS),
    ] = None,
    max_bundle_bytes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of the whole bundle.", rich_help_panel=_TARGETS)
    ] = None,
    max_bundle_only_accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="X", min=1e-6, max=1, help="What the bundle may recognise by itself.", rich_help_panel=_TARGETS
        ),
    ] = None,
    kinds: Kinds = None,
    max_kind_accuracy: MaxKindAccuracy = None,
    prior: Prior = None,
    transitions: Transitions = None,
    photos_per_client: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many a client asks about, to price a download.")
    ] = 20,
    regroup: Regroup = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Save no fit.")] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest policy that meets all targets, on photos left out of its fit, and fit it.

    Cheapest: fewest bytes a photo, then the smallest bundle. Photos of the gallery are enough; none are kept aside.
    """
    from enfpire.curation.calibrate import calibrate as calibrate_gallery
    from enfpire.curation.declared import read_declared
    from enfpire.curation.fit import encode_fit
    from enfpire.curation.policies import Targets

    check_kinds(kinds, max_kind_accuracy)
    targets = Targets(
        max_server_accuracy,
        min_retention,
        max_bytes_per_photo,
        max_bundle_bytes,
        max_kind_accuracy,
        max_bundle_only_accuracy,
    )
    with OperatorWorkspace.open(workspace) as opened:
        enrolled = opened.load(check_name(gallery, "gallery"))
        declared = read_declared(enrolled.classes, kinds, prior, transitions)
        published = None if regroup else published_fit(opened, gallery)
        with bar() as progress:
            found = calibrate_gallery(enrolled, targets, declared, published=published, progress=reporter(progress))
        moved = describe_groups(opened, published, found.fit) if found.fit else ""
        if found.fit and not dry_run:
            opened.save_fit(gallery, encode_fit(found.fit))
    if as_json:
        Console().print_json(data=describe(found, photos_per_client))
    else:
        _print(found, photos_per_client)
    if not found.fit:
        raise GalleryError(_unmet(found))
    if not as_json:
        done = "nothing was saved (--dry-run)" if dry_run else f"fitted {gallery}{moved}"
        typer.echo(f"{done}; next: enfpire publish --gallery {gallery}" if not dry_run else done)


def describe(found: Calibration, photos: int) -> dict[str, Any]:
    """A calibration as plain values."""
    return {
        "met": found.fit is not None,
        "recommended": found.recommended(photos),
        "targets": found.targets.figures(),
        "misses": found.chosen.misses(found.targets),
        "policy": _plain(found.chosen),
        "others": [_plain(one) for one in found.others],
        "download": {
            "bytes": found.download_bytes,
            "shared_bytes": found.shared_bytes,
            "retention": 1.0,
            "cheaper_after_photos": found.break_even,
        },
        "bundle_only": None if found.bundle_only is None else _plain(found.bundle_only),
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    values = {
        name: dict(zip(("value", "low", "high"), value, strict=True)) if isinstance(value, tuple) else value
        for name, value in vars(outcome).items()
    }
    return values | {"options": outcome.options.model_dump(), "bytes_per_photo": outcome.bytes_per_photo}


def _print(found: Calibration, photos: int) -> None:
    titles = ["chosen" if found.fit else "nearest", *["next"] * len(found.others[:_NEXT]), "download"]
    columns = [*map(_figures, (found.chosen, *found.others[:_NEXT])), _of_download(found)]
    if found.bundle_only is not None:
        titles.append("bundle")
        columns.append(_of_bundle(found.bundle_only))
    table = Table(title="on photos left out of the fit", title_justify="left", box=box.SIMPLE)
    table.add_column(no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right")
    for row in columns[0]:
        if any(column.get(row) for column in columns):
            table.add_row(row, *(column.get(row, "") for column in columns))
    console = Console()
    console.print(table)
    for line in _remarks(found, photos):
        console.print(line, highlight=False)


def _figures(outcome: Outcome) -> dict[str, str]:
    """A column of the table, by the names of its rows."""
    own = outcome.bundle_only_accuracy
    return {
        "anchors": _anchors(outcome),
        "over-asking": f"{outcome.options.over_ask:g}",
        "groups": str(outcome.groups),
        "candidates": f"{outcome.candidates:.1f}",
        "retention": _share(outcome.retention),
        "server bound": f"{outcome.server_bound:.2%}",
        "if all go right": f"{outcome.server_expected:.2%}",
        "measured": _share(outcome.server_measured),
        "kind": "" if outcome.kind_accuracy is None else _share(outcome.kind_accuracy),
        "bytes/photo": f"{outcome.bytes_per_photo:,.0f}",
        "bytes once": f"{outcome.bundle_bytes:,}",
        "alone": _share(own),
    }


def _of_download(found: Calibration) -> dict[str, str]:
    return {"retention": "100.0%", "bytes/photo": "0", "bytes once": f"{found.download_bytes + found.shared_bytes:,}"}


def _of_bundle(outcome: Outcome) -> dict[str, str]:
    figures = _figures(outcome)
    kept = {name: figures[name] for name in ("anchors", "bytes once", "alone")}
    return kept | {"retention": f"{outcome.bundle_only_retention:.1%}", "bytes/photo": "0"}


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1%}\n{100 * estimate.low:.3g}..{100 * estimate.high:.3g}"


def _anchors(outcome: Outcome) -> str:
    options = outcome.options
    first = "" if options.anchor_dimensions is None else f"{options.anchor_dimensions} d, "
    return f"{options.anchors_each} a {options.anchors}\n{first}{'int8' if options.int8 else 'float16'}"


def _remarks(found: Calibration, photos: int) -> list[str]:
    """What is to be said of the figures."""
    best, targets = found.chosen, found.targets
    lines = [f"Recognised: {best.user_accuracy:.1%} of photos, and {best.unprotected_accuracy:.1%} without protection."]
    if found.fit and best.retention.low < targets.min_retention:
        lines.append("The interval of the retention reaches below the target: only more photos can tell.")
    lines.append(
        f"Downloading the gallery tells the server nothing, and needs fewer bytes after {found.break_even} photos of a "
        "client that remembers nothing."
    )
    match found.recommended(photos):
        case "bundle":
            lines.append(
                "Recommended: do not ask, for the policy's own bundle recognises as well as is asked. If it must not, "
                "set --max-bundle-only-accuracy."
            )
        case "download":
            lines.append(f"Recommended for {photos} photos a client: hand out the gallery, unless it must not be.")
        case "cells":
            lines.append(f"Recommended for {photos} photos a client: the chosen policy.")
    return lines


def _unmet(found: Calibration) -> str:
    wanted, reached = found.targets.figures(), found.chosen.reached(found.targets)
    missed = [
        f"{name} {_number(wanted[name])} with {_number(reached[name])}" for name in found.chosen.misses(found.targets)
    ]
    return (
        f"no policy meets all targets; the nearest misses {', '.join(missed)}. Nothing was fitted: ask for less, "
        f"enrol more classes or photos, or hand out the gallery ({found.download_bytes:,} bytes)"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"
