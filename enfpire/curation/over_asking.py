"""Over-asking: which other classes join a group's candidate set.

A photo that is routed to the wrong group is recognised all the same if its class is in that group's set. So a set takes
the classes whose left-out photos went there most often (softly counted), not those that merely look near.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import Indices

Doubles = npt.NDArray[np.float64]


def ranked_pairs(routed: Doubles, groups: Indices) -> tuple[Indices, Indices]:
    """Pairs of a class and a group that is not its own, most rewarding first: classes (m,), groups (m,).

    `routed` (C, G) is how probably photos of each class go to each group, `groups` (C,) is each class's own. A pair
    is rewarded by the photos that it saves, over those that get a larger set.
    """
    load = np.maximum(routed.mean(axis=0), 1e-12)
    rewards = routed / load
    rewards[np.arange(len(groups)), groups] = 0
    classes, others = np.nonzero(rewards)
    order = np.argsort(-rewards[classes, others], kind="stable")
    return classes[order], others[order]


def candidate_classes(routed: Doubles, groups: Indices, mean_candidates: float) -> tuple[Indices, ...]:
    """Ascending class numbers of each group's candidate set: its own, and others up to `mean_candidates` a photo."""
    load = routed.mean(axis=0)
    own = rows_by_class(groups, routed.shape[1])
    base = float((load * [len(classes) for classes in own]).sum())
    classes, others = ranked_pairs(routed, groups)
    taken = base + np.cumsum(load[others]) <= mean_candidates
    return tuple(np.sort(np.concatenate([own[group], classes[taken & (others == group)]])) for group in range(len(own)))
