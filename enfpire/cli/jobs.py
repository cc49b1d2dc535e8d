"""`enfpire jobs` and `enfpire purge`: the client's store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from enfpire.cli.options import DEFAULT_STORE, AsJson, ExchangeUrl, Store
from enfpire.cli.output import check_output
from enfpire.cli.recognize import Credential, Weights, client_settings, finish
from enfpire.client.floor import Floor
from enfpire.client.recognizer import Recognizer
from enfpire.client.store import JobRecord, JobState, PendingStore, open_store
from enfpire.errors import UsageError

app = typer.Typer(help="Jobs in the client's store.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as `enfpire jobs list` shows it.")]


@app.command("list")
def list_jobs(store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List all jobs with their progress."""
    opened = open_store(store)
    rows = [job_row(opened, record) for record in opened.jobs()]
    opened.close()
    console = Console()
    if as_json:
        console.print_json(data=rows)
        return
    table = Table("job", "gallery", "state", "photos", "recognised", "failed", "created", "what")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


def job_row(store: PendingStore, record: JobRecord) -> dict[str, Any]:
    """One job as plain values."""
    progress = store.progress(record.id)
    return {
        "job": record.id,
        "gallery": record.gallery,
        "state": record.state.value,
        "photos": record.total,
        "recognised": progress.recognised,
        "failed": progress.failed,
        "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
        "what": record.label,
    }


@app.command()
def resume(
    job: JobId,
    exchange: ExchangeUrl,
    out: Annotated[Path, typer.Option(help="FILE.jsonl or FILE.csv")],
    credential: Credential = None,
    store: Store = DEFAULT_STORE,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a job that was interrupted, under the bundle that it was submitted with."""
    check_output(out)
    opened = open_store(store)
    record = opened.job(job)
    data = None if record is None else opened.bundle(record.bundle)
    opened.close()
    if data is None:
        raise UsageError(f"there is no job {job!r}; `enfpire jobs list` shows them")
    accepted = Floor(unproved=True, insecure=True, max_leak_bits=32, min_classes_per_group=1)
    with Recognizer.open(
        data,
        exchange=exchange,
        credential=credential,
        store=store,
        floor=accepted,
        settings=client_settings(weights),
    ) as recognizer:
        finish(recognizer.resume(job), out, as_json)


@app.command()
def cancel(job: JobId, store: Store = DEFAULT_STORE) -> None:
    """Cancel a job: its photos on their way are forgotten, its recognitions stay."""
    opened = open_store(store)
    try:
        if opened.job(job) is None:
            raise UsageError(f"there is no job {job!r}; `enfpire jobs list` shows them")
        opened.set_state(job, JobState.CANCELLED)
    finally:
        opened.close()
    typer.echo(f"cancelled {job}")


@app.command()
def forget(job: JobId, store: Store = DEFAULT_STORE) -> None:
    """Delete a job with its photos' names and its recognitions."""
    opened = open_store(store)
    try:
        if opened.job(job) is None:
            raise UsageError(f"there is no job {job!r}; `enfpire jobs list` shows them")
        opened.forget(job)
    finally:
        opened.close()
    typer.echo(f"forgot {job}")


def purge(
    store: Store = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything in the client's store: jobs, recognitions, candidate sets, pinned keys, the ledger.

    Photos that were sent before count as new from then on, and may send a second message.
    """
    if not yes:
        place = "the Redis store" if "://" in store else store  # a URL may hold a password
        typer.confirm(f"Delete all jobs, recognitions, pinned keys and the ledger in {place}?", abort=True)
    opened = open_store(store)
    opened.purge()
    opened.close()
    typer.echo("purged")
