"""How scores order photos."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from enfpire.wire.arrays import Doubles, Floats


def placements(scores: Floats | Doubles, others: Floats | Doubles) -> Doubles:
    """Share of the others (m,) that each score (n,) is above of, ties counting half, shape (n,).

    Their mean is the area under the ROC curve (Mann, Whitney, Annals of Mathematical Statistics 18, 1947).
    """
    together = rankdata(np.concatenate([scores, others]))[: len(scores)]
    shares: Doubles = (together - rankdata(scores)) / len(others)
    return shares
