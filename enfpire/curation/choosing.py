"""Which classes share a group.

Groups begin as balanced cells of look-alikes, or of far-apart cells, and are improved by swaps on what left-out photos
confuse; declared kinds, priors or transitions shape them. Groups that are kept move nobody: new classes join them.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from enfpire.curation.cells import CellsOptions
from enfpire.curation.clustering import MANY_POINTS, balanced_clusters
from enfpire.curation.confusion import class_affinity
from enfpire.curation.declared import Declared
from enfpire.curation.equitable import equitable_groups
from enfpire.curation.grouping import KindPenalty, Penalty, PriorPenalty, SizePenalty, regroup, total
from enfpire.curation.held_out import Split, best_of_each
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.arrays import Floats, Indices, normalised

Grouping = tuple[Indices, Indices]
"""Group and cell of each class, (C,) and (C,)."""


def choose_groups(means: Floats, held_out: list[Split], options: CellsOptions, declared: Declared) -> Grouping:
    """Groups of equal size for the classes with these unit means (C, d).

    Raises `UsageError` for wishes that cannot shape the same groups.
    """
    _check_wishes(options, declared)
    count = len(means) // options.classes_per_group
    if declared.transitions is not None:
        groups = equitable_groups(declared.transitions, count, similarity=means)
        return groups, groups
    penalties = _penalties(options, declared)
    if options.cells_per_group > 1 and not penalties:
        return far_apart(means, count, options.cells_per_group)
    starts = [balanced_clusters(means, count), *_dealt(means, count, declared)]
    if len(means) > MANY_POINTS and not penalties:
        return starts[0], starts[0]
    affinity = class_affinity(means, held_out)
    found = [regroup(start, affinity, penalties) for start in starts]
    best = max(found, key=lambda groups: total(groups, affinity, penalties))
    return best, best


def far_apart(means: Floats, count: int, cells_per_group: int) -> Grouping:
    """`count` groups, each of several cells of look-alikes that are as unlike each other as can be."""
    cells = balanced_clusters(means, count * cells_per_group)
    centres = np.zeros((count * cells_per_group, means.shape[1]), np.float32)
    np.add.at(centres, cells, means)
    centres = normalised(centres)
    unlike = -(centres @ centres.T).astype(np.float64)
    np.fill_diagonal(unlike, 0)
    # cells differ by one class in size: dealt in the order of their sizes, and swapped for equals, so do groups
    sizes = np.bincount(cells)
    dealt = np.empty(len(centres), np.intp)
    dealt[np.argsort(-sizes, kind="stable")] = np.arange(len(centres)) % count
    groups = regroup(dealt, unlike, (SizePenalty(sizes),))[cells]
    return groups, cells


def keep_groups(means: Floats, kept: Indices) -> Grouping:
    """Groups where classes with `kept` (C,) from 0 stay, and those with -1 join the most similar class with room.

    `means` (C, d) are unit means. A group has room for as many classes as equal groups would have. Raises
    `GalleryError` where a kept group has no class left.
    """
    sizes = np.bincount(kept[kept >= 0])
    if (sizes == 0).any():
        raise GalleryError("a published group has lost all of its classes: enrol one of them again, or use --regroup")
    groups = kept.copy()
    newcomers = np.flatnonzero(kept < 0)
    if len(newcomers):
        room = np.maximum(-(-len(kept) // len(sizes)) - sizes, 0)
        slots = np.repeat(np.arange(len(sizes)), room)
        similar = means[newcomers] @ means[kept >= 0].T
        order = np.argsort(kept[kept >= 0], kind="stable")
        nearest = best_of_each(similar[:, order], kept[kept >= 0][order])
        _, taken = linear_sum_assignment(-nearest[:, slots])
        groups[newcomers] = slots[taken]
    return groups, groups


def _check_wishes(options: CellsOptions, declared: Declared) -> None:
    wishes = {
        "transitions": declared.transitions is not None,
        "a largest kind accuracy": declared.kinds is not None and options.most_kind < 1,
        "priors": declared.priors is not None,
        "cells per group": options.cells_per_group > 1,
    }
    wished = [name for name, wish in wishes.items() if wish]
    # kinds and priors are penalties of one search; the others are searches of their own
    if len(wished) > 1 and wished != ["a largest kind accuracy", "priors"]:
        raise UsageError(f"groups cannot follow {' and '.join(wished)} at once: choose one")


def _penalties(options: CellsOptions, declared: Declared) -> tuple[Penalty, ...]:
    found: list[Penalty] = []
    if declared.kinds is not None and options.most_kind < 1:
        found.append(KindPenalty(declared.kinds, options.most_kind))
    if declared.priors is not None:
        found.append(PriorPenalty(declared.priors, weight=10.0 * len(declared.priors)))
    return tuple(found)


def _dealt(means: Floats, count: int, declared: Declared) -> list[Indices]:
    """Starts that a search from look-alikes would not reach: kinds dealt out evenly, priors in layers."""
    starts = []
    ranks = np.empty(len(means), np.intp)
    if declared.kinds is not None:
        ranks[np.argsort(declared.kinds, kind="stable")] = np.arange(len(means))
        starts.append(ranks % count)
    if declared.priors is not None:
        ranks[np.argsort(-declared.priors, kind="stable")] = np.arange(len(means))
        starts.append(ranks * count // len(means))
    return starts
