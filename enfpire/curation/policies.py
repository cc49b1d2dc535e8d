"""Policies of `cells` that a calibration tries, and what it asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from enfpire.curation.cells import CellsOptions

ROUNDING = 1e-9
OVER_ASKS = (
    *(1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0, 2.2, 2.5, 2.8, 3.2, 3.6, 4.0, 5.0, 6.0, 8.0),
    *(12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 100.0),
)


class Rung(NamedTuple):
    """Anchors of a policy: a cell or a class has `each`, of the first `dimensions` (None for all)."""

    anchors: Literal["cell", "class"]
    each: int
    dimensions: int | None = None
    int8: bool = True


LADDER = (
    Rung("cell", 1, 32),
    Rung("cell", 1, 64),
    Rung("cell", 1),
    Rung("cell", 1, int8=False),
    Rung("cell", 2),
    Rung("cell", 4),
    Rung("cell", 8),
    Rung("class", 1, 32),
    Rung("class", 1, 64),
    Rung("class", 1),
    Rung("class", 2),
    Rung("class", 4),
)
# Fewer groups than the bound allows are tried where they may save bytes: larger sets of better-routed groups.
_FEWER = (0.75, 0.5)
# What groups tell of the kind is measured on few photos: they are made to tell a little less than is allowed.
_KIND_MARGIN = 0.97


@dataclass(frozen=True)
class Targets:
    """What a policy must reach; None where nothing is asked. Accuracies and retention are shares, sizes are bytes.

    `bytes_per_photo` are up and down together, for a client that remembers nothing. `bundle_only_accuracy` is what
    the bundle may recognise by itself.
    """

    max_server_accuracy: float
    min_retention: float
    max_bytes_per_photo: float | None = None
    max_bundle_bytes: float | None = None
    max_kind_accuracy: float | None = None
    max_bundle_only_accuracy: float | None = None

    @property
    def most_kind(self) -> float:
        """How much groups may tell of the kind, for the fit."""
        return 1.0 if self.max_kind_accuracy is None else _KIND_MARGIN * self.max_kind_accuracy

    def figures(self) -> dict[str, float]:
        """The targets that were set, by name."""
        return {name: float(value) for name, value in vars(self).items() if value is not None}


def policies(
    rungs: Sequence[Rung], classes_per_group: int, dimensions: int, most_kind: float
) -> Iterator[CellsOptions]:
    """Policies for groups of this size; features have `dimensions`."""
    for rung in rungs:
        if rung.dimensions is None or rung.dimensions < dimensions:
            yield CellsOptions(
                classes_per_group=classes_per_group,
                anchors=rung.anchors,
                anchors_each=rung.each,
                anchor_dimensions=rung.dimensions,
                int8=rung.int8,
                most_kind=most_kind,
            )


def over_asks(groups: int) -> tuple[float, ...]:
    """Factors of over-asking: from a group's own classes to all of the gallery."""
    return tuple(factor for factor in OVER_ASKS if factor < groups) + (
        (float(groups),) if groups <= OVER_ASKS[-1] else ()
    )


def fewest_classes(classes: int, groups: float) -> int:
    """Classes a group, so that there are at most so many groups, two at least, of at least two classes."""
    sizes = range(2, classes // 2 + 1)
    return next((size for size in sizes if classes // size <= groups), classes // 2)


def larger_groups(classes: int, size: int) -> tuple[int, ...]:
    """Classes a group to try, ascending: `size`, and those that make fewer groups."""
    groups = classes // size
    return tuple(sorted({size, *(fewest_classes(classes, max(2, round(groups * share))) for share in _FEWER)}))
