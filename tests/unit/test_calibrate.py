"""Calibration on synthetic galleries: what it finds keeps its promises on photos that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scipy.sparse import csr_array

from enfpire.client.features import whiten
from enfpire.client.protocol import protect, resolve
from enfpire.curation.calibrate import Calibration, calibrate
from enfpire.curation.cells import CellsOptions
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.equitable import mismatch
from enfpire.curation.fit import Fit, encode_fit
from enfpire.curation.held_out import class_similarities
from enfpire.curation.one_thread import one_thread
from enfpire.curation.outcomes import Estimate, cheapest_first, retention_of
from enfpire.curation.policies import (
    Rung,
    Targets,
    fewest_classes,
    larger_groups,
    over_asks,
)
from enfpire.curation.pricing import bundle_bytes
from enfpire.curation.publish import draft_version, make_bundle
from enfpire.curation.transitions import Transitions, from_weights
from enfpire.errors import GalleryError
from enfpire.leakage.guarantee import layered_bound, prior_bound
from enfpire.server.answer import answer
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.arrays import Indices
from enfpire.wire.bundle import SignedBundle, serving_of, sign_bundle
from tests.unit.synthetic import RECIPE, Photos, enrolled, means, photos

CLASSES = 48
RUNGS = (Rung("cell", 1, 12), Rung("cell", 1), Rung("class", 1), Rung("class", 2, int8=False))
FEW = RUNGS[1:3]
MEANS = means(CLASSES, 32)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
MODEST = Targets(max_server_accuracy=0.1, min_retention=0.97)


def calibrated(
    targets: Targets,
    declared: Declared = NOTHING,
    published: Fit | None = None,
    each: int = 7,
    rungs: Sequence[Rung] = FEW,
) -> Calibration:
    with one_thread():
        return calibrate(enrolled(photos(MEANS, each)), targets, declared, RECIPE, published, rungs)


@lru_cache
def modest() -> Calibration:
    return calibrated(MODEST, rungs=RUNGS)


def fitted(found: Calibration) -> Fit:
    assert found.fit is not None
    return found.fit


def published(fit: Fit) -> tuple[SignedBundle, MemoryLookup]:
    version = draft_version(fit)
    assert version.members is not None
    lookup = MemoryLookup(version)
    digests = b"".join(one.digest for one in lookup.by_group(range(len(version.members))))
    return sign_bundle(make_bundle(fit, version.version, digests), KEY), lookup


def shares(right: Sequence[bool], labels: Indices) -> float:
    return float(np.mean([np.asarray(right)[labels == label].mean() for label in np.unique(labels)]))


def test_the_figures_hold_for_fresh_photos_through_the_real_protocol() -> None:
    found, fresh = modest(), photos(MEANS, 30, seed=7)
    signed, lookup = published(fitted(found))
    features = whiten(fresh.raw, fitted(found).whitening)
    right, sizes, downs = [], [], []
    for start in range(0, len(features), 600):
        pending, query = protect(features[start : start + 600], signed)
        reply = answer(query, serving_of(signed.bundle), lookup)
        matches = resolve(pending, reply, signed)
        names = [fitted(found).names[label] for label in fresh.labels[start : start + 600]]
        right += [match.name == name for match, name in zip(matches, names, strict=True)]
        sizes += [float(len(match.candidates)) for match in matches]
        downs += [len(reply.sets[place].body or b"") for place in reply.index.values[pending.rows]]
    without = class_similarities(features, fitted(found).prototypes).argmax(axis=1) == fresh.labels
    best = found.chosen
    assert shares(right, fresh.labels) / shares(without.tolist(), fresh.labels) >= max(0.97, best.retention.low)
    assert best.bytes_down == pytest.approx(np.mean(downs), rel=0.04)
    assert best.candidates == pytest.approx(np.mean(sizes), rel=0.04)


def test_a_policy_that_meets_its_targets_is_fitted_and_carries_its_figures() -> None:
    found = modest()
    best, options = found.chosen, fitted(found).options
    assert not best.misses(MODEST)
    assert options == best.options
    assert isinstance(options, CellsOptions)
    assert best.groups / CLASSES <= 0.1
    figures = fitted(found).figures
    assert figures["retention"] == best.retention.value >= 0.97
    assert figures["retention_low"] <= figures["retention"] <= figures["retention_high"]
    assert figures["bytes_per_photo"] == best.bytes_per_photo == best.bytes_down + best.bytes_up
    assert (figures["target_max_server_accuracy"], figures["target_min_retention"]) == (0.1, 0.97)
    assert published(fitted(found))[0].bundle.figures == figures


def test_bundles_have_the_bytes_that_were_planned() -> None:
    found = modest()
    signed, _ = published(fitted(found))
    assert found.chosen.bundle_bytes == bundle_bytes(fitted(found)) == len(signed.data)


def test_the_server_reaches_its_bound_and_no_more() -> None:
    best = modest().chosen
    assert best.server_bound == pytest.approx(best.groups / CLASSES)
    assert 0.8 * best.server_bound <= best.server_measured.value <= best.server_bound + 1e-9
    assert best.server_measured.low < best.server_measured.value < best.server_measured.high


def test_the_same_photos_make_the_same_calibration() -> None:
    again = calibrated(MODEST, rungs=RUNGS)
    assert again.chosen == modest().chosen
    assert encode_fit(fitted(again)) == encode_fit(fitted(modest()))


def test_the_cheapest_is_chosen() -> None:
    found = modest()
    met = [one for one in found.others if not one.misses(MODEST)]
    assert all(found.chosen.bytes_per_photo <= 1.02 * one.bytes_per_photo for one in met)
    assert cheapest_first([*found.others, found.chosen], MODEST)[0] == found.chosen


def test_impossible_targets_are_said_to_be_and_the_nearest_is_shown() -> None:
    asked = Targets(max_server_accuracy=0.01, min_retention=0.97)
    found = calibrated(asked)
    assert found.fit is None
    assert found.chosen.misses(asked) == {"max_server_accuracy": pytest.approx(2 / CLASSES / 0.01 - 1)}
    assert found.recommended(1) == "download"


def test_bytes_that_do_not_suffice_are_missed_by_little() -> None:
    cheapest = modest().chosen.bytes_per_photo
    asked = Targets(max_server_accuracy=0.1, min_retention=0.97, max_bytes_per_photo=0.9 * cheapest)
    found = calibrated(asked)
    assert found.fit is None
    assert "max_bytes_per_photo" in found.chosen.misses(asked)
    assert found.chosen.bytes_per_photo <= 1.1 * cheapest


def test_a_bundle_that_must_be_small_is() -> None:
    most = modest().chosen.bundle_bytes - 1
    asked = Targets(max_server_accuracy=0.1, min_retention=0.5, max_bundle_bytes=most)
    found = calibrated(asked, rungs=RUNGS)
    assert all(one.bundle_bytes <= most for one in (found.chosen, *found.others))
    assert len(published(fitted(found))[0].data) <= most
    none = calibrated(Targets(max_server_accuracy=0.1, min_retention=0.5, max_bundle_bytes=100))
    assert none.fit is None
    assert set(none.chosen.misses(none.targets)) == {"max_bundle_bytes"}


def test_a_bundle_that_must_tell_little_does() -> None:
    asked = Targets(max_server_accuracy=0.1, min_retention=0.9, max_bundle_only_accuracy=0.3)
    found = calibrated(asked)
    assert fitted(found).options.model_dump()["anchors"] == "cell"
    assert found.chosen.bundle_only_accuracy.value <= 0.3


def test_a_small_gallery_is_better_downloaded() -> None:
    found = modest()
    whole = replace(draft_version(fitted(found)), members=(np.arange(CLASSES),))
    assert found.download_bytes == len(MemoryLookup(whole).by_group([0])[0].body)
    assert found.break_even == -(-found.download_bytes // int(found.chosen.bytes_per_photo)) <= 10
    plain = replace(found, chosen=replace(found.chosen, bundle_only_accuracy=Estimate(0.02, 0.01, 0.03)))
    assert [plain.recommended(photos) for photos in (1, found.break_even, 1000)] == ["cells", "download", "download"]


def test_asking_is_pointless_where_the_bundle_knows() -> None:
    found = modest()
    knows = replace(found, chosen=replace(found.chosen, bundle_only_accuracy=Estimate(0.99, 0.98, 1.0)))
    assert knows.recommended(1) == "bundle"


def test_kinds_are_kept_secret() -> None:
    kinds = np.argsort(np.argsort(MEANS[:, 0])) * 3 // CLASSES
    asked = Targets(max_server_accuracy=0.1, min_retention=0.9, max_kind_accuracy=0.4)
    best = calibrated(asked, Declared(kinds=kinds)).chosen
    loose = calibrated(Targets(0.1, 0.9, max_kind_accuracy=1.0), Declared(kinds=kinds)).chosen
    assert best.kind_accuracy is not None
    assert loose.kind_accuracy is not None
    assert 1 / 3 - 0.02 <= best.kind_accuracy.value <= 0.4 < loose.kind_accuracy.value
    assert best.retention.value >= 0.9


def test_a_declared_prior_weighs_and_bounds() -> None:
    priors = 1 / np.arange(1, CLASSES + 1) ** 0.5
    priors /= priors.sum()
    asked = Targets(max_server_accuracy=0.15, min_retention=0.95)
    found = calibrated(asked, Declared(priors=priors))
    draft = fitted(found).transform
    assert draft.kind == "cells"
    reached = prior_bound(draft.groups.values.astype(np.intp), priors)
    assert found.chosen.server_expected == pytest.approx(reached)
    assert reached <= 0.15
    assert found.chosen.server_bound >= reached
    assert found.chosen.groups / CLASSES < 0.15


def test_published_groups_are_kept() -> None:
    first = fitted(modest())
    later = fitted(calibrated(Targets(0.1, 0.5), published=first))
    assert first.transform.kind == later.transform.kind == "cells"
    assert np.array_equal(first.transform.groups.values, later.transform.groups.values)


def test_classes_of_one_photo_are_not_measured_and_do_not_disturb() -> None:
    taken = photos(MEANS, 7)
    kept = np.flatnonzero((taken.labels % 6 > 0) | (np.arange(len(taken.labels)) % 7 == 0))
    kinds, priors = np.arange(CLASSES) % 2, np.full(CLASSES, 1 / CLASSES)
    with one_thread():
        found = calibrate(
            enrolled(Photos(taken.raw[kept], taken.labels[kept])),
            Targets(0.2, 0.8, max_kind_accuracy=1.0),
            Declared(kinds=kinds, priors=priors),
            RECIPE,
            rungs=FEW,
        )
    assert found.chosen.server_measured.value <= found.chosen.groups / (CLASSES * 5 / 6) + 1e-9
    assert found.chosen.kind_accuracy is not None
    assert len(fitted(found).names) == CLASSES


def test_transitions_shape_the_groups() -> None:
    ring = from_weights(csr_array(np.roll(np.eye(CLASSES), 1, axis=1)))
    walks = Transitions(enrolled(photos(MEANS, 2)).classes, ring)
    with one_thread():
        found = calibrate(
            enrolled(photos(MEANS, 7)), Targets(0.1, 0.5), Declared(transitions=walks), RECIPE, rungs=RUNGS[2:3]
        )
    draft = fitted(found).transform
    assert draft.kind == "cells"
    assert mismatch(ring, draft.groups.values.astype(np.intp)) < 0.1


def test_galleries_that_cannot_be_calibrated_are_refused() -> None:
    with pytest.raises(GalleryError, match="two photos a class"):
        calibrated(MODEST, each=1)
    with pytest.raises(GalleryError, match="enrol more classes"):
        calibrate(enrolled(Photos(*vars(photos(MEANS[:3], 5)).values())), MODEST, recipe=RECIPE)


def test_retention_has_an_interval_where_nothing_was_lost() -> None:
    labels = np.repeat(np.arange(20), 10)
    all_right = np.ones(200, bool)
    kept = retention_of(all_right, all_right, labels, None)
    assert kept.value == 1
    assert 0.97 < kept.low < 1 < kept.high < 1.03


def test_the_interval_of_the_retention_covers_it() -> None:
    """400 samples of a policy that loses 3 % of what is recognised, and gains 0.5 % of the rest."""
    random, labels, covered = np.random.default_rng(0), np.repeat(np.arange(40), 10), 0
    for _ in range(400):
        without = random.random(400) < 0.9
        right = np.where(without, random.random(400) < 0.97, random.random(400) < 0.05)
        found = retention_of(right, without, labels, None)
        covered += found.low <= 0.97 + 0.1 * 0.05 / 0.9 <= found.high
    assert 0.92 <= covered / 400 <= 0.995


def test_group_sizes_follow_the_bound() -> None:
    assert fewest_classes(81, 0.09 * 81) == 11
    assert fewest_classes(81, 0.05 * 81) == 17
    assert fewest_classes(81, 0.5) == 40
    assert larger_groups(81, 11) == (11, 14, 17)
    assert over_asks(2)[-1] == 2
    assert over_asks(40)[-1] == 40
    assert layered_bound(2, np.array([0.1, 0.4, 0.3, 0.2])) == pytest.approx(0.6)
