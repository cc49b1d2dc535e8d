"""Fit of `cells`: groups, the anchors that lead to them, and their candidate sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from enfpire.curation.anchors import Anchors, cell_anchors, class_anchors
from enfpire.curation.confusion import mean_by_class, soft_choice
from enfpire.curation.held_out import Split
from enfpire.curation.over_asking import candidate_classes
from enfpire.wire.arrays import Array, Doubles, Floats, Frozen, Indices


class CellsOptions(Frozen):
    """`cells`: at least `classes_per_group` classes share a message.

    Anchors: `anchors_each` a class, or a cell; a group is one cell, or `cells_per_group` that are far apart.
    `anchor_dimensions` (None for all) and `int8` make the bundle smaller. Candidates are `over_ask` times a mean
    group's own classes. `slack` says how willing a client's memory is, in standard deviations of the
    group scores. `most_kind` bounds the share of classes whose kind a group tells, where kinds are declared.
    """

    kind: Literal["cells"] = "cells"
    classes_per_group: Annotated[int, Field(ge=2)]
    anchors: Literal["class", "cell"] = "class"
    anchors_each: Annotated[int, Field(ge=1, le=64)] = 1
    cells_per_group: Annotated[int, Field(ge=1, le=64)] = 1
    anchor_dimensions: Annotated[int, Field(ge=1, le=4096)] | None = None
    int8: bool = False
    over_ask: Annotated[float, Field(ge=1, le=100)] = 1.0
    slack: Annotated[float, Field(ge=0, le=10)] = 0.4
    most_kind: Annotated[float, Field(gt=0, le=1)] = 1.0


class CellsDraft(Frozen):
    """groups (C,) uint32, each class's; anchors (a, m), routes (a,) uint32 and slack as in the bundle.

    Candidate sets one after the other: `candidates` ascending class numbers, `sizes` (G,) uint32. `priors` (C,)
    float32 where some are declared.
    """

    kind: Literal["cells"] = "cells"
    groups: Array
    anchors: Array
    routes: Array
    candidates: Array
    sizes: Array
    slack: float
    priors: Array | None = None

    @property
    def members(self) -> tuple[Indices, ...]:
        """Ascending class numbers of each group's candidate set."""
        return tuple(np.split(self.candidates.values.astype(np.intp), np.cumsum(self.sizes.values)[:-1]))


@dataclass(frozen=True)
class Routing:
    """How left-out photos are routed: scores (n, G) of those at `rows` of all, and what they say of each class.

    `routed` (C, G) is how probably a photo of the class goes to each group, softly counted.
    """

    scores: Floats = field(repr=False)
    rows: Indices
    routed: Doubles


def make_anchors(features: Floats, labels: Indices, groups: Indices, cells: Indices, options: CellsOptions) -> Anchors:
    """Anchors as a client will read them, for features (n, d), labels (n,), groups and cells (C,)."""
    some = np.ascontiguousarray(features[:, : options.anchor_dimensions])
    if options.anchors == "class":
        made = class_anchors(some, labels, groups, options.anchors_each)
    else:
        made = cell_anchors(some, labels, cells, groups, options.anchors_each)
    return made.as_sent(int8=options.int8)


def held_out_routing(held_out: list[Split], groups: Indices, cells: Indices, options: CellsOptions) -> Routing:
    """Route the photos that each split leaves out, by anchors made of the others."""
    classes, count = len(groups), int(groups.max()) + 1
    parts = [
        make_anchors(split.known, split.known_labels, groups, cells, options).scores(split.asked) for split in held_out
    ]
    labels = np.concatenate([split.asked_labels for split in held_out])
    rows = np.concatenate([split.rows for split in held_out])
    scores = np.concatenate(parts) if parts else np.zeros((0, count), np.float32)
    routed = mean_by_class(soft_choice(scores), labels, classes)
    unseen = np.bincount(labels, minlength=classes) == 0
    routed[unseen] = np.eye(count)[groups[unseen]]
    return Routing(scores, rows, routed)


def draft_cells(
    features: Floats,
    labels: Indices,
    held_out: list[Split],
    groups: tuple[Indices, Indices],
    options: CellsOptions,
    priors: Doubles | None = None,
) -> CellsDraft:
    """The draft of `cells` on features (n, d), labels (n,), given each class's group and cell (C,)."""
    own, cells = groups
    anchors = make_anchors(features, labels, own, cells, options)
    routing = held_out_routing(held_out or [in_sample(features, labels)], own, cells, options)
    sets = candidate_classes(routing.routed, own, options.over_ask)
    return CellsDraft(
        groups=Array.of(own, "u4"),
        # as they are read, so packing them again changes nothing
        anchors=Array.of(anchors.vectors, "i1" if options.int8 else "f2"),
        routes=Array.of(anchors.routes, "u4"),
        candidates=Array.of(np.concatenate(sets), "u4"),
        sizes=Array.of(np.array([len(one) for one in sets]), "u4"),
        slack=options.slack * float(routing.scores.std()),
        priors=None if priors is None else Array.of(priors, "f4"),
    )


def in_sample(features: Floats, labels: Indices) -> Split:
    """All photos as known and as asked: where every class has one photo, none can be left out."""
    return Split(features, labels, features, labels, np.arange(len(labels)))
