"""Accuracies as this project counts them: every class weighs the same, unless a prior is declared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from enfpire.leakage.channel import Doubles
from enfpire.wire.arrays import Indices


def balanced_accuracy(right: npt.NDArray[np.bool_], labels: Indices, prior: Doubles | None = None) -> float:
    """Mean over classes of the share of their photos that are right; right (n,), labels (n,), prior (C,)."""
    return balanced_mean(right.astype(np.float64), labels, prior)


def balanced_mean(values: Doubles, labels: Indices, prior: Doubles | None = None) -> float:
    """Mean over classes of the mean of their photos' values; values (n,), labels (n,), prior (C,)."""
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=values)
    present = counts > 0
    weights = None if prior is None else prior[: len(counts)][present]
    return float(np.average(sums[present] / counts[present], weights=weights))
