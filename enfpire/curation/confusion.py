"""How photos of the classes are really confused: measured on gallery photos that were left out."""

from __future__ import annotations

import numpy as np

from enfpire.curation.held_out import Split
from enfpire.curation.whitening import class_means
from enfpire.wire.arrays import Doubles, Floats, Indices, normalised

# In units of the scores' own spread: a photo that is nearly torn between two classes or groups counts for both.
SHARPNESS = 3.0
# What the similarity of two classes' means weighs beside the confusions that were seen: few photos show few of them.
SIMILARITY_SHARE = 0.2


def soft_choice(scores: Floats) -> Doubles:
    """Each row of scores (n, m) as probabilities: the softmax of scores over a third of their standard deviation."""
    spread = float(scores.std()) or 1.0
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64) * (SHARPNESS / spread))
    chances: Doubles = raised / raised.sum(axis=1, keepdims=True)
    return chances


def mean_by_class(values: Doubles, labels: Indices, classes: int) -> Doubles:
    """Mean of the values (n, m) of each class's rows, shape (C, m); zeros for a class without a row."""
    sums = np.zeros((classes, values.shape[1]))
    np.add.at(sums, labels, values)
    means: Doubles = sums / np.maximum(np.bincount(labels, minlength=classes), 1)[:, None]
    return means


def class_affinity(means: Floats, held_out: list[Split]) -> Doubles:
    """How much is lost when two classes are in different groups, shape (C, C), symmetric, zero diagonal.

    The chance that a left-out photo of one is taken for the other, either way, and a share of the similarity of
    their unit means (C, d).
    """
    classes = len(means)
    affinity = SIMILARITY_SHARE * (means @ means.T).astype(np.float64)
    for split in held_out:
        known = normalised(class_means(split.known.astype(np.float64), split.known_labels).astype(np.float32))
        taken_for = mean_by_class(soft_choice(split.asked @ known.T), split.asked_labels, classes)
        affinity += (taken_for + taken_for.T) / len(held_out)
    np.fill_diagonal(affinity, 0)
    return affinity
