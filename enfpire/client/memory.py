"""The client's memory: photos whose group's candidate set it already holds need no message.

The answer is the one that the server would give, for a set depends on the gallery version alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.client.match import Match, best_matches
from enfpire.client.store import PendingStore
from enfpire.client.transforms.cells import CellsTransform
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Bundle, Cells
from enfpire.wire.candidates import CandidateSet, decode_set


@dataclass(frozen=True)
class Recalled:
    """Rows (m,) of the features that memory answers, their groups (m,), and their matches."""

    rows: Indices
    groups: Indices
    matches: list[Match]


class Memory:
    """Answers from candidate sets in the store, for one `cells` bundle."""

    def __init__(self, store: PendingStore, bundle: Bundle, cells: Cells) -> None:
        self._store = store
        self._unknown_below = bundle.unknown_below
        self._cells = cells
        self._transform = CellsTransform(cells)
        self._opened: dict[int, CandidateSet] = {}

    def recall(self, features: Floats) -> Recalled:
        """Match those of features (n, d) whose group's set is held."""
        groups = self._transform.route(features)
        sets = {group: found for group in np.unique(groups).tolist() if (found := self._held(group)) is not None}
        rows = np.flatnonzero(np.isin(groups, list(sets)))
        if not len(rows):
            return Recalled(rows, groups[rows], [])
        known = sorted(sets)
        places = np.searchsorted(known, groups[rows])
        matches = best_matches(features[rows], [sets[group] for group in known], places, self._unknown_below)
        return Recalled(rows, groups[rows], matches)

    def _held(self, group: int) -> CandidateSet | None:
        if group not in self._opened:
            body = self._store.held_set(self._cells.digest(group))
            if body is None:
                return None
            self._opened[group] = decode_set(body)
        return self._opened[group]
