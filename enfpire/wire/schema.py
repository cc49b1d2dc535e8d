"""JSON Schema of everything that travels, for readers and for clients in other languages.

    python -m enfpire.wire.schema docs/schema

The bytes on the wire are msgpack (see `codec`): what a schema calls a string of format "base64url" or "binary" is
msgpack's bin there, and tuples are arrays. Rules between fields are in the models' docstrings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from enfpire.wire.arrays import Frozen
from enfpire.wire.bundle import Bundle, Serving
from enfpire.wire.candidates import CandidateSet
from enfpire.wire.query import Query, Request
from enfpire.wire.reply import Response

MODELS: tuple[type[Frozen], ...] = (Query, Request, Response, CandidateSet, Bundle, Serving)


def schemas() -> dict[str, str]:
    """Text of each file, by its name."""
    return {
        f"{model.__name__.lower()}.json": json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for model in MODELS
    }


def main(folder: str) -> None:
    """Write the files into `folder`, made where it is missing."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
