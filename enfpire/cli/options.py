"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CLASSES = "What is known of classes"
"""Heading in the help."""

Gallery = Annotated[str, typer.Option("--gallery", "-g", help="Name of the gallery.")]
Workspace = Annotated[
    Path, typer.Option(envvar="ENFPIRE_OPERATOR_WORKSPACE", help="The operator's folder: catalogue, fits, key.")
]
ExchangeUrl = Annotated[
    str, typer.Option("--exchange", envvar="ENFPIRE_EXCHANGE_URL", help="Redis URL of the exchange.", show_envvar=True)
]
Store = Annotated[
    str, typer.Option(envvar="ENFPIRE_CLIENT_STORE", help="The client's store: a folder, or its own redis:// URL.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Kinds = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CSV or JSON lines: class, kind.", rich_help_panel=CLASSES)
]
Prior = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="CSV or JSON lines: class, prior (or how often it was seen).", rich_help_panel=CLASSES
    ),
]
Transitions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV or JSON lines: from, to, weight; or class, x, y.", rich_help_panel=CLASSES),
]

DEFAULT_WORKSPACE = Path("enfpire-workspace")
DEFAULT_STORE = "~/.enfpire"
