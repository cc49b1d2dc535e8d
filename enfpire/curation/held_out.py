"""Gallery photos as if they were a client's: fitted on the others, tried on those left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from enfpire.client.features import whiten
from enfpire.curation.prototypes import Prototypes, fit_prototypes
from enfpire.curation.whitening import fit_whitening
from enfpire.wire.arrays import Floats, Indices

FOLDS = 3
FEWEST = 50
REJECTED = 0.002


@dataclass(frozen=True)
class Recipe:
    """How features and prototypes are fitted."""

    dimensions: int = 256
    regularisation: float = 0.1
    prototypes: int = 4


def folds(labels: Indices, count: int = FOLDS) -> Indices:
    """Fold of each photo (n,): every class is dealt out in turn; -1 for the only photo of a class."""
    place = np.empty(len(labels), dtype=np.intp)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.arange(len(rows)) + label) % count if len(rows) > 1 else -1
    return place


def class_similarities(features: Floats, prototypes: Prototypes) -> Floats:
    """Cosine similarity of features (n, d) to the nearest prototype of every class, shape (n, C)."""
    starts = np.flatnonzero(np.diff(prototypes.owners, prepend=-1))
    best: Floats = np.maximum.reduceat(features @ prototypes.features.T, starts, axis=1)
    return best


def held_out(
    raw: Floats, labels: Indices, recipe: Recipe, score: Callable[[Floats, Prototypes, Indices], None]
) -> None:
    """Call `score(features, prototypes, labels)` for each fold, with what was fitted without that fold."""
    place = folds(labels)
    for fold in range(FOLDS):
        test = place == fold
        rest = ~test
        if not test.any() or len(np.unique(labels[rest])) <= labels.max():
            continue
        whitening = fit_whitening(raw[rest], labels[rest], recipe.dimensions, recipe.regularisation)
        prototypes = fit_prototypes(whiten(raw[rest], whitening), labels[rest], recipe.prototypes)
        score(whiten(raw[test], whitening), prototypes, labels[test])


def fit_threshold(raw: Floats, labels: Indices, recipe: Recipe) -> float:
    """Similarity below which a photo shows no class of the gallery.

    The threshold rejects 0.2 % of the held-out photos that are recognised rightly; -1 (never) where there are
    too few photos to say.
    """
    right: list[Floats] = []

    def score(features: Floats, prototypes: Prototypes, truth: Indices) -> None:
        similarities = class_similarities(features, prototypes)
        best = similarities.max(axis=1)
        right.append(best[similarities.argmax(axis=1) == truth])

    held_out(raw, labels, recipe, score)
    if sum(map(len, right)) < FEWEST:
        return -1.0
    return float(np.quantile(np.concatenate(right), REJECTED))
