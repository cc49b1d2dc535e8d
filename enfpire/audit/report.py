"""The whole audit of a bundle: its policy in depth, and the frontier of all transforms on the same photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enfpire.audit.findings import AuditReport, Outsiders
from enfpire.audit.frontier import frontier
from enfpire.audit.labelled import Labelled
from enfpire.audit.labelled_photos import RawPhotos
from enfpire.audit.outsider_findings import SHARE, left_out, left_out_bases, outsiders_of
from enfpire.audit.page import page
from enfpire.audit.policy import Question, audit_policy
from enfpire.audit.subject import Subject, subject_of
from enfpire.client.features import whiten
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Fit, fit_base
from enfpire.curation.held_out import Recipe
from enfpire.errors import UsageError
from enfpire.wire.bundle import SignedBundle
from enfpire.wire.codec import encode

Progress = Callable[[str], None]

FEWEST_OUTSIDERS = 20


@dataclass(frozen=True, eq=False)
class Audited:
    """A published bundle, the fit that it was made of, what is enrolled, and the auditor's photos."""

    signed: SignedBundle
    fit: Fit
    enrolled: Enrolled
    photos: RawPhotos
    declared: Declared = NOTHING


def audit(audited: Audited, progress: Progress) -> AuditReport:
    """Attack a bundle; `progress` is told what is being done.

    Raises `UsageError` where the fit is not that of the bundle.
    """
    fit, photos, enrolled = audited.fit, audited.photos, audited.enrolled
    bundle = audited.signed.bundle
    known = Labelled(whiten(enrolled.raw, fit.whitening), enrolled.labels)
    subject = subject_of(fit, known, Labelled(whiten(photos.raw, fit.whitening), photos.labels))
    if encode(subject.signed.bundle, b"B") != encode(bundle, b"B"):
        raise UsageError("the workspace's fit does not make this bundle: audit it where it was published")
    recipe = Recipe(dimensions=bundle.dimensions)
    progress("outsiders")
    outsiders = _outsiders(audited, subject, recipe)
    progress("this bundle")
    question = Question(bundle.gallery, bundle.gallery, audited.declared, outsiders=outsiders)
    policy = audit_policy(subject, question)
    base = fit_base(enrolled, recipe)
    own = Labelled(base.fitted.features, enrolled.labels)
    asked = Labelled(whiten(photos.raw, base.whitening), photos.labels)
    return AuditReport(
        gallery=bundle.gallery,
        bundle=audited.signed.digest.hex(),
        version=bundle.version,
        photos=len(photos.labels),
        classes=len(fit.names),
        policy=policy,
        frontier=tuple(frontier(base, own, asked, bundle.gallery, progress, audited.declared.priors)),
    )


def _outsiders(audited: Audited, subject: Subject, recipe: Recipe) -> Outsiders:
    """From the auditor's photos of other classes; where they are too few, from classes that are left out in turn."""
    photos, enrolled = audited.photos, audited.enrolled
    if len(photos.outside) >= FEWEST_OUTSIDERS:
        return outsiders_of(subject, whiten(photos.outside, audited.fit.whitening), np.random.default_rng(0))
    classes = len(enrolled.classes)
    bases = left_out_bases(enrolled, max(1, round(SHARE * classes)), recipe)
    return left_out(bases, audited.fit.options, photos.raw, photos.labels, classes)


def write_report(report: AuditReport, folder: Path) -> None:
    """Write audit.json and audit.html into `folder`, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "audit.html").write_text(page(report), encoding="utf-8")
