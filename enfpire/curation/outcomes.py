"""Outcomes: what a policy reached on all folds together, and what it misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from enfpire.curation.cells import CellsOptions
from enfpire.curation.policies import ROUNDING, Targets
from enfpire.curation.pricing import set_bytes
from enfpire.curation.trials import Trial
from enfpire.leakage.intervals import balanced_interval, balanced_mean
from enfpire.wire.arrays import Bools, Doubles, Indices
from enfpire.wire.candidates import CandidateSet

# Bytes a photo that differ by no more are the same price: chance moves them as far.
SAME_PRICE = 1.02
_TINY = 1e-12
_FIGURES = (
    *("retention", "retention_low", "retention_high", "unprotected_accuracy", "candidates", "bytes_per_photo"),
    *("server_bound", "server_expected", "server_measured", "bundle_only_accuracy"),
)


class Estimate(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """A policy with its figures; sizes in bytes, `candidates` (K) and bytes are means over photos.

    `server_bound` is the sum of the G largest priors, G/C where none are declared: it holds however photos are routed.
    `server_expected` is the sum over groups of the largest prior in the group: what a server reaches while photos go
    where they belong.
    """

    options: CellsOptions
    groups: int
    unprotected_accuracy: float
    user_accuracy: float
    retention: Estimate
    candidates: float
    bytes_down: float
    bytes_up: int
    bundle_bytes: int
    server_expected: float
    server_bound: float
    server_measured: Estimate
    kind_accuracy: Estimate | None
    bundle_only_accuracy: Estimate

    @property
    def bytes_per_photo(self) -> float:
        """Up and down, for a client that remembers nothing."""
        return self.bytes_down + self.bytes_up

    @property
    def bundle_only_retention(self) -> float:
        """What the bundle recognises by itself, as a share of the unprotected accuracy."""
        return self.bundle_only_accuracy.value / max(self.unprotected_accuracy, _TINY)

    def reached(self, targets: Targets) -> dict[str, float]:
        """What was reached of each target that was set, by the target's name."""
        found = {
            "max_server_accuracy": max(self.server_expected, self.server_measured.value),
            "min_retention": self.retention.value,
            "max_bytes_per_photo": self.bytes_per_photo,
            "max_bundle_bytes": float(self.bundle_bytes),
            "max_kind_accuracy": 1.0 if self.kind_accuracy is None else self.kind_accuracy.value,
            "max_bundle_only_accuracy": self.bundle_only_accuracy.value,
        }
        return {name: found[name] for name in targets.figures()}

    def misses(self, targets: Targets) -> dict[str, float]:
        """Targets that are not met, by name, and by which share of the target; nothing where all are."""
        wanted = targets.figures()
        over = {name: value / wanted[name] - 1 for name, value in self.reached(targets).items()}
        over["min_retention"] *= -1
        return {name: miss for name, miss in over.items() if miss > ROUNDING}

    def missed(self, targets: Targets) -> float:
        """The misses together; 0 where all targets are met."""
        return sum(self.misses(targets).values())

    def figures(self, targets: Targets) -> dict[str, float]:
        """Figures as a bundle carries them."""
        values = (
            *self.retention,
            self.unprotected_accuracy,
            self.candidates,
            self.bytes_per_photo,
            self.server_bound,
            self.server_expected,
            self.server_measured.value,
            self.bundle_only_accuracy.value,
            *([] if self.kind_accuracy is None else [self.kind_accuracy.value]),
            *targets.figures().values(),
        )
        return dict(zip(figure_names(targets, kinds=self.kind_accuracy is not None), values, strict=True))


def figure_names(targets: Targets, *, kinds: bool) -> tuple[str, ...]:
    """Names of the figures that a bundle carries."""
    kind = ("kind_accuracy",) if kinds else ()
    return (*_FIGURES, *kind, *(f"target_{name}" for name in targets.figures()))


@dataclass(frozen=True)
class Costs:
    """What is known of a policy before it is tried; `classes` are the gallery's, a candidate set each."""

    classes: Sequence[CandidateSet]
    bytes_up: int
    bundle_bytes: int
    server_expected: float
    server_bound: float
    groups: int


