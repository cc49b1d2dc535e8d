"""The audit of one policy: what it gives the user, and what attackers make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from enfpire.audit.attackers import Attack, bayes_accuracy
from enfpire.audit.cells import batches_of, cells_attacks, kinds_of, leak_of, repeats_of
from enfpire.audit.findings import Attacked, Figure, Outsiders, PolicyAudit
from enfpire.audit.message_findings import averaged_of, inverted_of, metadata_of
from enfpire.audit.subject import Exchanged, Subject, exchange, unprotected_right
from enfpire.audit.vectors import vector_attacks
from enfpire.audit.walk_findings import Linked, linked_by, walk_of
from enfpire.curation.cells import CellsDraft
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.outcomes import retention_of
from enfpire.leakage.channel import Channel, channel_of
from enfpire.leakage.guarantee import CellsGuarantee, claimed_bound, efficiency, guarantee_of
from enfpire.leakage.intervals import balanced_interval, balanced_mean
from enfpire.wire.arrays import Doubles, Floats, Indices
from enfpire.wire.bundle import Bundle, Cells, Identity, Noise, Projection, Sign

# Beyond, an attack that simulates clients of every class takes longer than it tells.
MOST_SIMULATED_CLASSES = 1_000


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of an audit: a name for the policy and its photos, and what the operator declares about classes.

    `linked` says how users walk, by default as the declared transitions do. A `deep` audit also looks at several
    photos.
    """

    name: str
    data: str
    declared: Declared = NOTHING
    linked: Linked | None = None
    outsiders: Outsiders | None = None
    deep: bool = True
    seed: int = 0


def audit_policy(subject: Subject, question: Question) -> PolicyAudit:
    """Send all asked photos through the protocol, attack what was seen, and measure."""
    random = np.random.default_rng(question.seed)
    found = exchange(subject, subject.asked, random)
    if subject.cells is not None:
        attacks = cells_attacks(np.asarray(found.messages, np.intp), subject, question.declared.priors)
        rest = _cells_findings(subject, found, question, random)
    else:
        attacks = vector_attacks(np.asarray(found.messages, np.float32), subject, random, question.declared.priors)
        rest = {"averaged": averaged_of(subject)} if question.deep else {}
    if question.deep and subject.classes <= MOST_SIMULATED_CLASSES:
        rest["inverted"] = inverted_of(subject, found, random)
    if question.outsiders is not None:
        rest |= {"outsiders": question.outsiders, "outsider_auroc": question.outsiders.auroc.value}
    return PolicyAudit(**_plain_findings(subject, found, question, attacks) | rest)


def _plain_findings(
    subject: Subject, found: Exchanged, question: Question, attacks: dict[str, Attack]
) -> dict[str, Any]:
    labels, priors = subject.asked.labels, question.declared.priors
    plain = unprotected_right(subject)
    user, without = (balanced_mean(right, labels, priors) for right in (found.right, plain))
    retained = retention_of(found.right > 0, plain > 0, labels, priors)
    candidates = balanced_mean(found.candidates, labels, priors)
    bound, strongest = bound_of(subject.signed.bundle, priors), max(attacks.values(), key=lambda one: one.accuracy)
    return {
        "name": question.name,
        "data": question.data,
        "transform": subject.signed.bundle.transform.kind,
        "setting": setting_of(subject.signed.bundle),
        "groups": subject.serving.groups,
        "candidates": candidates,
        "bundle_bytes": len(subject.signed.data),
        "bundle_only_accuracy": bundle_only_accuracy(subject.signed.bundle, subject.asked.vectors, labels),
        "unprotected_accuracy": without,
        "user_accuracy": user,
        "user": _figure(user, balanced_interval(found.right, labels, priors)),
        "retention": user / without,
        "retained": Figure(value=retained.value, low=retained.low, high=retained.high),
        "server_bound": bound,
        "server_measured": strongest.accuracy,
        "server": _figure(strongest.accuracy, strongest.interval),
        "attackers": tuple(_attacked(name, one) for name, one in attacks.items()),
        "efficiency": efficiency(user / without, candidates, bound),
        "bytes_up": found.bytes_up / len(labels),
        "bytes_down": found.bytes_down / len(labels),
    }


