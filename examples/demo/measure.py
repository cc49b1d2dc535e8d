"""The figures of a row, from the recognitions and from what the server saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from enfpire.audit.attackers import bayes_accuracy, nearest_prototype_accuracy, neighbours_accuracy
from enfpire.audit.policy import bundle_only_accuracy
from enfpire.client.features import whiten
from enfpire.client.recognition import Recognition
from enfpire.curation.fit import Fit
from enfpire.curation.held_out import class_similarities
from enfpire.leakage.guarantee import CellsGuarantee, efficiency, guarantee_of
from enfpire.leakage.intervals import balanced_mean
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Bundle, Cells, Projection


@dataclass(frozen=True)
class Truth:
    """The query photos that have a feature: names, raw features (n, D), labels (n,); and the gallery's."""

    photos: list[str]
    raw: Floats
    labels: Indices
    gallery_raw: Floats
    gallery_labels: Indices


def unprotected_names(fit: Fit, truth: Truth) -> dict[str, str]:
    """What a service without protection answers: same prototypes, all classes, no rejection."""
    best = class_similarities(whiten(truth.raw, fit.whitening), fit.prototypes).argmax(axis=1)
    return {photo: fit.names[number] for photo, number in zip(truth.photos, best.tolist(), strict=True)}


def figures(fit: Fit, bundle: Bundle, truth: Truth, found: dict[str, Recognition]) -> dict[str, Any]:
    """Accuracies, bound, leak and candidates of one row; every class weighs the same."""
    names = np.array(fit.names)[truth.labels]
    unprotected = unprotected_names(fit, truth)
    right = np.array([found[photo].name == name for photo, name in zip(truth.photos, names, strict=True)])
    plain = np.array([unprotected[photo] == name for photo, name in zip(truth.photos, names, strict=True)])
    counts = np.array([float(len(found[photo].candidates)) for photo in truth.photos])
    user, without = balanced_mean(right, truth.labels), balanced_mean(plain, truth.labels)
    candidates = balanced_mean(counts, truth.labels)
    guarantee = guarantee_of(bundle)
    bound = 1.0 if guarantee is None else guarantee.bound
    return {
        "classes": bundle.classes,
        "groups": guarantee.groups if isinstance(guarantee, CellsGuarantee) else 0,
        "candidates": candidates,
        "unprotected_accuracy": without,
        "user_accuracy": user,
        "retention": user / without,
        "bundle_only_accuracy": bundle_only_accuracy(bundle, whiten(truth.raw, fit.whitening), truth.labels),
        "server_bound": bound,
        "server_measured": server_accuracy(fit, bundle, truth, found),
        "efficiency": efficiency(user / without, candidates, bound),
    }


def server_accuracy(fit: Fit, bundle: Bundle, truth: Truth, found: dict[str, Recognition]) -> float:
    """The strongest attacker's accuracy on what travelled."""
    if isinstance(bundle.transform, Cells):
        groups = np.array([found[photo].group for photo in truth.photos], dtype=np.intp)
        return bayes_accuracy(groups, truth.labels, bundle.transform.groups)
    if isinstance(bundle.transform, Projection):
        basis = bundle.transform.basis.floats()
    else:
        basis = np.eye(bundle.dimensions, dtype=np.float32)
    sent, known = (whiten(raw, fit.whitening) @ basis for raw in (truth.raw, truth.gallery_raw))
    prototypes = fit.prototypes
    return max(
        nearest_prototype_accuracy(sent, truth.labels, prototypes.features @ basis, prototypes.owners),
        neighbours_accuracy(sent, truth.labels, known, truth.gallery_labels),
    )
