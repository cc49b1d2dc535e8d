"""Over-asking: which other classes join a group's candidate set.

A photo that is routed to the wrong group is recognised all the same if its class is in that group's set. So a set takes
the classes whose left-out photos went there most often (softly counted), not those that merely look near. All sets
hold as many classes: replies are padded to the largest.
"""

from __future__ import annotations

import numpy as np

from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import Doubles, Indices


def candidate_classes(routed: Doubles, groups: Indices, over_ask: float) -> tuple[Indices, ...]:
    """Ascending class numbers of each group's candidate set: its own, and others up to `over_ask` times a mean group.

    `routed` (C, G) is how probably photos of each class go to each group, `groups` (C,) is each class's own.
    """
    own = rows_by_class(groups, routed.shape[1])
    if over_ask <= 1:
        return tuple(own)
    wanted = round(over_ask * len(groups) / len(own))
    return tuple(_with_others(classes, routed[:, group], wanted - len(classes)) for group, classes in enumerate(own))


def _with_others(own: Indices, chances: Doubles, wanted: int) -> Indices:
    rest = chances.copy()
    rest[own] = 0
    order = np.argsort(-rest, kind="stable")
    # a class that never comes is no use, however much room there is
    others = order[: max(wanted, 0)]
    return np.sort(np.concatenate([own, others[rest[others] > 0]]))