def _cells_findings(
    subject: Subject, found: Exchanged, question: Question, random: np.random.Generator
) -> dict[str, Any]:
    messages = np.asarray(found.messages, np.intp)
    channel = channel_of(
        messages, subject.asked.labels, subject.serving.groups, subject.classes, prior=question.declared.priors
    )
    kinds, transitions = question.declared.kinds, question.declared.transitions
    leak = leak_of(channel, subject, kinds)
    rest: dict[str, Any] = {
        "leak": leak,
        "worst_group": leak.worst_posterior,
        "slack": subject.cells.slack if subject.cells is not None else None,
        "class_posteriors": class_posteriors(channel),
        "class_groups": class_groups(subject),
    }
    if kinds is not None:
        told = kinds_of(messages, subject, kinds, question.declared.priors)
        rest |= {"kinds": told, "kind_accuracy": told.accuracy.value, "kind_prior": told.prior}
    linked = question.linked or (None if transitions is None else linked_by(transitions))
    if linked is not None:
        rest["walk"] = walk_of(linked, channel, messages, subject.asked.labels, question.seed)
    if question.deep and subject.classes <= MOST_SIMULATED_CLASSES:
        rest |= {"batches": batches_of(channel, random), "metadata": metadata_of(subject, channel)}
        rest |= repeats_of(channel, subject, random, question.declared.priors)
    return rest


def bound_of(bundle: Bundle, priors: Doubles | None = None) -> float:
    """How often the server can name the class at most: what is proved, for equally likely classes or these priors."""
    guarantee = guarantee_of(bundle)
    if guarantee is None:
        return 1.0
    if priors is None:
        return guarantee.bound
    if isinstance(guarantee, CellsGuarantee):
        return claimed_bound(guarantee.groups, priors)
    return min(1.0, float(priors.max()) * 2**guarantee.bits)


def class_posteriors(channel: Channel) -> tuple[float, ...]:
    """For each class what the server believes of it on average when it is the right one."""
    joint = channel.joint
    posterior = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return tuple((channel.rows * posterior).sum(axis=1).tolist())


def class_groups(subject: Subject) -> tuple[int, ...]:
    """Group of each class."""
    draft = subject.fit.transform
    return tuple(draft.groups.values.tolist()) if isinstance(draft, CellsDraft) else ()


def bundle_only_accuracy(bundle: Bundle, features: Floats, labels: Indices) -> float:
    """What a client could recognise from the bundle alone: from its anchors, had it seen labelled photos.

    features (n, d) of photos with labels (n,); anchors may have fewer dimensions.
    """
    if not isinstance(bundle.transform, Cells):
        return 1 / bundle.classes
    anchors = bundle.transform.anchors.floats()
    nearest = (features[:, : anchors.shape[1]] @ anchors.T).argmax(axis=1)
    return bayes_accuracy(nearest, labels, len(anchors))


def setting_of(bundle: Bundle) -> str:
    """The transform's dial, for people."""
    match bundle.transform:
        case Cells() as cells:
            return f"{cells.groups} groups, {len(cells.anchors.values)} anchors"
        case Projection(basis=basis):
            return f"{basis.shape[1]} dimensions"
        case Noise(basis=basis, epsilon=epsilon):
            return f"{basis.shape[1]} dimensions, epsilon {epsilon:g}"
        case Sign(basis=basis):
            return f"{basis.shape[1]} bits"
        case Identity():
            return "the feature itself"


def _attacked(name: str, attack: Attack) -> Attacked:
    return Attacked(
        attacker=name,
        accuracy=_figure(attack.accuracy, attack.interval),
        accuracy_in_five=_figure(attack.accuracy_in_five, attack.interval_in_five),
    )


def _figure(value: float, interval: tuple[float, float]) -> Figure:
    return Figure(value=value, low=interval[0], high=interval[1])
