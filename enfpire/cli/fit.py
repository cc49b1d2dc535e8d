"""`enfpire fit`: a policy that the operator chooses itself.

What needs scipy is imported when the command runs: a client's machine has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from enfpire.cli.options import CLASSES, DEFAULT_WORKSPACE, Gallery, Kinds, Prior, Transitions, Workspace
from enfpire.curation.workspace import Workspace as OperatorWorkspace
from enfpire.errors import UsageError
from enfpire.wire.names import check_name

if TYPE_CHECKING:
    from enfpire.curation.fit import Fit, Options, VectorOptions

_GROUPS, _BUNDLE, _VECTORS = "Groups", "Size of the bundle", "Other transforms"

Regroup = Annotated[
    bool,
    typer.Option(
        "--regroup", help="Draw new groups, though some are published: clients must consent.", rich_help_panel=_GROUPS
    ),
]
MaxKindAccuracy = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.001,
        max=1,
        help="Groups tell the kind of at most this share of classes. Needs --kinds.",
        rich_help_panel=CLASSES,
    ),
]


def fit(
    gallery: Gallery,
    classes_per_group: Annotated[
        int, typer.Option(metavar="K", help="Fewest classes that share a message.", rich_help_panel=_GROUPS)
    ] = 0,
    cells_per_group: Annotated[
        int,
        typer.Option(
            metavar="M",
            min=1,
            max=64,
            help="Cells of look-alikes, far apart, that make a group.",
            rich_help_panel=_GROUPS,
        ),
    ] = 1,
    over_ask: Annotated[
        float,
        typer.Option(
            metavar="O",
            min=1,
            max=100,
            help="Candidates a photo, times a group's own classes.",
            rich_help_panel=_GROUPS,
        ),
    ] = 1.0,
    slack: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            max=10,
            help="How readily a client answers from sets that it holds: standard deviations of the group scores.",
            rich_help_panel=_GROUPS,
        ),
    ] = 0.4,
    regroup: Regroup = False,
    anchors_per_cell: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=64, help="Thin bundle: recognises nothing by itself.", rich_help_panel=_BUNDLE
        ),
    ] = 0,
    anchors_per_class: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=64, help="Fat bundle: routes best. [default: 1]", rich_help_panel=_BUNDLE),
    ] = 0,
    anchor_dimensions: Annotated[
        int | None,
        typer.Option(
            metavar="D", min=1, max=4096, help="First coordinates only. [default: all]", rich_help_panel=_BUNDLE
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Anchors as int8: half the size.", rich_help_panel=_BUNDLE)
    ] = False,
    kinds: Kinds = None,
    max_kind_accuracy: MaxKindAccuracy = None,
    prior: Prior = None,
    transitions: Transitions = None,
    transform: Annotated[
        str, typer.Option(help="cells, projection, noise, sign or identity.", rich_help_panel=_VECTORS)
    ] = "cells",
    dimensions: Annotated[
        int,
        typer.Option(
            min=1, max=4096, help="Of what travels: coordinates, or bits of a sign code.", rich_help_panel=_VECTORS
        ),
    ] = 8,
    epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="E", min=1e-6, max=1e6, help="Of the noise: less is more noise.", rich_help_panel=_VECTORS
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=4096, help="That come back for a vector.", rich_help_panel=_VECTORS)
    ] = 12,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Needed for identity, which protects nothing.", rich_help_panel=_VECTORS),
    ] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Fit whitening, prototypes, groups, anchors and the threshold for "unknown".

    Groups that were published stay, and new classes join them.
    """
    from enfpire.curation.cells import CellsOptions
    from enfpire.curation.declared import read_declared
    from enfpire.curation.fit import encode_fit
    from enfpire.curation.fit import fit as fit_gallery

    options: Options
    if transform == "cells":
        _check_cells(classes_per_group, anchors_per_cell, anchors_per_class)
        check_kinds(kinds, max_kind_accuracy)
        if kinds is not None and transitions is not None:
            raise UsageError("groups follow --transitions or keep --max-kind-accuracy, not both: leave one out")
        options = CellsOptions(
            classes_per_group=classes_per_group,
            anchors="cell" if anchors_per_cell else "class",
            anchors_each=anchors_per_cell or anchors_per_class or 1,
            cells_per_group=cells_per_group,
            anchor_dimensions=anchor_dimensions,
            int8=int8,
            over_ask=over_ask,
            slack=slack,
            most_kind=max_kind_accuracy or 1.0,
        )
    else:
        options = _vectors(transform, dimensions, candidates, epsilon, insecure)
    with OperatorWorkspace.open(workspace) as opened, Console(stderr=True).status("fitting"):
        enrolled = opened.load(check_name(gallery, "gallery"))
        declared = read_declared(enrolled.classes, kinds, prior, transitions)
        published = None if regroup else published_fit(opened, gallery)
        fitted = fit_gallery(enrolled, options, declared=declared, published=published)
        opened.save_fit(gallery, encode_fit(fitted))
        moved = describe_groups(opened, published, fitted)
    typer.echo(f"fitted {gallery}: {len(fitted.names)} classes{moved}; next: enfpire publish --gallery {gallery}")


def check_kinds(kinds: Path | None, max_kind_accuracy: float | None) -> None:
    """Raise `UsageError` unless both are given, or neither."""
    if (kinds is None) != (max_kind_accuracy is None):
        raise UsageError("--kinds FILE names the kinds, --max-kind-accuracy X says how much groups may tell: give both")


def published_fit(workspace: OperatorWorkspace, gallery: str) -> Fit | None:
    """The fit of the gallery's newest published version, whose groups stay; None where nothing was published."""
    from enfpire.curation.fit import decode_fit

    data = workspace.published_fit(gallery)
    return None if data is None else decode_fit(data)


def describe_groups(workspace: OperatorWorkspace, kept: Fit | None, fitted: Fit) -> str:
    """What became of the published groups, for the line that says what was fitted."""
    if fitted.transform.kind != "cells" or not workspace.versions(fitted.gallery):
        return ""
    if kept is not None and kept.transform.kind == "cells":
        return ", the published groups kept"
    return (
        ", in new groups. Clients that asked under the published ones must consent (--consent-to-refit), for both "
        "groups together tell more about an old photo"
    )


def _check_cells(per_group: int, per_cell: int, per_class: int) -> None:
    if per_group < 2:
        raise UsageError("say how many classes share a message at least: --classes-per-group K, 2 or more")
    if per_cell and per_class:
        raise UsageError("choose --anchors-per-cell or --anchors-per-class, not both")


def _vectors(transform: str, dimensions: int, candidates: int, epsilon: float | None, insecure: bool) -> VectorOptions:
    from enfpire.curation.fit import VectorOptions

    if (transform == "noise") != (epsilon is not None):
        raise UsageError("--epsilon E says how much noise: give it with --transform noise, and only there")
    match transform:
        case "projection" | "noise" | "sign":
            return VectorOptions(kind=transform, dimensions=dimensions, candidates=candidates, epsilon=epsilon)
        case "identity" if insecure:
            return VectorOptions(kind="identity", candidates=candidates)
        case "identity":
            raise UsageError("identity sends features unprotected: add --insecure, and use it for comparisons only")
        case _:
            raise UsageError(f"there is no transform {transform!r}: choose cells, projection, noise, sign or identity")
