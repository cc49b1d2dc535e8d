"""The guarantee of one message.

A message that takes G values multiplies any attacker's chance to guess any secret by at most G (Smith, "On the
foundations of quantitative information flow", FoSSaCS 2009: multiplicative min-capacity of a deterministic
channel). For C equally likely classes the chance to name the class is then at most G/C.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt

from enfpire.wire.bundle import Bundle, Cells


@dataclass(frozen=True)
class Guarantee:
    """What one message reveals at most, computed from the bundle's own tables.

    `bits` is log2 G; `bound` the chance to name the class for equally likely classes; `smallest_group` the
    fewest classes that share a message.
    """

    groups: int
    classes: int
    bits: float
    bound: float
    smallest_group: int


def guarantee_of(bundle: Bundle) -> Guarantee | None:
    """The guarantee that a client can compute for `bundle`; None where its transform has none."""
    if not isinstance(bundle.transform, Cells):
        return None
    return cells_guarantee(bundle.transform.classes.values)


def cells_guarantee(classes_per_group: npt.NDArray[np.uint32]) -> Guarantee:
    """Guarantee of groups with these numbers of classes, shape (G,)."""
    groups, classes = len(classes_per_group), int(classes_per_group.sum(dtype=np.int64))
    return Guarantee(
        groups=groups,
        classes=classes,
        bits=log2(groups),
        bound=min(1.0, groups / classes),
        smallest_group=int(classes_per_group.min()),
    )


def efficiency(retention: float, candidates: float, bound: float) -> float:
    """retention / (K x bound): 1 is nature's limit, for a server can always guess one of K candidates."""
    return retention / (candidates * bound)
