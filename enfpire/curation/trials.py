"""Trials: policies on gallery photos that no part of the fit has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from enfpire.client.features import whiten
from enfpire.client.unknown import Unknown, leading_coordinates
from enfpire.curation.anchors import Anchors
from enfpire.curation.cells import CellsOptions, held_out_routing, in_sample, make_anchors
from enfpire.curation.choosing import Grouping
from enfpire.curation.declared import Declared
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Base, fit_base
from enfpire.curation.held_out import FOLDS, Recipe, class_similarities, folds
from enfpire.curation.over_asking import candidate_classes
from enfpire.leakage.channel import Channel, channel_of, message_counts, of_kinds, shares_of
from enfpire.wire.arrays import Bools, Doubles, Floats, Indices

Sets = tuple[Indices, ...]
"""Ascending class numbers of each group's candidate set."""


@dataclass(frozen=True, eq=False)
class Fold:
    """A fit on some photos, and photos that it left out: features (n, d), labels (n,).

    `unprotected` (n,): recognised among all classes. `accepted` (n,): the photo's own class is similar enough not to be
    "unknown". `rivals` are photos (m,) and classes (m,) that are more similar to it than its own class.
    """

    base: Base
    asked: Floats = field(repr=False)
    labels: Indices = field(repr=False)
    unprotected: Bools
    accepted: Bools
    rivals: tuple[Indices, Indices]


@dataclass(frozen=True, eq=False)
class Trial:
    """A policy on one fold's photos, under each factor of over-asking.

    right (L, n): recognised; sets, L times those of each group; messages (n,), the group of each photo. `by_bundle`
    (n,): recognised by the nearest anchor alone. `named` and `kind_named` (n,): by a server that knows how often photos
    of each class go to each group.
    """

    labels: Indices
    unprotected: Bools
    messages: Indices
    right: Bools
    sets: tuple[Sets, ...]
    by_bundle: Bools
    named: Bools
    kind_named: Bools | None


def thirds(labels: Indices) -> list[Bools]:
    """Which of the photos (n,) each fold leaves out; none where every class has one photo."""
    place = folds(labels)
    return [place == number for number in range(FOLDS) if (place == number).any()]


def make_fold(enrolled: Enrolled, left_out: Bools, recipe: Recipe) -> Fold:
    """Fit on all photos but those that are `left_out` (n,)."""
    known = replace(enrolled, raw=enrolled.raw[~left_out], labels=enrolled.labels[~left_out])
    base = fit_base(known, recipe)
    asked, labels = whiten(enrolled.raw[left_out], base.whitening), enrolled.labels[left_out]
    similarities = class_similarities(asked, base.prototypes)
    own = similarities[np.arange(len(labels)), labels][:, None]
    before = np.arange(similarities.shape[1])[None, :] < labels[:, None]
    photos, classes = np.nonzero((similarities > own) | ((similarities == own) & before))
    unprotected = np.bincount(photos, minlength=len(labels)) == 0
    unknown = Unknown(base.unknown_below, leading_coordinates(similarities.shape[1]))
    return Fold(base, asked, labels, unprotected, unknown.accepts(asked, own[:, 0]), (photos, classes))


def try_policy(
    fold: Fold, options: CellsOptions, groups: Grouping, factors: Sequence[float], declared: Declared
) -> Trial:
    """Try a policy with these groups and cells (C,) under every factor of over-asking."""
    own, cells = groups
    fitted, count = fold.base.fitted, int(groups[0].max()) + 1
    anchors = make_anchors(fitted.features, fitted.labels, own, cells, options)
    held_out = fold.base.held_out or [in_sample(fitted.features, fitted.labels)]
    routed = held_out_routing(held_out, own, cells, options).routed
    sets = tuple(candidate_classes(routed, own, factor) for factor in factors)
    messages = anchors.scores(fold.asked).argmax(axis=1)
    channel, present = _channel(messages, fold.labels, count, declared.priors)
    kinds = None if declared.kinds is None else declared.kinds[present]
    return Trial(
        labels=fold.labels,
        unprotected=fold.unprotected,
        messages=messages,
        right=_recognised(fold, messages, sets),
        sets=sets,
        by_bundle=_by_bundle(fold, anchors),
        named=present[channel.joint.argmax(axis=0)][messages] == fold.labels,
        kind_named=None if kinds is None else _kind_named(channel, kinds, present, messages, fold.labels),
    )


def _recognised(fold: Fold, messages: Indices, sets: tuple[Sets, ...]) -> Bools:
    """Whether each photo is recognised (L, n): its class is in its group's set, and no rival is."""
    levels = len(sets)
    # the first factor under which each class is in each group's set: sets only grow
    joins = np.full((len(sets[0]), len(fold.base.enrolled.classes)), levels)
    for level in reversed(range(levels)):
        for group, classes in enumerate(sets[level]):
            joins[group, classes] = level
    photos, classes = fold.rivals
    beaten = np.full(len(messages), levels)
    np.minimum.at(beaten, photos, joins[messages[photos], classes])
    each = np.arange(levels)[:, None]
    right: Bools = (joins[messages, fold.labels] <= each) & (each < beaten) & fold.accepted
    return right


def _by_bundle(fold: Fold, anchors: Anchors) -> Bools:
    """Whether the nearest anchor, of the class whose known photos it attracts most often, names each photo's class."""
    fitted, count = fold.base.fitted, len(anchors.vectors)
    nearest, asked = (
        (features[:, : anchors.vectors.shape[1]] @ anchors.vectors.T).argmax(axis=1)
        for features in (fitted.features, fold.asked)
    )
    shares = shares_of(message_counts(nearest, fitted.labels, count, len(fold.base.enrolled.classes)))
    right: Bools = shares.argmax(axis=0)[asked] == fold.labels
    return right


def _channel(messages: Indices, labels: Indices, count: int, priors: Doubles | None) -> tuple[Channel, Indices]:
    """The channel of the classes that have photos, and their numbers."""
    present, numbers = np.unique(labels, return_inverse=True)
    some = None if priors is None else priors[present] / priors[present].sum()
    return channel_of(messages, numbers, count, len(present), prior=some), present


def _kind_named(channel: Channel, kinds: Indices, present: Indices, messages: Indices, labels: Indices) -> Bools:
    """Whether the most probable kind, given the message, is the photo's; kinds of the classes `present`."""
    numbers = np.unique(kinds, return_inverse=True)[1]
    guess = of_kinds(channel, numbers).joint.argmax(axis=0)
    right: Bools = guess[messages] == numbers[np.searchsorted(present, labels)]
    return right
