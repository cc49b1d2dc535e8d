"""Gallery photos as if they were a client's: fitted on the others, tried on those left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enfpire.client.features import whiten
from enfpire.client.unknown import known_scores, leading_coordinates
from enfpire.curation.prototypes import Prototypes, fit_prototypes
from enfpire.curation.whitening import fit_whitening
from enfpire.wire.arrays import Floats, Indices

FOLDS = 3
FEWEST = 50


@dataclass(frozen=True)
class Recipe:
    """How features and prototypes are fitted, and what share of rightly recognised photos may become "unknown"."""

    dimensions: int = 256
    regularisation: float = 0.1
    prototypes: int = 4
    rejected: float = 0.002


@dataclass(frozen=True)
class Split:
    """Photos known to a fit, and photos left out of it, at `rows` of all: features (n, d), labels (n,)."""

    known: Floats = field(repr=False)
    known_labels: Indices = field(repr=False)
    asked: Floats = field(repr=False)
    asked_labels: Indices = field(repr=False)
    rows: Indices = field(repr=False)


def folds(labels: Indices, count: int = FOLDS) -> Indices:
    """Fold of each photo (n,): every class is dealt out in turn; -1 for the only photo of a class."""
    place = np.empty(len(labels), dtype=np.intp)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.arange(len(rows)) + label) % count if len(rows) > 1 else -1
    return place


def splits(raw: Floats, labels: Indices, recipe: Recipe) -> list[Split]:
    """A split for each fold of raw features (n, D), whitened by what is known; none where every class has one photo."""
    place = folds(labels)
    return [
        _split(raw, labels, place == fold, recipe)
        for fold in range(FOLDS)
        if (place == fold).any() and len(np.unique(labels[place != fold])) == labels.max() + 1
    ]


def _split(raw: Floats, labels: Indices, asked: Indices, recipe: Recipe) -> Split:
    rest = ~asked
    whitening = fit_whitening(raw[rest], labels[rest], recipe.dimensions, recipe.regularisation)
    return Split(
        known=whiten(raw[rest], whitening),
        known_labels=labels[rest],
        asked=whiten(raw[asked], whitening),
        asked_labels=labels[asked],
        rows=np.flatnonzero(asked),
    )


def class_similarities(features: Floats, prototypes: Prototypes) -> Floats:
    """Cosine similarity of features (n, d) to the nearest prototype of every class, shape (n, C)."""
    return best_of_each(features @ prototypes.features.T, prototypes.owners)


def best_of_each(scores: Floats, owners: Indices) -> Floats:
    """Highest score of each owner's columns: scores (n, p), ascending owners (p,) 0 .. C-1; shape (n, C)."""
    best: Floats = np.maximum.reduceat(scores, np.flatnonzero(np.diff(owners, prepend=-1)), axis=1)
    return best


def fit_threshold(held_out: list[Split], recipe: Recipe) -> float:
    """The score (`enfpire.client.unknown`) below which a photo shows no class of the gallery.

    It rejects a share `recipe.rejected` of the held-out photos that are recognised rightly; -1 (never) where there are
    too few photos to say.
    """
    right: list[Floats] = []
    for split in held_out:
        prototypes = fit_prototypes(split.known, split.known_labels, recipe.prototypes)
        similarities = class_similarities(split.asked, prototypes)
        leading = leading_coordinates(similarities.shape[1])
        scores = known_scores(split.asked, similarities.max(axis=1), leading)
        right.append(scores[similarities.argmax(axis=1) == split.asked_labels])
    if sum(map(len, right)) < FEWEST:
        return -1.0
    return float(np.quantile(np.concatenate(right), recipe.rejected))
