"""The frontier: every transform on the same photos, over its dial, each with its strongest attacker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from enfpire.audit.findings import PolicyAudit
from enfpire.audit.labelled import Labelled
from enfpire.audit.policy import Question, audit_policy
from enfpire.audit.subject import subject_of
from enfpire.curation.cells import CellsOptions
from enfpire.curation.declared import Declared
from enfpire.curation.fit import Base, Options, VectorOptions, fit_transform
from enfpire.wire.arrays import Doubles

Progress = Callable[[str], None]

CANDIDATES = 12
DIMENSIONS = (2, 4, 8, 16, 32)
EPSILONS = (5.0, 20.0, 80.0)
NOISE_DIMENSIONS = 16
BITS = (4, 8, 16, 32)
CLASSES_PER_GROUP = (5, 10, 20, 40)
OVER_ASK = 1.6


def frontier(
    base: Base, known: Labelled, asked: Labelled, data: str, progress: Progress, priors: Doubles | None = None
) -> Iterator[PolicyAudit]:
    """Audits of one photo under each policy of `policies`; `progress` is told the name of each before it begins.

    Classes weigh the same, or as declared `priors` (C,) say.
    """
    declared = Declared(priors=priors)
    for name, options in policies(len(base.enrolled.classes), base.fitted.features.shape[1]):
        progress(name)
        subject = subject_of(fit_transform(base, options), known, asked)
        yield audit_policy(subject, Question(name=name, data=data, declared=declared, deep=False))


def policies(classes: int, dimensions: int) -> Iterator[tuple[str, Options]]:
    """What is drawn, for a gallery of so many classes and features of so many dimensions."""
    for per_group in CLASSES_PER_GROUP:
        if 2 * per_group <= classes:
            options = CellsOptions(classes_per_group=per_group)
            yield f"cells, {per_group} classes a group", options
            thin = options.model_copy(update={"anchors": "cell", "over_ask": OVER_ASK})
            yield f"cells, {per_group} classes a group, thin", thin
    candidates = min(CANDIDATES, classes)
    for count in (each for each in DIMENSIONS if each <= dimensions):
        yield (
            f"projection, {count} dimensions",
            VectorOptions(kind="projection", dimensions=count, candidates=candidates),
        )
    for bits in (each for each in BITS if each <= dimensions):
        yield f"sign, {bits} bits", VectorOptions(kind="sign", dimensions=bits, candidates=candidates)
    for epsilon in EPSILONS:
        count = min(NOISE_DIMENSIONS, dimensions)
        noise = VectorOptions(kind="noise", dimensions=count, epsilon=epsilon, candidates=candidates)
        yield f"noise, epsilon {epsilon:g}", noise
    yield "identity", VectorOptions(kind="identity", candidates=candidates)
