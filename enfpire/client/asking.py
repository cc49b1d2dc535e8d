"""From features to parcels in the store: protected, and due to be asked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from enfpire.client.content import feature_contents
from enfpire.client.messages import messages_of
from enfpire.client.protocol import Pending, protect
from enfpire.client.recognition import Recognition
from enfpire.client.refits import Earlier, Repeats
from enfpire.client.store import Parcel, PendingStore, Sent
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Cells, SignedBundle
from enfpire.wire.codec import encode
from enfpire.wire.query import Query

NOT_FINITE = "its feature holds NaN or infinity; check the extractor, or the photo"


@dataclass(frozen=True)
class Batch:
    """Photos of one job that are about to be asked: a row, a name and a content each, and features (n, d)."""

    job: str
    rows: Sequence[int] = field(repr=False)
    photos: Sequence[str] = field(repr=False)
    contents: Sequence[bytes] = field(repr=False)
    features: Floats = field(repr=False)

    def at(self, places: Iterable[int]) -> Batch:
        """Those at these places."""
        chosen = list(places)
        rows, photos = [self.rows[p] for p in chosen], [self.photos[p] for p in chosen]
        return Batch(self.job, rows, photos, [self.contents[p] for p in chosen], self.features[chosen])


class Asker:
    """Puts features into the store as parcels; sends nothing itself.

    One that `remembers` prefers groups whose candidate sets are held, or asked for already.
    """

    def __init__(self, store: PendingStore, signed: SignedBundle, *, remembers: bool = False) -> None:
        self._store = store
        self._signed = signed
        self._earlier = Earlier(store, signed)
        self._held = held_groups(store, signed) if remembers else None

    def ask(
        self,
        job: str,
        rows: Sequence[int],
        photos: Sequence[str],
        features: Floats,
        contents: Sequence[bytes] | None = None,
    ) -> None:
        """Take over photos with these rows, names, features (n, d) and contents; without these, a feature is its own.

        A feature with NaN or infinity becomes its photo's error, and so does one that may not send another message;
        the others go on.
        """
        batch = Batch(job, rows, photos, feature_contents(features) if contents is None else contents, features)
        finite = np.isfinite(features).all(axis=1)
        self._refuse(batch.at(np.flatnonzero(~finite).tolist()), NOT_FINITE)
        batch = batch.at(np.flatnonzero(finite).tolist())
        while batch.rows:
            repeats = self._earlier.repeats(batch.contents)
            refused = [content in repeats.refused for content in batch.contents]
            self._refuse(batch.at(np.flatnonzero(refused).tolist()), self._earlier.refusal)
            batch = batch.at(np.flatnonzero(~np.array(refused)).tolist())
            if not batch.rows or self._put(batch, repeats):
                return

    def _refuse(self, batch: Batch, error: str) -> None:
        broken = [
            Recognition(row=row, photo=photo, error=error) for row, photo in zip(batch.rows, batch.photos, strict=True)
        ]
        if broken:
            self._store.commit(batch.job, broken, None)

    def _put(self, batch: Batch, repeats: Repeats) -> bool:
        """Put a batch into the store; False where somebody else has sent one of its photos in the meantime."""
        pending, query, sent = protect_once(batch, self._signed, repeats, self._held)
        if self._held is not None and pending.groups is not None:
            self._held.update(pending.groups.tolist())
        parcel = Parcel(os.urandom(16), batch.job, tuple(batch.rows), tuple(batch.photos), pending, encode(query, b"q"))
        return self._store.put(parcel, due=time.time(), sent=sent)


def held_groups(store: PendingStore, signed: SignedBundle) -> set[int]:
    """The groups of a `cells` bundle whose candidate sets the store holds for its gallery."""
    cells = signed.bundle.transform
    if not isinstance(cells, Cells):
        return set()
    held = store.held_digests(signed.bundle.gallery)
    return {group for group in range(cells.groups) if cells.digest(group) in held}


def protect_once(
    batch: Batch, signed: SignedBundle, repeats: Repeats, held: set[int] | None
) -> tuple[Pending, Query, list[Sent]]:
    """Protect each content once, however many photos have it; those that sent a message before may send it again."""
    distinct = {content: place for place, content in reversed(list(enumerate(batch.contents)))}
    numbers = {content: number for number, content in enumerate(distinct)}
    before = repeats.messages
    again = {number: before[content] for content, number in numbers.items() if content in before}
    pending, query = protect(batch.features[list(distinct.values())], signed, sent=again, held=held)
    others = [repeats.others.get(content, 0) for content in distinct]
    sent = list(map(Sent, distinct, messages_of(query.protected, pending.rows), others))
    owners = [numbers[content] for content in batch.contents]
    groups = None if pending.groups is None else pending.groups[owners]
    return replace(pending, features=batch.features, rows=pending.rows[owners], groups=groups), query, sent
