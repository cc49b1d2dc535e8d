"""From features to parcels in the store: protected, and due to be asked."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from enfpire.client.protocol import protect
from enfpire.client.recognition import Recognition
from enfpire.client.store import Parcel, PendingStore
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import SignedBundle
from enfpire.wire.codec import encode

NOT_FINITE = "its feature holds NaN or infinity; check the extractor, or the photo"


class Asker:
    """Puts features into the store as parcels; sends nothing itself."""

    def __init__(self, store: PendingStore, signed: SignedBundle) -> None:
        self._store = store
        self._signed = signed

    def ask(self, job: str, rows: Sequence[int], photos: Sequence[str], features: Floats) -> None:
        """Take over photos with these rows, names and features (n, d).

        A feature with NaN or infinity becomes its photo's error; the others go on.
        """
        finite = np.isfinite(features).all(axis=1)
        self._refuse(job, rows, photos, np.flatnonzero(~finite))
        places = np.flatnonzero(finite).tolist()
        if places:
            self._put(job, [rows[p] for p in places], [photos[p] for p in places], features[places])

    def _refuse(self, job: str, rows: Sequence[int], photos: Sequence[str], places: Indices) -> None:
        broken = [Recognition(row=rows[p], photo=photos[p], error=NOT_FINITE) for p in places.tolist()]
        if broken:
            self._store.commit(job, broken, None)

    def _put(self, job: str, rows: Sequence[int], photos: Sequence[str], features: Floats) -> None:
        pending, query = protect(features, self._signed)
        parcel = Parcel(os.urandom(16), job, tuple(rows), tuple(photos), pending, encode(query, b"q"))
        self._store.put(parcel, due=time.time())
