"""`enfpire recognize`: a folder of photos in, a file of recognitions out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from enfpire.cli.options import DEFAULT_STORE, AsJson, ExchangeUrl, Store
from enfpire.cli.output import check_output, write_output
from enfpire.client.floor import Floor
from enfpire.client.job import Job
from enfpire.client.photos import find_photos
from enfpire.client.recognizer import Recognizer
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobState
from enfpire.errors import UsageError

Credential = Annotated[
    Path | None,
    typer.Option(help="File from the operator's `enfpire clients add`. Else ENFPIRE_CLIENT_ID and ENFPIRE_CLIENT_KEY."),
]
MaxLeakBits = Annotated[float, typer.Option(help="Refuse a bundle whose messages reveal more.")]
MinClasses = Annotated[int, typer.Option(help="Refuse a bundle with smaller groups.")]
Unproved = Annotated[bool, typer.Option("--accept-unproved", help="Accept transforms without a guarantee.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Accept a bundle that protects nothing; for comparisons.")]
Consent = Annotated[
    bool,
    typer.Option(
        "--consent-to-refit", help="Accept a bundle that moves classes to other groups, and new messages of old photos."
    ),
]
Memory = Annotated[bool, typer.Option("--memory/--no-memory", help="Answer from candidate sets that are held.")]

Weights = Annotated[Path | None, typer.Option(help="Weights file, where the bundle names a torchvision model.")]

FLOOR = Floor()


def recognize(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="A photo, or a folder of them.")],
    bundle: Annotated[Path, typer.Option(help="The gallery's bundle.")],
    exchange: ExchangeUrl,
    out: Annotated[Path, typer.Option(help="FILE.jsonl or FILE.csv")],
    credential: Credential = None,
    store: Store = DEFAULT_STORE,
    operator_key: Annotated[str, typer.Option(help="Pin this key (hex), not the first one seen.")] = "",
    max_leak_bits: MaxLeakBits = FLOOR.max_leak_bits,
    min_classes_per_group: MinClasses = FLOOR.min_classes_per_group,
    unproved: Unproved = False,
    insecure: Insecure = False,
    consent_to_refit: Consent = False,
    memory: Memory = True,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Recognise photos in bulk. A run that was killed goes on where it stopped when started again."""
    check_output(out)
    found = [str(path) for path in find_photos(photos.expanduser().resolve())]
    with Recognizer.open(
        bundle,
        exchange=exchange,
        credential=credential,
        store=store,
        operator_key=parse_key(operator_key),
        floor=Floor(max_leak_bits, min_classes_per_group, unproved, insecure),
        memory=memory,
        consent_to_refit=consent_to_refit,
        settings=client_settings(weights),
    ) as recognizer:
        finish(open_or_resume(recognizer, found, label_of(photos, out, found), out), out, as_json)


def label_of(photos: Path, out: Path, found: list[str]) -> str:
    """What the same command with the same photos is known by: other files, or changed ones, make another job."""
    stats = [Path(name).stat() for name in found]
    seen = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(found, stats, strict=True)]
    return f"{photos.resolve()} -> {out.resolve()} [{hashlib.sha256(repr(seen).encode()).hexdigest()[:12]}]"


def open_or_resume(recognizer: Recognizer, photos: list[str], label: str, out: Path) -> Job:
    """The job of an earlier run with the same photos and output, where that is unfinished; else a new one."""
    console = Console(stderr=True)
    for record in reversed(recognizer.jobs()):
        unwritten = record.state is JobState.DONE and not out.exists()
        if record.label == label and recognizer.knows(record) and (record.state is JobState.OPEN or unwritten):
            console.print(f"going on with job {record.id}", highlight=False)
            return recognizer.resume(record.id)
    return recognizer.submit(photos, label=label)


def client_settings(weights: Path | None) -> ClientSettings:
    """The client's settings from the environment, with this weights file."""
    settings = ClientSettings()
    return settings if weights is None else settings.model_copy(update={"weights": str(weights)})


def finish(job: Job, out: Path, as_json: bool) -> None:
    """Wait for a job with a progress bar, write its output, and sum it up."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("recognising", total=job.progress.total)
        job.wait(report=lambda now: bar.update(task, completed=now.recognised + now.failed))
    progress = job.progress
    if not progress.done:
        raise UsageError("the job was cancelled; submit the photos again")
    write_output(out, job.results(wait=False))
    console = Console()
    if as_json:
        summary = {"job": job.id, "photos": progress.total, "failed": progress.failed, "out": str(out)}
        console.print_json(data=summary)
    else:
        console.print(f"{progress.recognised} of {progress.total} photos recognised, {progress.failed} failed: {out}")


def parse_key(text: str) -> bytes | None:
    """The operator's key from its hexadecimal digits, None for no text; raises `UsageError`."""
    try:
        return bytes.fromhex(text) or None
    except ValueError:
        raise UsageError("the operator's key has 64 hexadecimal digits") from None
