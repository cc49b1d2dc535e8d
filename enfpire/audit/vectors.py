"""Everything about a policy under which vectors travel."""

from __future__ import annotations

import numpy as np

from enfpire.audit.attackers import Attack, neighbour_scores, prototype_scores, scored_attack
from enfpire.audit.network import network_scores
from enfpire.audit.subject import Subject, sent_by
from enfpire.curation.publish import searched_vectors
from enfpire.wire.arrays import Doubles, Floats


def vector_attacks(
    sent: Floats, subject: Subject, random: np.random.Generator, prior: Doubles | None = None
) -> dict[str, Attack]:
    """Every attacker on one message, by name: vectors (n, m) of the asked photos. They protect photos of their own."""
    messages = np.asarray(sent_by(subject, subject.known.vectors, random), np.float32)
    owners = subject.known.labels
    seen, prototypes = searched_vectors(subject.fit), subject.fit.prototypes
    scores = {
        "nearest prototype": prototype_scores(sent, seen, prototypes.owners),
        "nearest labelled photos": neighbour_scores(sent, messages, owners),
        "network": network_scores(sent, messages, owners),
    }
    return {name: scored_attack(each, subject.asked.labels, prior) for name, each in scores.items()}
