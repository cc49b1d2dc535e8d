"""Transforms that tell more than they say must be caught."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from enfpire.audit.attackers import bayes_attack, nearest_prototype_accuracy, neighbours_accuracy
from enfpire.audit.clients import Looking, Remembering
from enfpire.audit.repeats import known_channel_repeats, learned_repeats, strongest
from enfpire.client.features import whiten
from enfpire.client.protocol import protect
from enfpire.curation.held_out import class_similarities
from enfpire.leakage.channel import channel_of, min_capacity
from enfpire.leakage.repeats import repeated_vulnerability
from enfpire.wire.arrays import Floats, Indices, normalised
from tests.unit.synthetic import means, photos, shop

CLASSES, GROUPS, EACH = 60, 5, 40
BOUND = GROUPS / CLASSES


@lru_cache
def taken(seed: int = 9) -> tuple[Floats, Indices]:
    """Features (n, d) of photos that nothing was fitted on, and their labels (n,)."""
    shot = photos(means(CLASSES, 32), EACH, spread=0.3, seed=seed)
    return whiten(shot.raw, shop().fit.whitening), shot.labels


def honest(features: Floats) -> Indices:
    """What the bundle says: the group of the nearest anchor."""
    pending, _ = protect(features, shop().signed)
    assert pending.groups is not None
    return pending.groups


def leaky(features: Floats) -> Indices:
    """A router that recognises the photo by itself, and sends one digit of the class in base G, another a photo.

    Each message has G values, as the table says; the digits together name the class.
    """
    found = class_similarities(features, shop().fit.prototypes).argmax(axis=1)
    digit = (abs(features[:, 0]) * 1e6).astype(np.intp) % 3
    sent: Indices = found // GROUPS**digit % GROUPS
    return sent


def test_one_message_of_a_leaky_router_stays_within_the_bound() -> None:
    """Nothing that takes G values can do more: that is the guarantee."""
    features, labels = taken()
    for router in (honest, leaky):
        messages = router(features)
        found = bayes_attack(messages, labels, GROUPS)
        assert found.interval[0] <= BOUND
        assert min_capacity(channel_of(messages, labels, GROUPS)) <= np.log2(GROUPS) + 1e-9


def test_repeats_catch_a_leaky_router() -> None:
    features, labels = taken()
    random = np.random.default_rng(0)
    found = {
        router: strongest(known_channel_repeats(channel_of(router(features), labels, GROUPS), random, trials=200))
        for router in (honest, leaky)
    }
    assert found[leaky][1].low <= BOUND
    assert found[honest][20].high < 1.2 * BOUND
    assert found[leaky][5].low > 3 * BOUND
    assert found[leaky][20].low > 5 * BOUND


def test_a_memory_does_not_hide_it() -> None:
    features, labels = taken()
    caught = {}
    for router in (honest, leaky):
        messages = router(features)
        client = Looking(np.eye(GROUPS, dtype=np.float32)[messages], 0.0, labels)
        caught[router] = strongest(learned_repeats(client, CLASSES, np.random.default_rng(1), 400, (20,)))[20]
    assert caught[leaky].low > 2 * caught[honest].high


def test_a_client_that_hides_the_class_in_its_silence_is_caught() -> None:
    """It asks for the right group, as a client with a memory does, but at a photo whose number is of the class."""
    features, labels = taken()
    channel = channel_of(honest(features), labels, GROUPS)
    remembering = Remembering(channel)

    def late(label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        asked = np.full((trials, photos), -1)
        delay = label // GROUPS % photos
        asked[:, delay:] = remembering(label, photos - delay, trials, random)
        return asked

    random = np.random.default_rng(2)
    prompt, hidden = (
        strongest(learned_repeats(client, CLASSES, random, 200, (12,)))[12] for client in (remembering, late)
    )
    assert hidden.low > 2 * prompt.high
    assert prompt.accuracy <= repeated_vulnerability(channel, 12, random) + 0.03


def noisy(features: Floats, labels: Indices, seed: int, *, cached: bool) -> Floats:
    """Features with noise three times as long as they are; `cached` draws it once a class instead of once a photo."""
    random = np.random.default_rng(7 if cached else seed)
    count = CLASSES if cached else len(labels)
    noise = normalised(random.standard_normal((count, features.shape[1])).astype(np.float32))
    return normalised(features + 3 * (noise[labels] if cached else noise))


def test_noise_that_is_drawn_once_a_class_is_caught() -> None:
    """An attacker without labelled photos does not see it; one with them names every class."""
    (known, known_labels), (asked, labels) = taken(1), taken(2)
    prototypes = shop().fit.prototypes
    found = {
        cached: neighbours_accuracy(
            noisy(asked, labels, 3, cached=cached), labels, noisy(known, known_labels, 4, cached=cached), known_labels
        )
        for cached in (True, False)
    }
    blind = nearest_prototype_accuracy(
        noisy(asked, labels, 3, cached=True), labels, prototypes.features, prototypes.owners
    )
    assert blind < 0.5
    assert found[False] < 0.5
    assert found[True] > 0.95
