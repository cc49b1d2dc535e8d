"""Photos of no enrolled class: brought by the auditor, or of enrolled classes that a fit leaves out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from enfpire.audit.attackers import prototype_scores
from enfpire.audit.findings import Figure, Outsiders
from enfpire.audit.labelled import Labelled
from enfpire.audit.outsiders import OUTSIDER, accepted, auroc, draw_outside, group_leak, renumbered
from enfpire.audit.subject import Exchanged, Subject, exchange, subject_of
from enfpire.client.features import whiten
from enfpire.client.unknown import known_scores, unknown_of
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Base, Options, fit_base, fit_transform
from enfpire.curation.held_out import Recipe
from enfpire.curation.publish import searched_vectors
from enfpire.wire.arrays import Floats, Indices

DRAWS = 5
SHARE = 0.2
PARTS = 20


def outsiders_of(subject: Subject, strangers: Floats, random: np.random.Generator) -> Outsiders:
    """How photos of no enrolled class, features (m, d), are told from the asked ones."""
    nobody = Labelled(strangers, np.zeros(len(strangers), np.intp))
    inside, outside = exchange(subject, subject.asked, random), exchange(subject, nobody, random)
    unknown = unknown_of(subject.signed.bundle)
    scores = [
        known_scores(photos.vectors, found.similarity, unknown.leading)
        for photos, found in ((subject.asked, inside), (nobody, outside))
    ]
    measured = auroc(*scores)
    return Outsiders(
        auroc=Figure(value=measured.value, low=measured.low, high=measured.high),
        accepted=accepted(scores[1], unknown.below).value,
        told_by_message=_told(subject, inside, outside),
    )


def _told(subject: Subject, inside: Exchanged, outside: Exchanged) -> float:
    """How often the server tells from the message whether a photo shows an enrolled class; 0.5 is guessing.

    From a vector it takes the similarity to the nearest prototype, in twentieths of all photos.
    """
    if subject.cells is None:
        seen, owners = searched_vectors(subject.fit), subject.fit.prototypes.owners
        best = [
            prototype_scores(np.asarray(found.messages, np.float32), seen, owners).max(axis=1)
            for found in (inside, outside)
        ]
        borders = np.quantile(np.concatenate(best), np.arange(1, PARTS) / PARTS)
        known, strange = (np.digitize(scores, borders) for scores in best)
        return group_leak(known, strange, PARTS).accuracy
    known, strange = (np.asarray(found.messages, np.intp) for found in (inside, outside))
    return group_leak(known, strange, subject.serving.groups).accuracy


def left_out_bases(enrolled: Enrolled, count: int, recipe: Recipe, draws: int = DRAWS) -> list[tuple[Indices, Base]]:
    """Fits that leave out `count` classes at random, so many `draws` of them: classes (count,) and the base without."""
    drawn = [draw_outside(len(enrolled.classes), count, seed) for seed in range(draws)]
    return [(outside, fit_base(_without(enrolled, outside), recipe)) for outside in drawn]


def left_out(
    bases: Sequence[tuple[Indices, Base]], options: Options, raw: Floats, labels: Indices, classes: int
) -> Outsiders:
    """Mean over draws of classes left out: photos asked, raw (n, D) with labels (n,) of all `classes`, under `options`.

    The interval is the mean of the draws' own intervals: of one draw of classes.
    """
    found = [
        _left_out(outside, base, options, raw, labels, classes, np.random.default_rng(seed))
        for seed, (outside, base) in enumerate(bases)
    ]
    return Outsiders(
        auroc=Figure(
            value=float(np.mean([one.auroc.value for one in found])),
            low=float(np.mean([one.auroc.low for one in found])),
            high=float(np.mean([one.auroc.high for one in found])),
        ),
        accepted=float(np.mean([one.accepted for one in found])),
        told_by_message=float(np.mean([one.told_by_message for one in found])),
    )


def _left_out(
    outside: Indices,
    base: Base,
    options: Options,
    raw: Floats,
    labels: Indices,
    classes: int,
    random: np.random.Generator,
) -> Outsiders:
    numbers = renumbered(classes, outside)[labels]
    features = whiten(raw, base.whitening)
    inside = numbers != OUTSIDER
    known = Labelled(base.fitted.features, base.fitted.labels)
    subject = subject_of(fit_transform(base, options), known, Labelled(features[inside], numbers[inside]))
    return outsiders_of(subject, features[~inside], random)


def _without(enrolled: Enrolled, outside: Indices) -> Enrolled:
    numbers = renumbered(len(enrolled.classes), outside)
    kept = numbers[enrolled.labels] != OUTSIDER
    inside = np.flatnonzero(numbers != OUTSIDER).tolist()

    def chosen(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[number] for number in inside)

    return replace(
        enrolled,
        raw=enrolled.raw[kept],
        labels=numbers[enrolled.labels[kept]],
        classes=chosen(enrolled.classes),
        infos=chosen(enrolled.infos),
    )
