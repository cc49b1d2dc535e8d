"""`make demo`: a whole service on this machine, real photos, and what each side learns."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from enfpire.client.extractor import PhotoExtractor, load_extractor
from enfpire.client.floor import Floor
from enfpire.client.photos import find_photos
from enfpire.client.recognizer import Recognizer
from enfpire.client.settings import ClientSettings
from enfpire.curation.enroll import enroll
from enfpire.curation.fit import Fit, encode_fit, fit_base, fit_transform
from enfpire.curation.held_out import Recipe
from enfpire.curation.publish import publish
from enfpire.curation.workspace import Workspace
from enfpire.errors import EnfPireError
from enfpire.exchange.clients import Credential, add_client
from enfpire.exchange.connection import connect
from enfpire.server import gallery as galleries
from enfpire.wire.bundle import SignedBundle
from examples.demo.kept import KeptFeatures, extract_once
from examples.demo.measure import Truth, figures, unprotected_names
from examples.demo.policies import POLICIES, Policy, fits
from examples.demo.report import line_of, print_samples, print_table, write_report
from examples.demo.shots import write_shots
from workers.local import LocalService

GALLERY = "demo"
OUT = Path("out/demo")
console = Console()


@dataclass(frozen=True)
class Published:
    """A fit and the bundle that it became."""

    fit: Fit
    signed: SignedBundle
    path: Path


@dataclass(frozen=True)
class Stage:
    """What every row runs on."""

    service: LocalService
    credential: Credential
    kept: KeptFeatures
    photos: list[str]
    truth: Truth


def main(
    photos: Annotated[
        Path | None, typer.Option(help="A folder with gallery/CLASS/*.jpg and query/CLASS/*.jpg.")
    ] = None,
) -> None:
    """Run the main job and print what each side learns."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="enfpire-demo-") as scratch:
        folder = Path(scratch)
        source = photos.expanduser() if photos is not None else _own_photos(folder / "photos")
        with _service(folder / "service") as service, Workspace.open(folder / "workspace") as workspace:
            _run(source, service, workspace)


def _own_photos(folder: Path) -> Path:
    console.print("No PHOTOS given: parts of photographs that installed packages bring, second shots simulated.")
    return write_shots(folder)


@contextmanager
def _service(folder: Path) -> Iterator[LocalService]:
    console.print("Starting exchange, client broker, Milvus Lite, candidate and resolution workers ...")
    service = LocalService(folder, [GALLERY], candidate_workers=1, resolution_workers=1)
    with service:
        yield service
        console.print("Stopping all of them ...")


def _run(source: Path, service: LocalService, workspace: Workspace) -> None:
    extractor = load_extractor()
    _enroll(workspace, source / "gallery", extractor)
    published = _publish_all(workspace, service)
    stage = _stage(workspace, source / "query", service, extractor)
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for policy in POLICIES:
        row, found = _run_policy(policy, published[policy.fit], stage)
        rows.append(row)
        lines += found
    write_report(OUT, rows, lines)
    for policy in POLICIES:
        console.print(f"[bold]{policy.name}[/]: {policy.about}")
    print_table(console, rows)
    print_samples(console, [line for line in lines if line["policy"] == POLICIES[0].name])
    console.print(f"Written: {OUT / 'summary.json'}, {OUT / 'recognitions.jsonl'}")


@contextmanager
def _bar(title: str, total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def _enroll(workspace: Workspace, folder: Path, extractor: PhotoExtractor) -> None:
    with _bar("enrolling", len(find_photos(folder))) as report:
        enroll(workspace, GALLERY, folder, extractor, {}, lambda done, _total: report(done))


def _publish_all(workspace: Workspace, service: LocalService) -> dict[str, Published]:
    """Fit and publish every version; each stands in Milvus beside the others and is served."""
    enrolled = workspace.load(GALLERY)
    milvus, exchange = galleries.connect(service.milvus_uri), connect(service.exchange_url)
    published = {}
    with console.status("fitting whitening, prototypes, and the threshold for unknown"):
        base = fit_base(enrolled, Recipe())
    for name, options in fits(len(enrolled.classes)).items():
        with console.status(f"fitting and publishing {name}"):
            fitted = fit_transform(base, options)
            workspace.save_fit(GALLERY, encode_fit(fitted))
            signed = publish(fitted, milvus, exchange, workspace.operator_key(), lambda *_: None)
        path = OUT / f"{GALLERY}-{name}.enfpire"
        path.write_bytes(signed.data)
        published[name] = Published(fitted, signed, path)
        console.print(f"published {path} ({len(signed.data):,} bytes)", highlight=False)
    return published


def _stage(workspace: Workspace, folder: Path, service: LocalService, extractor: PhotoExtractor) -> Stage:
    photos = [str(path) for path in find_photos(folder.absolute())]
    with _bar("extracting query photos", len(photos)) as report:
        kept = extract_once(extractor, photos, report)
    enrolled = workspace.load(GALLERY)
    numbers = {name: number for number, name in enumerate(enrolled.classes)}
    usable = [photo for photo in photos if photo in kept.raw and Path(photo).parent.name in numbers]
    truth = Truth(
        photos=usable,
        raw=np.stack([kept.raw[photo] for photo in usable]),
        labels=np.array([numbers[Path(photo).parent.name] for photo in usable]),
        gallery_raw=enrolled.raw,
        gallery_labels=enrolled.labels,
    )
    credential = add_client(connect(service.exchange_url), "demo_client")
    return Stage(service, credential, kept, photos, truth)


def _run_policy(policy: Policy, published: Published, stage: Stage) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Submit all query photos under one policy; its summary row, and a line a photo."""
    settings = ClientSettings(
        id=stage.credential.client,
        key=stage.credential.key,
        store=stage.service.client_store,
        broker_url=stage.service.client_broker_url,
    )
    with Recognizer.open(
        published.path,
        exchange=stage.service.exchange_url,
        credential=stage.credential,
        floor=Floor(min_classes_per_group=2, unproved=True),
        memory=policy.memory,
        consent_to_refit=True,  # the same photos under every policy: a comparison, not a use
        extractor=stage.kept,
        settings=settings,
    ) as recognizer:
        start = time.perf_counter()
        job = recognizer.submit(stage.photos, label=f"demo, {policy.name}")
        with _bar(f"recognising: {policy.name}", len(stage.photos)) as report:
            job.wait(report=lambda now: report(now.recognised + now.failed))
        seconds = time.perf_counter() - start
        found = {one.photo: one for one in job.results()}
        moved = recognizer.traffic
    plain = unprotected_names(published.fit, stage.truth)
    row = {"policy": policy.name, "transform": published.signed.bundle.transform.kind, "photos": len(found)}
    row["failed"] = sum(one.error is not None for one in found.values())
    row |= figures(published.fit, published.signed.bundle, stage.truth, found)
    row |= {
        "photos_per_second": len(found) / seconds,
        "extract_per_second": stage.kept.photos_per_second,
        "bytes_up_per_photo": moved.up / len(found),
        "bytes_down_per_photo": moved.down / len(found),
        "bundle_bytes": len(published.signed.data),
        "bundle_digest": published.signed.digest.hex(),
    }
    lines = [line_of(policy.name, one, Path(photo).parent.name, plain.get(photo)) for photo, one in found.items()]
    return row, lines


def run() -> None:
    """Run the demo; an error of ours is one line."""
    try:
        typer.run(main)
    except EnfPireError as error:
        console.print(f"[bold red]demo:[/] {error}", highlight=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
