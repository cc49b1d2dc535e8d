"""What goes into the operator's workspace and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Extractor
from enfpire.wire.candidates import encode_info


@dataclass(frozen=True)
class PhotoEntry:
    """One photo of the class `name`: `content` is the SHA-256 of its bytes, `file` says where it was found.

    `raw` (D,) is what the extractor made of it; None where the workspace has it already.
    """

    name: str
    content: bytes
    file: str
    raw: Floats | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Enrolled:
    """A gallery's photos: raw features (n, D) float32 and labels (n,), numbers of `classes`.

    Classes are in the order of their names, photos in the order of their contents: the same photos make the same
    gallery, however they were enrolled. `infos` has a value a class.
    """

    gallery: str
    raw: Floats = field(repr=False)
    labels: Indices = field(repr=False)
    classes: tuple[str, ...]
    infos: tuple[Any, ...]
    extractor: Extractor

    def encoded_infos(self) -> tuple[bytes, ...]:
        """The info records as they travel."""
        return tuple(encode_info(info) for info in self.infos)


@dataclass(frozen=True)
class Version:
    """A published version of a gallery: its name, the digest of its bundle, and when (unix seconds)."""

    version: str
    bundle: bytes
    published: float
