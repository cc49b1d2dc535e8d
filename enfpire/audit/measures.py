"""Accuracies as this project counts them: every class weighs the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from enfpire.wire.arrays import Indices


def balanced_accuracy(right: npt.NDArray[np.bool_], labels: Indices) -> float:
    """Mean over classes of the share of their photos that are right; right (n,), labels (n,)."""
    return balanced_mean(right.astype(np.float64), labels)


def balanced_mean(values: npt.NDArray[np.float64], labels: Indices) -> float:
    """Mean over classes of the mean of their photos' values; values (n,), labels (n,)."""
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=values)
    present = counts > 0
    return float((sums[present] / counts[present]).mean())
