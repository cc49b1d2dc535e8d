"""An attacker that learns: a small network that names the class from the vector that was sent.

Two layers, trained on labelled photos' protected features; when to stop is found on a fifth of them, and then all of
them are learned from. One thread and a seed: the same vectors give the same scores on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from enfpire.curation.held_out import folds
from enfpire.curation.one_thread import one_thread
from enfpire.wire.arrays import Doubles, Floats, Indices

if TYPE_CHECKING:
    import torch

HIDDEN = 256
DROPOUT = 0.3
RATE = 2e-3
DECAY = 1e-3
BATCH = 128
LONGEST = 60
PATIENCE = 6
FOLDS = 5


def network_scores(sent: Floats, known: Floats, known_labels: Indices, seed: int = 0) -> Doubles:
    """log p(class | vector) for vectors (n, m), classes equally likely, shape (n, C).

    Learned from labelled photos' protected features known (N, m), labels (N,) below C.
    """
    import torch

    centre, spread = known.mean(axis=0), known.std() + np.float32(1e-12)
    rows, asked = (torch.from_numpy((each - centre) / spread) for each in (known, sent))
    labels = torch.from_numpy(known_labels.astype(np.int64))
    with _repeatable(seed):
        apart = torch.from_numpy(folds(known_labels, FOLDS) == 0)
        epochs = LONGEST
        if apart.any() and not apart.all():
            learner = _Learner(rows[~apart], labels[~apart], int(known_labels.max()) + 1)
            epochs = learner.best_epoch(rows[apart], labels[apart])
        learner = _Learner(rows, labels, int(known_labels.max()) + 1)
        for _ in range(epochs):
            learner.learn()
        scores: Doubles = learner.scores(asked).numpy().astype(np.float64)
    return scores


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Seeded, on one thread; leaves torch as it was."""
    import torch

    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class _Learner:
    """A network, and the labelled vectors (N, m) that it learns from."""

    def __init__(self, rows: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
        from torch import nn, optim

        self._rows, self._labels = rows, labels
        counts = labels.bincount(minlength=classes).clamp(min=1)
        self._loss = nn.CrossEntropyLoss(weight=counts.max() / counts)
        self._network = nn.Sequential(
            nn.Linear(rows.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes)
        )
        self._optimiser = optim.AdamW(self._network.parameters(), RATE, weight_decay=DECAY)

    def learn(self) -> None:
        """One epoch."""
        import torch

        self._network.train()
        for rows in torch.randperm(len(self._rows)).split(BATCH):  # type: ignore[no-untyped-call]
            self._optimiser.zero_grad()
            self._loss(self._network(self._rows[rows]), self._labels[rows]).backward()
            self._optimiser.step()

    def best_epoch(self, rows: torch.Tensor, labels: torch.Tensor) -> int:
        """Learn until the loss on these, which were not learned from, falls no more: after how many epochs it fell."""
        import torch

        best, found = np.inf, 1
        for epoch in range(1, LONGEST + 1):
            self.learn()
            with torch.no_grad():
                loss = float(self._loss(self.scores(rows), labels))
            if loss < best:
                best, found = loss, epoch
            elif epoch - found >= PATIENCE:
                break
        return found

    def scores(self, rows: torch.Tensor) -> torch.Tensor:
        """log p(class | row), shape (n, C)."""
        import torch

        self._network.eval()
        with torch.no_grad():
            return torch.log_softmax(self._network(rows), dim=1)
