"""`enfpire`: entry point, and what turns an error into a clear line and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from enfpire import __version__
from enfpire.cli import bundles, jobs, operator, recognize, withdraw
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
app.command(rich_help_panel="Operator")(operator.fit)
app.command(rich_help_panel="Operator")(operator.publish)
app.command(rich_help_panel="Operator")(withdraw.withdraw)
app.add_typer(operator.clients, name="clients", rich_help_panel="Operator")
app.command(rich_help_panel="Client")(recognize.recognize)
app.add_typer(jobs.app, name="jobs", rich_help_panel="Client")
app.command(rich_help_panel="Client")(jobs.purge)
app.add_typer(bundles.app, name="bundle", rich_help_panel="Both")


@app.command(rich_help_panel="Both")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run() -> None:
    """Run the command line; an error of ours is one line on stderr and its exit code."""
    try:
        app()
    except EnfPireError as error:
        _refuse(error)
    except ValidationError as error:
        unusable = settings_error(error)
        if unusable is None:
            raise
        _refuse(unusable)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what typer makes of Ctrl-C
            Console(stderr=True).print("stopped; what was done is kept, and the same command goes on with it")
        raise


def _refuse(error: EnfPireError) -> NoReturn:
    # escaped: a file's name may look like markup
    Console(stderr=True).print(f"[bold red]enfpire:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
