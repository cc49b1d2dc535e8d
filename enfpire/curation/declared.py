"""What the operator declares about its classes, beside their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enfpire.curation.kinds import number_kinds, read_kinds
from enfpire.curation.priors import read_priors, scale_priors
from enfpire.curation.transitions import Transitions, read_transitions
from enfpire.wire.arrays import Doubles, Indices


@dataclass(frozen=True, eq=False)
class Declared:
    """Kinds (C,), priors (C,) that sum to 1, and how users walk from class to class; None where nothing is declared."""

    kinds: Indices | None = None
    priors: Doubles | None = None
    transitions: Transitions | None = None


NOTHING = Declared()


def read_declared(
    classes: Sequence[str], kinds: Path | None = None, prior: Path | None = None, transitions: Path | None = None
) -> Declared:
    """What the files declare about `classes`; raises `UsageError` as their readers do."""
    return Declared(
        kinds=None if kinds is None else number_kinds(read_kinds(kinds), classes)[0],
        priors=None if prior is None else scale_priors(read_priors(prior), classes),
        transitions=None if transitions is None else read_transitions(transitions, classes),
    )
