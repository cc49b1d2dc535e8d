"""The guarantee of one message.

A message that takes G values multiplies any attacker's chance to guess any secret by at most G (Smith, "On the
foundations of quantitative information flow", FoSSaCS 2009: multiplicative min-capacity of a deterministic
channel). For C equally likely classes the chance to name the class is then at most G/C.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log2

import numpy as np
import numpy.typing as npt

from enfpire.wire.arrays import Doubles, Indices
from enfpire.wire.bundle import Bundle, Cells, Noise, Sign


@dataclass(frozen=True)
class Guarantee:
    """What one message reveals at most, computed from the bundle's own tables.

    `bits` bounds what it tells about any secret: a guess is right at most 2^bits times as often as without it; `bound`
    is the chance to name the class for equally likely classes.
    """

    classes: int
    bits: float
    bound: float


@dataclass(frozen=True)
class CellsGuarantee(Guarantee):
    """Of groups: `bits` is log2 G; `smallest_group` the fewest classes that share a message.

    `claimed_bound` is the chance to name the class under the priors that the operator declares (at best, one class
    for each of the G values): a claim, None where there is none.
    """

    groups: int
    smallest_group: int
    claimed_bound: float | None = None


def guarantee_of(bundle: Bundle) -> Guarantee | None:
    """The guarantee that a client can compute for `bundle`; None where its transform has none."""
    match bundle.transform:
        case Cells() as cells:
            return cells_guarantee(cells.classes.values, None if cells.priors is None else cells.priors.values)
        case Sign(basis=basis):
            return vector_guarantee(bundle.classes, basis.shape[1])
        case Noise() as noise:
            return vector_guarantee(bundle.classes, noise_bits(noise))
        case _:
            return None


def vector_guarantee(classes: int, bits: float) -> Guarantee:
    """Guarantee of a message that reveals at most so many bits; a code of m bits takes 2^m values."""
    return Guarantee(classes=classes, bits=bits, bound=1.0 if bits >= log2(classes) else 2**bits / classes)


def noise_bits(spec: Noise) -> float:
    """2 epsilon log2(e), for any two features are at most 2 apart, and a basis that stretches them reveals more.

    Densities of a message differ by exp(epsilon x distance) at most, and so do posterior and prior of any secret
    (Alvim, Andres, Chatzikokolakis, Degano, Palamidessi, "On the information leakage of differentially-private
    mechanisms", Journal of Computer Security 23(4), 2015).
    """
    return 2 * spec.epsilon * float(np.linalg.norm(spec.basis.values.astype(np.float64), 2)) / log(2)


def cells_guarantee(
    classes_per_group: npt.NDArray[np.uint32], priors: npt.NDArray[np.float32] | None = None
) -> CellsGuarantee:
    """Guarantee of groups with these numbers of classes, shape (G,), under the G largest priors, where declared."""
    groups, classes = len(classes_per_group), int(classes_per_group.sum(dtype=np.int64))
    return CellsGuarantee(
        groups=groups,
        classes=classes,
        bits=log2(groups),
        bound=min(1.0, groups / classes),
        smallest_group=int(classes_per_group.min()),
        claimed_bound=None if priors is None else claimed_bound(groups, priors),
    )


def layered_bound(groups: int, priors: Doubles) -> float:
    """The least that `prior_bound` can be for groups of equal size: classes of similar prior together; priors (C,)."""
    return float(np.sort(priors)[::-1][np.arange(groups) * len(priors) // groups].sum())


def prior_bound(groups: Indices, priors: Doubles) -> float:
    """Sum over groups (C,) of the largest prior (C,) in the group: naming it is right so often."""
    largest = np.zeros(int(groups.max()) + 1)
    np.maximum.at(largest, groups, priors)
    return float(largest.sum())


def claimed_bound(groups: int, priors: Doubles | npt.NDArray[np.float32]) -> float:
    """Sum of the `groups` largest priors (C,): no message of so many values names the class more often."""
    return min(1.0, float(np.sort(priors)[::-1][:groups].sum(dtype=np.float64)))


def efficiency(retention: float, candidates: float, bound: float) -> float:
    """retention / (K x bound): 1 is nature's limit, for a server can always guess one of K candidates."""
    return retention / (candidates * bound)
