"""Linked queries along walks under a policy: what the attacker makes of them, misrouted photos included."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enfpire.audit.findings import Figure, Walk
from enfpire.audit.walks import Named, Steps, WalkFigures, attack_messages, attack_walks, draw_walks
from enfpire.curation.clustering import balanced_clusters
from enfpire.curation.foldings import slow_modes
from enfpire.curation.transitions import Transitions
from enfpire.leakage.channel import Channel, uniform
from enfpire.wire.arrays import Floats, Indices, normalised

WALKS = 20_000
LENGTH = 20
AREAS = 16
MODES = 8


@dataclass(frozen=True, eq=False)
class Linked:
    """How users walk, as attackers know it; areas (C,) that a walk may tell.

    `photos` (n, T) are real walks through the asked photos; without them walks are drawn from the steps.
    """

    steps: Steps
    areas: Indices
    photos: Indices | None = field(default=None, repr=False)


def linked_by(transitions: Transitions) -> Linked:
    """Walks that begin anywhere, each class as likely; areas are regions of classes that are few steps apart."""
    return Linked(Steps(uniform(len(transitions.classes)), transitions.matrix), regions_of(transitions))


def regions_of(transitions: Transitions) -> Indices:
    """At most 16 regions of equal size of classes (C,) that a user reaches from each other in few steps."""
    count = min(AREAS, len(transitions.classes) // 2)
    modes = slow_modes(transitions.matrix, min(MODES, len(transitions.classes) - 1))
    places: Floats = normalised(modes.astype(np.float32))
    return balanced_clusters(places, count)


def walk_of(linked: Linked, channel: Channel, messages: Indices, labels: Indices, seed: int = 0) -> Walk:
    """20 linked queries: 20,000 drawn walks whose photos are routed as `channel` says, or the real walks.

    messages (p,) and labels (p,) are those of the asked photos.
    """
    if linked.photos is not None:
        walks = labels[linked.photos]
        found = attack_messages(linked.steps, walks, messages[linked.photos], channel.rows, linked.areas)
    else:
        walks = draw_walks(linked.steps, WALKS, LENGTH, np.random.default_rng(seed))
        found = attack_walks(linked.steps, walks, channel.rows, linked.areas, seed=seed)
    return _walk(found, walks)


def _walk(found: WalkFigures, walks: Indices) -> Walk:
    return Walk(
        steps=walks.shape[1],
        walks=len(walks),
        worst=_worst(found.classes),
        mean=float(found.classes.share.mean()),
        last=float(found.classes.share[-1]),
        area=float(found.areas.share.max()),
        area_prior=float(found.areas.prior.max()),
    )


def _worst(named: Named) -> Figure:
    return Figure(
        value=float(named.share[named.worst]), low=float(named.low[named.worst]), high=float(named.high.max())
    )
