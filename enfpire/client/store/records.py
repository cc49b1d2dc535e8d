"""What the pending store remembers. Photo names, features and labels stay out of every repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from enfpire.client.protocol import Pending


class JobState(StrEnum):
    """Whether a job still wants answers."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A batch of photos that one user submitted.

    `id` has 16 hexadecimal digits, `bundle` is the digest of the bundle, `created` unix seconds, `total` the
    number of photos; `label` is what the user would recognise the job by.
    """

    id: str
    gallery: str
    bundle: bytes
    created: float
    state: JobState
    total: int
    label: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A photo of a job that no query has asked about yet; `row` is its place in the job."""

    row: int
    photo: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One query's worth of photos, from the moment it is asked until it is resolved.

    `id` has 16 bytes; `rows` and `photos` have a value for each feature of `pending`; `query` is the wire Query
    that was asked, so that asking again repeats the same bytes.
    """

    id: bytes
    job: str
    rows: tuple[int, ...] = field(repr=False)
    photos: tuple[str, ...] = field(repr=False)
    pending: Pending = field(repr=False, compare=False)
    query: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A parcel without a reply: how often it was asked, and when (unix seconds) it is asked again."""

    id: bytes
    job: str
    attempts: int
    due: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Photos of a job: all, recognised ("unknown" counts), failed with an error, and in parcels on their way."""

    total: int
    recognised: int
    failed: int
    outstanding: int

    @property
    def done(self) -> bool:
        """Whether every photo has its recognition or its error."""
        return self.recognised + self.failed == self.total
