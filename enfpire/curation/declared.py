"""What the operator declares about its classes, beside their photos."""

from __future__ import annotations

from dataclasses import dataclass

from enfpire.curation.transitions import Transitions
from enfpire.leakage.channel import Doubles
from enfpire.wire.arrays import Indices


@dataclass(frozen=True, eq=False)
class Declared:
    """Kinds (C,), priors (C,) that sum to 1, and how users walk from class to class; None where nothing is declared."""

    kinds: Indices | None = None
    priors: Doubles | None = None
    transitions: Transitions | None = None


NOTHING = Declared()
