"""`enfpire audit`: attack a bundle, and say how far it protects.

What needs scipy, torch or matplotlib is imported when the command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from enfpire.cli.bundles import BundlePath
from enfpire.cli.options import DEFAULT_WORKSPACE, AsJson, Kinds, Prior, Transitions, Workspace
from enfpire.cli.output import bar
from enfpire.client.opening import read_bundle
from enfpire.curation.workspace import Workspace as OperatorWorkspace
from enfpire.errors import UsageError
from enfpire.wire.bundle import SignedBundle, open_bundle

if TYPE_CHECKING:
    from enfpire.audit.labelled_photos import RawPhotos
    from enfpire.curation.entries import Enrolled
    from enfpire.curation.fit import Fit


def audit(
    bundle: BundlePath,
    photos: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS", help="A folder a class, none of them enrolled; other classes count as outsiders."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="For audit.json and audit.html.")],
    kinds: Kinds = None,
    prior: Prior = None,
    transitions: Transitions = None,
    weights: Annotated[Path | None, typer.Option(help="Weights file, where the bundle needs one.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Attack a bundle with photos whose class is known, and write what the server could learn."""
    from enfpire.audit.report import Audited, write_report
    from enfpire.audit.report import audit as attack
    from enfpire.audit.summary import print_summary
    from enfpire.curation.declared import read_declared

    signed = open_bundle(read_bundle(bundle))
    fit, enrolled = _published(signed, workspace)
    declared = read_declared(fit.names, kinds, prior, transitions)
    found = _photos(photos, signed, fit, weights)
    with Console(stderr=True).status("attacking") as status:
        report = attack(
            Audited(signed, fit, enrolled, found, declared), lambda what: status.update(f"attacking: {what}")
        )
    write_report(report, out)
    if as_json:
        typer.echo(report.model_dump_json())
        return
    print_summary(Console(), report)
    typer.echo(f"written: {out / 'audit.json'}, {out / 'audit.html'}")


def _published(signed: SignedBundle, workspace: Path) -> tuple[Fit, Enrolled]:
    """The fit that became this bundle, and what is enrolled."""
    from enfpire.curation.fit import decode_fit

    bundle = signed.bundle
    with OperatorWorkspace.open(workspace) as opened:
        data = opened.fit_of(bundle.gallery, bundle.version)
        if data is None:
            raise UsageError(
                f"the workspace {workspace} did not make version {bundle.version} of {bundle.gallery}: audit it where "
                "it was published, or name that --workspace"
            )
        fit, enrolled = decode_fit(data), opened.load(bundle.gallery)
    if enrolled.classes != fit.names:
        raise UsageError(
            f"the classes of {bundle.gallery} have changed since: fit and publish it again, then audit that"
        )
    return fit, enrolled


def _photos(folder: Path, signed: SignedBundle, fit: Fit, weights: Path | None) -> RawPhotos:
    from enfpire.audit.labelled_photos import read_photos
    from enfpire.client.extractor import for_bundle

    with bar() as progress:
        task = progress.add_task("extracting", total=None)
        return read_photos(
            folder,
            fit.names,
            for_bundle(signed.bundle.extractor, weights),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
