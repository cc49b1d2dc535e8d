"""Outsiders: photos of no enrolled class. Does the client notice, and what does the message tell the server?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu, rankdata

from enfpire.audit.attackers import Attack, bayes_attack
from enfpire.client.features import whiten
from enfpire.curation.held_out import Recipe, class_similarities
from enfpire.curation.prototypes import fit_prototypes
from enfpire.curation.whitening import fit_whitening
from enfpire.leakage.channel import Doubles
from enfpire.leakage.intervals import wilson
from enfpire.wire.arrays import Floats, Indices

SHUFFLES = 200

OUTSIDER = -1


@dataclass(frozen=True)
class Measured:
    """A share, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class GroupLeak:
    """What the group number says about whether a photo shows an enrolled class.

    `distance` is the total variation distance of the two distributions of groups, `by_chance` its mean where photos
    are called known or outsiders at random; `told` says how often the Bayes attacker is right, both weighing the same
    (prior: one half).
    """

    distance: float
    by_chance: float
    told: Attack


@dataclass(frozen=True, eq=False)
class Gallery:
    """Raw features (n, D) of photos, and their labels (n,) 0 .. C-1."""

    raw: Floats
    labels: Indices


Score = Callable[[Floats, Floats], Floats]
"""Features (n, d), their similarities to the candidates' classes (n, K) -> a score (n,), higher for a known class."""


def best_similarity(_: Floats, similarities: Floats) -> Floats:
    """The score that a client compares with the bundle's threshold."""
    best: Floats = similarities.max(axis=1)
    return best


def auroc(known: Floats, outsiders: Floats) -> Measured:
    """Chance that a known photo's score is higher than an outsider's, ties counting half; scores (n,) and (m,).

    Mann and Whitney's U over n m; give one of each at least. Its variance is DeLong's (Biometrics 44(3), 1988); the
    interval is Wilson's for the number of trials of that variance, the smaller of n and m where nothing varies.
    """
    pairs = len(known) * len(outsiders)
    value = float(mannwhitneyu(known, outsiders).statistic) / pairs
    variance = _variance_of_mean(_placements(known, outsiders)) + _variance_of_mean(_placements(outsiders, known))
    fewest = min(len(known), len(outsiders))
    trials = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else fewest
    low, high = wilson(value * trials, trials)
    return Measured(value, min(low, value), max(high, value))


def _placements(scores: Floats, others: Floats) -> Doubles:
    """Share of the others that each score is above of, ties counting half, shape (n,)."""
    together = rankdata(np.concatenate([scores, others]))[: len(scores)]
    placements: Doubles = (together - rankdata(scores)) / len(others)
    return placements


def _variance_of_mean(values: Doubles) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def accepted(scores: Floats, unknown_below: float) -> Measured:
    """Share of scores (n,) that pass the threshold: for outsiders, the false-accept rate."""
    passed = int((scores >= unknown_below).sum())
    low, high = wilson(passed, len(scores))
    return Measured(passed / len(scores) if len(scores) else 0.0, low, high)


def group_leak(known: Indices, outsiders: Indices, values: int, seed: int = 0) -> GroupLeak:
    """Compare the groups (n,) of known photos and (m,) of outsiders; groups are below `values`."""
    groups = np.concatenate([known, outsiders])
    strange = np.repeat([0, 1], [len(known), len(outsiders)])
    random = np.random.default_rng(seed)
    shuffled = [_distance(groups, random.permutation(strange), values) for _ in range(SHUFFLES)]
    return GroupLeak(
        distance=_distance(groups, strange, values),
        by_chance=float(np.mean(shuffled)),
        told=bayes_attack(groups, strange, values, seed=seed),
    )


def _distance(groups: Indices, strange: Indices, values: int) -> float:
    shares = [np.bincount(groups[strange == side], minlength=values) / (strange == side).sum() for side in (0, 1)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def held_out_auroc(
    gallery: Gallery,
    asked: Gallery,
    outside: Indices,
    recipe: Recipe | None = None,
    score: Score = best_similarity,
) -> Measured:
    """AUROC of "unknown" for photos asked, where the classes `outside` (h,) were left out of the gallery.

    All other classes are candidates.
    """
    chosen = recipe or Recipe()
    numbers = renumbered(int(gallery.labels.max()) + 1, outside)
    enrolled = numbers[gallery.labels] != OUTSIDER
    raw, labels = gallery.raw[enrolled], numbers[gallery.labels[enrolled]]
    whitening = fit_whitening(raw, labels, chosen.dimensions, chosen.regularisation)
    prototypes = fit_prototypes(whiten(raw, whitening), labels, chosen.prototypes)
    features = whiten(asked.raw, whitening)
    scores = score(features, class_similarities(features, prototypes))
    strange = numbers[asked.labels] == OUTSIDER
    return auroc(scores[~strange], scores[strange])


def renumbered(classes: int, outside: Indices) -> Indices:
    """New number of each class (C,) where those `outside` (h,) are left out: theirs is -1."""
    inside = ~np.isin(np.arange(classes), outside)
    return np.where(inside, np.cumsum(inside) - 1, OUTSIDER)


def draw_outside(classes: int, count: int, seed: int) -> Indices:
    """`count` of the classes, at random."""
    return np.random.default_rng(seed).choice(classes, count, replace=False)