def outcome_at(
    level: int, options: CellsOptions, trials: Sequence[Trial], costs: Costs, priors: Doubles | None
) -> Outcome:
    """What the policy reached on all trials under over-asking number `level`, which `options` already name."""
    labels = np.concatenate([trial.labels for trial in trials])
    right, unprotected = _right(level, trials), np.concatenate([trial.unprotected for trial in trials])
    sizes = np.concatenate([_of_photos(trial, [len(one) for one in trial.sets[level]]) for trial in trials])
    # replies are padded to the largest set
    down = np.concatenate(
        [np.full(len(trial.labels), max(set_bytes(costs.classes, trial.sets[level]))) for trial in trials]
    )
    kinds = [trial.kind_named for trial in trials if trial.kind_named is not None]
    return Outcome(
        options=options,
        groups=costs.groups,
        unprotected_accuracy=balanced_mean(unprotected, labels, priors),
        user_accuracy=balanced_mean(right, labels, priors),
        retention=retention_of(right, unprotected, labels, priors),
        candidates=balanced_mean(sizes, labels, priors),
        bytes_down=balanced_mean(down, labels, priors),
        bytes_up=costs.bytes_up,
        bundle_bytes=costs.bundle_bytes,
        server_expected=costs.server_expected,
        server_bound=costs.server_bound,
        server_measured=accuracy_of(np.concatenate([trial.named for trial in trials]), labels, priors),
        kind_accuracy=accuracy_of(np.concatenate(kinds), labels, priors) if kinds else None,
        bundle_only_accuracy=accuracy_of(np.concatenate([trial.by_bundle for trial in trials]), labels, priors),
    )


def cheapest_first(tried: Sequence[Outcome], targets: Targets) -> list[Outcome]:
    """Those that meet the targets, the cheapest first, then the others, the nearest first.

    Cheapest is what has the smallest bundle of those that need the fewest bytes a photo, to 2 %.
    """
    met = sorted((one for one in tried if not one.misses(targets)), key=lambda one: one.bytes_per_photo)
    others = sorted((one for one in tried if one.misses(targets)), key=lambda one: one.missed(targets))
    most = met[0].bytes_per_photo * SAME_PRICE if met else 0.0
    same = [one for one in met if one.bytes_per_photo <= most]
    return [*sorted(same, key=lambda one: one.bundle_bytes), *met[len(same) :], *others]


def retention_at(level: int, trials: Sequence[Trial], priors: Doubles | None) -> float:
    """Retention on all trials under over-asking number `level`."""
    labels = np.concatenate([trial.labels for trial in trials])
    without = balanced_mean(np.concatenate([trial.unprotected for trial in trials]), labels, priors)
    return balanced_mean(_right(level, trials), labels, priors) / max(without, _TINY)


def _right(level: int, trials: Sequence[Trial]) -> Bools:
    return np.concatenate([trial.right[level] for trial in trials])


def accuracy_of(right: Bools, labels: Indices, priors: Doubles | None) -> Estimate:
    """Accuracy and its interval."""
    return Estimate(balanced_mean(right, labels, priors), *balanced_interval(right, labels, priors))


def retention_of(right: Bools, unprotected: Bools, labels: Indices, priors: Doubles | None) -> Estimate:
    """User accuracy over unprotected accuracy, measured on the same photos.

    It is 1 - (lost - gained) / unprotected: photos that only the one, or only the other, recognises. The interval of
    the difference is made of theirs (Zou, Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27, 2008), which does not collapse where nothing was lost.
    """
    lost, gained = (
        accuracy_of(one & ~other, labels, priors) for one, other in ((unprotected, right), (right, unprotected))
    )
    whole = max(balanced_mean(unprotected, labels, priors), _TINY)
    value = 1 - (lost.value - gained.value) / whole
    below = sqrt((lost.high - lost.value) ** 2 + (gained.value - gained.low) ** 2) / whole
    above = sqrt((lost.value - lost.low) ** 2 + (gained.high - gained.value) ** 2) / whole
    return Estimate(value, value - below, value + above)


def _of_photos(trial: Trial, of_groups: Sequence[int] | Indices) -> Doubles:
    values: Doubles = np.asarray(of_groups, dtype=np.float64)[trial.messages]
    return values
