"""Photo sets with their raw features: those of the development photos, and synthetic ones."""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from broker.process import CHECKOUT
from enfpire.client.extractor import load_extractor
from enfpire.client.photos import find_photos
from enfpire.curation.entries import Enrolled
from enfpire.wire.arrays import Floats, Indices, normalised
from enfpire.wire.bundle import Extractor

PHOTOS = CHECKOUT.parent / "shared/data"


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Raw features (n, D) and labels (n,) of gallery and query photos; class names, and the queries' file names."""

    name: str
    names: tuple[str, ...]
    gallery: Floats = field(repr=False)
    gallery_labels: Indices = field(repr=False)
    query: Floats = field(repr=False)
    query_labels: Indices = field(repr=False)
    files: tuple[str, ...] = ()

    def enrolled(self) -> Enrolled:
        """The gallery as an operator's workspace gives it to a fit."""
        extractor = Extractor(name=self.name, weights=bytes(32), dimensions=self.gallery.shape[1])
        nothing = (None,) * len(self.names)
        return Enrolled("photos", self.gallery, self.gallery_labels, self.names, nothing, extractor)


def development_set(name: str) -> PhotoSet | None:
    """`grocery81` or `tower120`; None, with the reason on stderr, where the folder is absent (an error under CI)."""
    folder = PHOTOS / name
    if not folder.is_dir():
        reason = f"skipped: the development photos are not beside the checkout (../shared/data/{name})"
        if os.environ.get("CI") == "true":
            raise FileNotFoundError(reason)
        print(reason, file=sys.stderr)
        return None
    names = tuple(sorted(path.name for path in (folder / "gallery").iterdir() if path.is_dir()))
    gallery, gallery_labels, _ = _extracted(folder / "gallery", names)
    query, query_labels, files = _extracted(folder / "query", names)
    return PhotoSet(name, names, gallery, gallery_labels, query, query_labels, files)


def _extracted(folder: Path, names: tuple[str, ...]) -> tuple[Floats, Indices, tuple[str, ...]]:
    numbers = {name: number for number, name in enumerate(names)}
    paths = [path for path in find_photos(folder) if path.parent.name in numbers]
    raw = np.concatenate([batch.raw for batch in load_extractor().stream(paths)])
    labels = np.array([numbers[path.parent.name] for path in paths], dtype=np.intp)
    return raw, labels, tuple(path.name for path in paths)


def synthetic_set(
    classes: int, dimensions: int, spread: float, each: int = 4, asked: int = 4, seed: int = 0
) -> PhotoSet:
    """S(C, D, w): mu_c = 0.9 s_j(c) + 0.6 e_c, with s_j, e_c ~ N(0, I) and j(c) uniform over C/50 values.

    A photo is normalise(mu_c + 0.75 w e), e ~ N(0, I); `each` gallery photos and `asked` query photos a class.
    """
    random = np.random.default_rng(seed)
    families = max(classes // 50, 1)
    shared = random.standard_normal((families, dimensions))[random.integers(families, size=classes)]
    centres = 0.9 * shared + 0.6 * random.standard_normal((classes, dimensions))
    owners, queries = np.repeat(np.arange(classes), each), np.repeat(np.arange(classes), asked)

    def shots(labels: Indices) -> Floats:
        noise = random.standard_normal((len(labels), dimensions))
        return normalised((centres[labels] + 0.75 * spread * noise).astype(np.float32))

    names = tuple(f"class {number:06}" for number in range(classes))
    return PhotoSet(f"S({classes}, {dimensions}, {spread:g})", names, shots(owners), owners, shots(queries), queries)


def grocery_kinds(names: tuple[str, ...]) -> Indices:
    """Dairy, juice, fruit or vegetables: the kind of each class (C,)."""
    with (Path(__file__).parent / "grocery_kinds.csv").open(encoding="utf-8") as file:
        kinds = {row["class"]: row["kind"] for row in csv.DictReader(file)}
    found: Indices = np.unique([kinds[name] for name in names], return_inverse=True)[1].astype(np.intp)
    return found
