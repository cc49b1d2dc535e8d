"""Further findings about messages: what they tell of the feature, what repeats of them tell, what their sizes tell."""

from __future__ import annotations

import numpy as np

from enfpire.audit.attackers import Attack
from enfpire.audit.averaging import (
    VectorAttacker,
    class_repeats,
    nearest_neighbours,
    nearest_prototype,
    photo_repeats,
)
from enfpire.audit.findings import Averaged, Figure, Inverted, Metadata
from enfpire.audit.inversion import from_messages, from_vectors, inversion
from enfpire.audit.metadata import request_sizes, size_leak
from enfpire.audit.subject import Exchanged, Subject, sent_by
from enfpire.curation.publish import searched_vectors
from enfpire.leakage.channel import Channel
from enfpire.wire.arrays import Floats, Indices

REQUESTED = (1, 2, 5)


def inverted_of(subject: Subject, found: Exchanged, random: np.random.Generator) -> Inverted:
    """The features of the asked photos as the server can reconstruct them, from messages of photos that it knows."""
    known = sent_by(subject, subject.known.vectors, random)
    if subject.cells is not None:
        sent, labelled = (np.asarray(messages, np.intp) for messages in (found.messages, known))
        made = from_messages(sent, labelled, subject.known.vectors)
    else:
        made = from_vectors(_vectors(found.messages), _vectors(known), subject.known.vectors)
    prototypes = subject.fit.prototypes
    result = inversion(
        made,
        subject.asked.vectors,
        subject.asked.labels,
        subject.known.vectors,
        prototypes.features,
        prototypes.owners,
    )
    like = result.reconstructed
    return Inverted(
        cosine=Figure(value=like.similarity, low=like.low, high=like.high),
        baseline=result.baseline.similarity,
        named=result.named.accuracy,
    )


def averaged_of(subject: Subject) -> tuple[Averaged, ...]:
    """Means of several messages of one photo, and of photos of one class, where vectors travel."""
    attackers: dict[str, VectorAttacker] = {
        "nearest prototype": nearest_prototype(searched_vectors(subject.fit), subject.fit.prototypes.owners),
        "nearest labelled photos": nearest_neighbours,
    }

    def protect(features: Floats, random: np.random.Generator) -> Floats:
        return _vectors(sent_by(subject, features, random))

    photos = photo_repeats(subject.known, subject.asked, protect, attackers)
    classes = class_repeats(subject.known, subject.asked, protect, attackers)
    return tuple(
        Averaged(messages=count, one_photo=_strongest(photos[count]), one_class=_strongest(classes[count]))
        for count in photos
    )


def metadata_of(subject: Subject, channel: Channel) -> Metadata:
    """What the sizes of requests and replies tell an onlooker who sees no content."""
    lengths = [len(found.body) for found in subject.lookup.by_group(range(subject.serving.groups))]
    counts = [count for count in REQUESTED if count <= subject.serving.groups]
    sizes = request_sizes(subject.signed.bundle.gallery, "audit", subject.serving.groups, counts)
    leak, unpadded = (size_leak(lengths, channel, padded=padded) for padded in (True, False))
    return Metadata(
        request_sizes_tell=any(len(found) > 1 for found in sizes.values()),
        group_from_reply_size=leak.groups_named,
        bits_from_reply_size=leak.bits,
        group_from_unpadded_size=unpadded.groups_named,
        bits_from_unpadded_size=unpadded.bits,
    )


def _vectors(messages: Indices | Floats) -> Floats:
    return np.asarray(messages, np.float32)


def _strongest(attacks: dict[str, Attack]) -> Figure:
    best = max(attacks.values(), key=lambda attack: attack.accuracy)
    low, high = best.interval
    return Figure(value=best.accuracy, low=low, high=high)
