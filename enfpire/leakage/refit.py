"""What a refit costs: a new bundle of a gallery puts classes into other groups than an old one did.

A photo that is asked under both tells the intersection of its two groups. Where no class moved, the message that
it sent before is sent again, and tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from enfpire.leakage.messages import message_bits
from enfpire.wire.arrays import Indices
from enfpire.wire.bundle import Bundle, Cells


@dataclass(frozen=True)
class Refit:
    """How a bundle differs from an older one: classes that `moved` to another group, were `added` or `removed`.

    Asking an old photo again reveals at most `bits` more while both of its messages are those of its class's group,
    and at most `most_bits` whatever they are.
    """

    moved: int
    added: int
    removed: int
    bits: float
    most_bits: float


def moved(old: Cells, new: Cells) -> Refit:
    """Compare the groups of two `cells` bundles, by their classes; groups are the same where their numbers are.

    Given the old group, the new one takes as many values as there are new groups over which that old group's classes
    are spread, so that log2 of it bounds the bits (min-capacity of a deterministic channel, Smith, FoSSaCS 2009).
    """
    before, after = _groups_of_common(old, new)
    pairs = np.unique(np.stack([before, after]), axis=1)
    spread = int(np.bincount(pairs[0], minlength=1).max())
    changed = int((before != after).sum())
    return Refit(
        moved=changed,
        added=_classes(new) - len(after),
        removed=_classes(old) - len(before),
        bits=log2(max(1, spread)),
        most_bits=log2(new.groups) if changed else 0.0,
    )


def refit_of(old: Bundle, new: Bundle) -> Refit:
    """Compare two bundles of a gallery.

    Where vectors travel, a photo's message is the same under the same tables only; else it is as if all classes moved.
    """
    if isinstance(old.transform, Cells) and isinstance(new.transform, Cells):
        return moved(old.transform, new.transform)
    if (old.transform, old.whitening, old.extractor) == (new.transform, new.whitening, new.extractor):
        return Refit(0, 0, 0, 0.0, 0.0)
    return unknown(new)


def unknown(new: Bundle) -> Refit:
    """The refit of a bundle that cannot be compared with the older one: as if all classes moved."""
    bits = message_bits(new)
    return Refit(new.classes, 0, 0, bits, bits)


def _groups_of_common(old: Cells, new: Cells) -> tuple[Indices, Indices]:
    """Old and new group of each class that is in both, shape (n,) each."""
    classes, others = np.frombuffer(old.members, ">u8"), np.frombuffer(new.members, ">u8")
    _, here, there = np.intersect1d(classes, others, assume_unique=True, return_indices=True)
    return _owners(old)[here], _owners(new)[there]


def _owners(cells: Cells) -> Indices:
    return np.repeat(np.arange(cells.groups), cells.classes.values)


def _classes(cells: Cells) -> int:
    return int(cells.classes.values.sum(dtype=np.int64))
