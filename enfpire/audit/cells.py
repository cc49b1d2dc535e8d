"""Everything about a policy under which group numbers travel."""

from __future__ import annotations

from typing import Any

import numpy as np

from enfpire.audit.attackers import Attack, bayes_attack, oracle_attack, popularity_attack
from enfpire.audit.batches import batch_leak
from enfpire.audit.clients import Looking
from enfpire.audit.findings import Batch, Figure, Kinds, Leak, Remembered, Repeated
from enfpire.audit.kinds import kind_attack
from enfpire.audit.repeats import Repeats, known_channel_repeats, learned_repeats, strongest
from enfpire.audit.streams import mixed_streams
from enfpire.audit.subject import Subject, group_scores, right_in_group, unprotected_right
from enfpire.curation.cells import CellsOptions
from enfpire.leakage.anonymity import anonymity, label_diversity
from enfpire.leakage.channel import (
    Channel,
    channel_of,
    min_capacity,
    min_entropy_leakage,
    mutual_information,
    prior_vulnerability,
    uniform,
    worst_posterior,
)
from enfpire.leakage.repeats import repeats_bound
from enfpire.wire.arrays import Doubles, Floats, Indices

SLACKS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
BATCHES = (5, 20, 100)
SIMULATED_BATCHES = 2_000
# Clients that are simulated in all, so that a large gallery takes no longer than a small one.
CLIENTS = 120_000
FEWEST_TRIALS = 200


def cells_attacks(messages: Indices, subject: Subject, prior: Doubles | None) -> dict[str, Attack]:
    """Every attacker on one message, by name: group numbers (n,) of the asked photos."""
    labels, groups = subject.asked.labels, subject.serving.groups
    found = {
        "Bayes-optimal, learned from labelled photos": bayes_attack(messages, labels, groups, prior=prior),
        "oracle: knows the channel of these photos": oracle_attack(
            channel_of(messages, labels, groups, prior=prior, classes=subject.classes), messages, labels
        ),
    }
    weights = uniform(subject.classes) if prior is None else prior
    return found | {"sees nothing, names the most popular": popularity_attack(weights, labels)}


def leak_of(channel: Channel, subject: Subject, kinds: Indices | None) -> Leak:
    """The measures of the channel."""
    assert subject.cells is not None  # noqa: S101 - for the type checker
    left = anonymity(channel)
    diversity = None if kinds is None else label_diversity(channel, kinds)
    return Leak(
        min_entropy_leakage=min_entropy_leakage(channel),
        min_capacity=min_capacity(channel),
        mutual_information=mutual_information(channel),
        worst_posterior=worst_posterior(channel),
        anonymity=left.effective,
        anonymity_bits=left.entropy,
        worst_anonymity=left.worst_effective,
        smallest_group=int(subject.cells.classes.values.min()),
        kinds_in_group=None if diversity is None else diversity.worst_distinct,
        kinds_bits=None if diversity is None else diversity.worst_bits,
    )


def kinds_of(messages: Indices, subject: Subject, kinds: Indices, prior: Doubles | None) -> Kinds:
    """How often the server names the kind."""
    found = kind_attack(messages, subject.asked.labels, kinds, subject.serving.groups, prior=prior)
    return Kinds(accuracy=Figure(value=found.accuracy, low=found.low, high=found.high), prior=found.prior)


def batches_of(channel: Channel, random: np.random.Generator) -> tuple[Batch, ...]:
    """What linked batches of several sizes tell."""
    found = (batch_leak(channel, photos, SIMULATED_BATCHES, random) for photos in BATCHES)
    return tuple(
        Batch(
            photos=one.photos,
            bits=one.bits,
            accuracy=Figure(value=one.accuracy, low=one.low, high=one.high),
            prior=one.prior,
            auc=one.auc,
        )
        for one in found
    )


def repeats_of(
    channel: Channel, subject: Subject, random: np.random.Generator, prior: Doubles | None
) -> dict[str, Any]:
    """Different photos of one class, with and without memory, and streams of many classes, over a memory's slack."""
    assert subject.cells is not None  # noqa: S101 - for the type checker
    scores = group_scores(subject, subject.asked.vectors)
    spread, slack = slack_unit(subject, scores), subject.cells.slack
    plain, right, labels = unprotected_right(subject), right_in_group(subject), subject.asked.labels
    trials = max(FEWEST_TRIALS, CLIENTS // subject.classes)
    without = strongest(known_channel_repeats(channel, random, trials))

    def remembering(slack: float) -> dict[int, Repeats]:
        client = Looking(scores, slack, labels)
        return strongest(learned_repeats(client, channel.classes, random, trials, prior=prior))

    ladder = [(factor * spread, remembering(factor * spread)) for factor in SLACKS]
    chosen = remembering(slack)
    streams = [mixed_streams(scores, each, right, plain, labels, random) for each, _ in ladder]
    return {
        "repeated": tuple(
            Repeated(
                photos=photos,
                memory=_figure(chosen[photos]),
                no_memory=_figure(without[photos]),
                bound=repeats_bound(channel.values, prior_vulnerability(channel), photos),
            )
            for photos in sorted(without)
        ),
        "repeats": {
            str(photos): {"memory": chosen[photos].accuracy, "no_memory": without[photos].accuracy}
            for photos in sorted(without)
        },
        "remembered": tuple(
            Remembered(slack=each, accuracy=_figure(found[max(found)]), retention=stream.retention, asked=stream.asked)
            for (each, found), stream in zip(ladder, streams, strict=True)
        ),
        "mixed_stream_retention": mixed_streams(scores, slack, right, plain, labels, random).retention,
    }


def slack_unit(subject: Subject, scores: Floats) -> float:
    """The bundle's slack, so that a ladder of it can be drawn; where that is 0, what a fit would choose."""
    assert subject.cells is not None  # noqa: S101 - for the type checker
    return subject.cells.slack or CellsOptions(classes_per_group=2).slack * float(scores.std())


def _figure(found: Repeats) -> Figure:
    return Figure(value=found.accuracy, low=found.low, high=found.high)
