"""One version of a gallery, as it is published: what memory and Milvus answer from alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from enfpire.errors import GalleryError
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.candidates import MAX_PROTOTYPES
from enfpire.wire.names import check_name

VERSION_PATTERN = r"[0-9a-f]{12}"
# What Milvus takes as the length of a vector.
MIN_DIMENSIONS, MAX_DIMENSIONS = 2, 32_768


@dataclass(frozen=True)
class GalleryVersion:
    """Cards, vectors and members of C classes and p prototypes.

    `cards[c]` is `encode_set` of a candidate set that holds class c alone. `vectors` (p, m) float32 are what is
    searched, `owners` (p,) their class numbers, ascending. `members[g]` are the ascending class numbers of group g's
    candidate set, None where vectors travel and not groups. The same `version` always holds the same content.

    Raises `GalleryError` where these do not fit together, `UsageError` for a name that cannot be one.
    """

    gallery: str
    version: str
    cards: tuple[bytes, ...] = field(repr=False)
    vectors: Floats = field(repr=False)
    owners: Indices = field(repr=False)
    members: tuple[Indices, ...] | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        check_name(self.gallery, "gallery")
        if not re.fullmatch(VERSION_PATTERN, self.version):
            raise GalleryError("a version is named by 12 hexadecimal digits of its digest; publish makes them")
        self._check_vectors()
        self._check_owners()
        for members in self.members or ():
            self._check_members(members)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return len(self.cards)

    @property
    def rows(self) -> Indices:
        """Row number of each prototype, shape (p,): class number x 16 + its place within the class."""
        starts = np.searchsorted(self.owners, np.arange(self.classes))
        rows: Indices = first_row(self.owners) + np.arange(len(self.owners)) - starts[self.owners]
        return rows

    def _check_vectors(self) -> None:
        if self.vectors.ndim != 2 or not MIN_DIMENSIONS <= self.vectors.shape[1] <= MAX_DIMENSIONS:
            raise GalleryError(
                f"the searched vectors have shape {self.vectors.shape}; Milvus takes {MIN_DIMENSIONS} to "
                f"{MAX_DIMENSIONS} dimensions: fit again with as many"
            )
        if not np.isfinite(self.vectors).all() or not self.vectors.any(axis=1).all():
            raise GalleryError("a prototype is zero, NaN or infinite; look at the photos of its class and fit again")

    def _check_owners(self) -> None:
        if self.owners.shape != self.vectors.shape[:1] or (np.diff(self.owners) < 0).any():
            raise GalleryError("every prototype has an owner, and owners ascend; fit again")
        if len(self.owners) and not 0 <= self.owners[0] <= self.owners[-1] < self.classes:
            raise GalleryError("a prototype belongs to a class that is not there; fit again")
        counts = np.bincount(self.owners, minlength=self.classes)
        if not self.classes or counts.min() < 1 or counts.max() > MAX_PROTOTYPES:
            raise GalleryError(f"every class has 1 to {MAX_PROTOTYPES} prototypes; enrol more photos or fit fewer")

    def _check_members(self, members: Indices) -> None:
        if not len(members) or (np.diff(members) <= 0).any() or members[0] < 0 or members[-1] >= self.classes:
            raise GalleryError("a group's members are classes of the gallery, ascending and without repeats; fit again")


def first_row(classes: Indices) -> Indices:
    """Row number of the first prototype of each class, shape unchanged."""
    rows: Indices = np.asarray(classes, dtype=np.intp) * MAX_PROTOTYPES
    return rows


def class_of_row(rows: Indices) -> Indices:
    """Class number of each row, shape unchanged."""
    classes: Indices = np.asarray(rows, dtype=np.intp) // MAX_PROTOTYPES
    return classes
