"""The pending store: what the client must not lose between asking and resolving.

It holds jobs, the names of their photos, features and queries that are on their way, replies, recognitions,
candidate sets that the client keeps, bundles, the operators' pinned keys, and the ledger of what was sent. A photo's
row is *waiting*, then in a *parcel* (one query), then *recognised*; its feature exists in the parcel only and is
deleted with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from enfpire.client.recognition import Recognition
from enfpire.client.store.ledger import Entry, Ledger, Question, Sent
from enfpire.client.store.records import JobRecord, JobState, Outstanding, Parcel, Progress, Waiting

__all__ = [
    "Entry",
    "JobRecord",
    "JobState",
    "Ledger",
    "Outstanding",
    "Parcel",
    "PendingStore",
    "Progress",
    "Question",
    "Sent",
    "Waiting",
    "open_store",
]


class PendingStore(Protocol):
    """One store for any number of threads and processes; each call is one transaction.

    Every method raises `StoreError` when the store cannot be read or written, and where it is given a job that
    the store does not know. `job` and `parcel` are ids (16 hexadecimal digits, 16 bytes) unless their type is a
    record; times are unix seconds, digests 32 bytes.
    """

    @property
    def ledger(self) -> Ledger:
        """What was sent so far; it outlives the jobs."""
        ...

    def open_job(self, job: JobRecord, photos: Iterable[str]) -> None:
        """Remember a job and the names of its photos, all of them waiting; a known id changes nothing.

        Raises `UsageError` for a name that is not UTF-8, or when there are not `job.total` photos.
        """
        ...

    def jobs(self) -> list[JobRecord]:
        """Every job, oldest first."""
        ...

    def job(self, job: str) -> JobRecord | None:
        """One job, None if unknown."""
        ...

    def set_state(self, job: str, state: JobState) -> None:
        """Change a job's state; any but OPEN deletes its parcels, whose unresolved rows wait again."""
        ...

    def waiting(self, job: str, limit: int) -> list[Waiting]:
        """Photos that are neither in a parcel nor recognised, by ascending row."""
        ...

    def put(self, parcel: Parcel, due: float, sent: Sequence[Sent] = ()) -> bool:
        """Keep a parcel that is about to be asked (0 attempts so far), and what its photos send; they wait no longer.

        False, and nothing is kept, where one of the photos sends another message under the job's bundle already, or
        has sent more under other bundles than was known. A parcel that is already there changes nothing; one of a job
        that is not OPEN is dropped.
        """
        ...

    def open_parcels(self, job: str | None = None, limit: int | None = None) -> list[Outstanding]:
        """Parcels without a reply, of one job or of all, soonest due first; `limit` None for all of them."""
        ...

    def outstanding(self, job: str | None = None) -> int:
        """How many parcels are not resolved yet, with or without a reply."""
        ...

    def postpone(self, parcel: bytes, due: float, attempts: int) -> None:
        """Say when a parcel without a reply is asked again, and how often it was asked."""
        ...

    def keep_reply(self, parcel: bytes, data: bytes) -> bool:
        """Keep the bytes of a reply; False if the parcel is unknown or has one already."""
        ...

    def answered(self, limit: int, job: str | None = None) -> list[bytes]:
        """Ids of parcels with a reply, of one job or of all, in the order of the replies."""
        ...

    def query(self, parcel: bytes) -> bytes | None:
        """The wire Query of a parcel, without reading its features; None where `load` is None."""
        ...

    def load(self, parcel: bytes) -> tuple[Parcel, bytes | None] | None:
        """A parcel and its reply, None if the parcel is unknown or resolved."""
        ...

    def drop_reply(self, parcel: bytes, due: float, attempts: int) -> None:
        """Delete a reply that was no use, so that the parcel is asked again at `due`."""
        ...

    def commit(self, job: str, recognitions: Sequence[Recognition], parcel: bytes | None) -> int:
        """Store recognitions and delete their parcel, in one transaction; the number newly stored.

        A row has one recognition, ever: the first. Rows of the parcel without one wait again.
        """
        ...

    def recognitions(self, job: str, after: int, limit: int) -> list[tuple[int, Recognition]]:
        """Recognitions of a job with a sequence number above `after` (from 1, in the order of commits)."""
        ...

    def progress(self, job: str) -> Progress:
        """How far a job is; costs the same for any number of photos."""
        ...

    def hold_sets(self, gallery: str, sets: Sequence[tuple[bytes, bytes]], cap_bytes: int) -> None:
        """Keep candidate sets (digest, body) of a gallery, each younger than the one before it.

        Those held longest are dropped while all of that gallery together are over `cap_bytes`; one that is larger is
        not kept. A gallery learns nothing of the sets of another one, even where both have the same.
        """
        ...

    def hold_set(self, gallery: str, digest: bytes, body: bytes, cap_bytes: int) -> None:
        """Keep one candidate set, as `hold_sets` does."""
        ...

    def held_set(self, gallery: str, digest: bytes) -> bytes | None:
        """A candidate set that is held for a gallery."""
        ...

    def held_digests(self, gallery: str) -> frozenset[bytes]:
        """Digests of all candidate sets that are held for a gallery."""
        ...

    def keep_bundle(self, digest: bytes, data: bytes) -> None:
        """Keep the bytes of a signed bundle."""
        ...

    def bundle(self, digest: bytes) -> bytes | None:
        """The bytes of a bundle that was kept."""
        ...

    def pin(self, gallery: str, key: bytes) -> None:
        """Remember the operator's public key for a gallery, in place of an earlier one."""
        ...

    def pinned(self, gallery: str) -> bytes | None:
        """The operator's key that was pinned for a gallery."""
        ...

    def forget(self, job: str) -> None:
        """Delete a job with its photos' names, features, replies and recognitions; an unknown one is no error.

        The ledger stays: what was sent was sent.
        """
        ...

    def purge(self) -> None:
        """Delete everything: jobs, photos' names, features, recognitions, sets, bundles, pins and the ledger."""
        ...

    def close(self) -> None:
        """Give back files and connections."""
        ...


def open_store(where: str) -> PendingStore:
    """Open the store at a `redis://` or `rediss://` URL, in a `.sqlite` file, or in a directory.

    Creates file and directory. Raises `StoreError` when that fails. Open it in the process that uses it:
    it does not survive a fork.
    """
    if where.startswith(("redis://", "rediss://")):
        from enfpire.client.store.redis import RedisStore

        return RedisStore(where)
    from enfpire.client.store.sqlite import SqliteStore

    path = Path(where).expanduser()
    return SqliteStore(path if path.suffix == ".sqlite" else path / "pending.sqlite")
