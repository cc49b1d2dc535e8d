"""The final result for one photo."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Recognition(BaseModel):
    """What a photo shows, or why nobody can say.

    `name` is the recognised class, None for "unknown" and for an error. `similarity` is the cosine similarity
    of the best candidate, `margin` its lead over the best candidate of another class. `group` is the message
    that travelled (None for vectors), `candidates` the names of the classes that came back. `error` is one
    line for a photo that could not be recognised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    photo: str
    name: str | None = None
    similarity: float | None = None
    margin: float | None = None
    info: Any = None
    group: int | None = None
    candidates: tuple[str, ...] = ()
    error: str | None = None
