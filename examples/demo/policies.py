"""The rows of the demo: which transform, with or without the client's memory."""

from __future__ import annotations

from dataclasses import dataclass

from enfpire.curation.cells import CellsOptions
from enfpire.curation.fit import Options, VectorOptions

GROUPS = 7
OVER_ASK = 1.75


@dataclass(frozen=True)
class Policy:
    """One row: `fit` names the bundle that it uses."""

    name: str
    fit: str
    memory: bool
    about: str


POLICIES = (
    Policy("cells", "class", memory=False, about="a group number travels; one anchor a class in the bundle"),
    Policy("cells+memory", "class", memory=True, about="the same, and sets that are held are not asked again"),
    Policy("projection", "projection", memory=False, about="the paper's shape: a short vector travels"),
    Policy("cells-thin", "cell", memory=False, about="one anchor a cell: the bundle recognises nothing by itself"),
)


def fits(classes: int) -> dict[str, Options]:
    """The fits that the policies need, for a gallery of so many classes."""
    per_group = max(2, classes // GROUPS)
    return {
        "class": CellsOptions(classes_per_group=per_group, anchors="class"),
        "projection": VectorOptions(kind="projection", dimensions=8, candidates=min(per_group + 1, classes)),
        "cell": CellsOptions(classes_per_group=per_group, anchors="cell", over_ask=OVER_ASK),
    }
