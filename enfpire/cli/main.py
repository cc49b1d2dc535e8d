"""`enfpire`: entry point, and what turns an error into a clear line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from enfpire import __version__
from enfpire.cli import audit, bundles, calibrate, fit, jobs, ledger, operator, recognize, withdraw
from enfpire.environment import settings_error
from enfpire.errors import EnfPireError

INTERRUPTED = 130

app = typer.Typer(
    name="enfpire",
    help="Private photo recognition: the server returns candidates, only you learn which one your photo shows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command(rich_help_panel="Operator")(operator.enroll)
app.command(rich_help_panel="Operator")(calibrate.calibrate)
app.command(rich_help_panel="Operator")(fit.fit)
app.command(rich_help_panel="Operator")(operator.publish)
app.command(rich_help_panel="Operator")(audit.audit)
app.command(rich_help_panel="Operator")(withdraw.withdraw)
app.add_typer(operator.clients, name="clients", rich_help_panel="Operator")
app.command(rich_help_panel="Client")(recognize.recognize)
app.add_typer(jobs.app, name="jobs", rich_help_panel="Client")
app.command(rich_help_panel="Client")(ledger.ledger)
app.command(rich_help_panel="Client")(jobs.purge)
app.add_typer(bundles.app, name="bundle", rich_help_panel="Both")


@app.command(rich_help_panel="Both")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Run the command line; an error of ours is one line on stderr and its exit code, Ctrl-C is 130."""
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: _interrupt(interrupted))
    try:
        app()
    except BaseException as error:
        # an interrupt may surface as any error, of whatever it interrupted
        if interrupted.is_set():
            _stop()
        if isinstance(error, EnfPireError):
            _refuse(error)
        unusable = settings_error(error) if isinstance(error, ValidationError) else None
        if unusable is not None:
            _refuse(unusable)
        raise


def _interrupt(noted: threading.Event) -> NoReturn:
    noted.set()
    raise KeyboardInterrupt


def _stop() -> NoReturn:
    Console(stderr=True).print("stopped; what was done is kept, and the same command goes on with it")
    sys.stdout.flush()
    # not `sys.exit`, which waits for threads that still decode or compute; the store is whole at any moment
    os._exit(INTERRUPTED)


def _refuse(error: EnfPireError) -> NoReturn:
    # escaped: a file's name may look like markup
    Console(stderr=True).print(f"[bold red]enfpire:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
