from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from enfpire.client.features import whiten
from enfpire.client.unknown import known_scores, leading_coordinates
from enfpire.curation.cells import CellsDraft, CellsOptions
from enfpire.curation.fit import (
    Options,
    VectorDraft,
    VectorOptions,
    decode_fit,
    encode_fit,
    fit,
    principal_basis,
)
from enfpire.curation.held_out import Recipe, class_similarities, fit_threshold, folds, splits
from enfpire.curation.prototypes import fit_prototypes
from enfpire.errors import EnfPireError, GalleryError, UsageError, WireError
from enfpire.wire.arrays import Floats
from tests.unit.synthetic import CELLS, RECIPE, enrolled, means, photos, shop

CENTRES = means(60, 32)
KNOWN = photos(CENTRES, 5, seed=1)
PROJECTION = VectorOptions(kind="projection", dimensions=4, candidates=10)


def test_equal_galleries_make_equal_bytes() -> None:
    first, second = (encode_fit(fit(enrolled(KNOWN), CELLS, RECIPE)) for _ in range(2))
    assert first == second
    other = encode_fit(fit(enrolled(KNOWN), CELLS.model_copy(update={"classes_per_group": 10}), RECIPE))
    assert other != first


def test_a_fit_survives_its_bytes() -> None:
    for options in (CELLS, PROJECTION):
        fitted = shop(options).fit
        assert decode_fit(encode_fit(fitted)) == fitted


def test_damaged_bytes_are_no_fit() -> None:
    data = encode_fit(shop().fit)
    for damaged in (data[:-1], b"ENFB" + data[4:], b""):
        with pytest.raises(WireError):
            decode_fit(damaged)


@pytest.mark.parametrize(("classes", "per_group", "groups"), [(60, 12, 5), (60, 13, 4), (60, 30, 2), (5, 2, 2)])
def test_every_group_has_the_classes_that_were_asked_for(classes: int, per_group: int, groups: int) -> None:
    taken = photos(CENTRES[:classes], 3)
    fitted = fit(enrolled(taken), CellsOptions(classes_per_group=per_group), RECIPE)
    assert isinstance(fitted.transform, CellsDraft)
    sizes = np.bincount(fitted.transform.groups.values)
    assert len(sizes) == groups
    assert sizes.min() >= per_group
    assert sizes.max() - sizes.min() <= 1


def test_one_anchor_a_class_leads_to_the_group_of_the_class() -> None:
    draft = shop().fit.transform
    assert isinstance(draft, CellsDraft)
    assert draft.anchors.shape == (60, 24)
    assert np.array_equal(draft.routes.values, draft.groups.values)


def test_one_anchor_a_cell_holds_no_class() -> None:
    draft = shop(CellsOptions(classes_per_group=12, anchors="cell")).fit.transform
    assert isinstance(draft, CellsDraft)
    assert draft.anchors.shape == (5, 24)
    assert draft.routes.values.tolist() == [0, 1, 2, 3, 4]


def test_a_projection_is_the_subspace_in_which_prototypes_vary_most() -> None:
    draft = shop(PROJECTION).fit.transform
    assert isinstance(draft, VectorDraft)
    basis = draft.basis.floats()
    assert basis.shape == (24, 4)
    assert np.allclose(basis.T @ basis, np.eye(4), atol=2e-3)
    vectors = shop(PROJECTION).fit.prototypes.features
    kept = np.linalg.norm((vectors - vectors.mean(axis=0)) @ basis)
    random, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 4)))
    assert kept > 1.2 * np.linalg.norm((vectors - vectors.mean(axis=0)) @ random)
    assert np.allclose(principal_basis(vectors, 4), basis, atol=1e-3)


def test_an_identity_has_no_basis() -> None:
    draft = shop(VectorOptions(kind="identity", candidates=7)).fit.transform
    assert isinstance(draft, VectorDraft)
    assert (draft.basis.shape, draft.candidates) == ((24, 0), 7)


@pytest.mark.parametrize(
    ("classes", "options", "error", "advice"),
    [
        (1, CELLS, GalleryError, "enrol more"),
        (1, PROJECTION, GalleryError, "enrol more"),
        (10, CELLS, GalleryError, "at most 5 classes a group"),
        (23, CELLS, GalleryError, "at most 11 classes a group"),
        (9, PROJECTION, UsageError, "fewer candidates"),
    ],
)
def test_too_few_classes_are_refused(classes: int, options: Options, error: type[EnfPireError], advice: str) -> None:
    with pytest.raises(error, match=advice):
        fit(enrolled(photos(CENTRES[:classes], 3)), options, RECIPE)


def test_just_enough_classes_are_taken() -> None:
    fitted = fit(enrolled(photos(CENTRES[:24], 3)), CELLS, RECIPE)
    assert isinstance(fitted.transform, CellsDraft)
    assert np.bincount(fitted.transform.groups.values).tolist() == [12, 12]


@pytest.mark.parametrize(
    "options",
    [
        {"classes_per_group": 1},
        {"classes_per_group": 12, "anchors": "photo"},
        {"classes_per_group": 12, "anchors_each": 0},
        {"classes_per_group": 12, "over_ask": 0.5},
        {"classes_per_group": 12, "over_ask": float("nan")},
        {"classes_per_group": 12, "surprise": 1},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CellsOptions.model_validate(options)


def test_every_class_is_dealt_out_over_the_folds() -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    place = folds(labels, 5)
    assert sorted(place[:5].tolist()) == [0, 1, 2, 3, 4]
    assert place[6] != place[7]
    assert place[8] == -1


def test_photos_that_are_tried_were_not_fitted_on() -> None:
    """A class with two photos is known by the other one, so no photo is as good as equal to what is known."""
    taken = photos(CENTRES[:10], 2)
    made = splits(taken.raw, taken.labels, RECIPE)
    assert sorted(np.concatenate([split.rows for split in made]).tolist()) == list(range(20))
    for split in made:
        assert np.array_equal(split.asked_labels, taken.labels[split.rows])
        assert (split.asked @ split.known.T).max() < 0.99


def test_one_photo_a_class_leaves_none_out() -> None:
    single = photos(CENTRES, 1)
    assert splits(single.raw, single.labels, RECIPE) == []
    assert isinstance(fit(enrolled(single), CELLS, RECIPE).transform, CellsDraft)


def test_similarity_to_a_class_is_that_to_its_nearest_prototype() -> None:
    taken = photos(CENTRES[:6], 4)
    prototypes = fit_prototypes(taken.raw, taken.labels, 3)
    every = taken.raw @ prototypes.features.T
    best = np.stack([every[:, prototypes.owners == number].max(axis=1) for number in range(6)], axis=1)
    assert np.array_equal(class_similarities(taken.raw, prototypes), best)


def judged(features: Floats) -> Floats:
    """What is compared with the threshold."""
    similarity = class_similarities(features, shop().fit.prototypes).max(axis=1)
    return known_scores(features, similarity, leading_coordinates(60))


def test_the_threshold_rejects_outsiders_and_keeps_the_gallery() -> None:
    taken = shop()
    inside = judged(taken.features)
    # further classes of the same kind of world
    strangers = photos(means(200, 32, seed=99), 3, seed=5).raw
    outside = judged(whiten(strangers, taken.fit.whitening))
    assert -1 < taken.fit.unknown_below < 1
    assert (inside >= taken.fit.unknown_below).mean() > 0.98
    assert (outside < taken.fit.unknown_below).mean() > 0.5


def test_too_few_photos_to_say_reject_nothing() -> None:
    taken = photos(CENTRES[:10], 4)
    assert fit_threshold(splits(taken.raw, taken.labels, RECIPE), RECIPE) == -1
    assert fit_threshold([], RECIPE) == -1


def test_names_and_infos_keep_their_places() -> None:
    taken = replace(enrolled(KNOWN), infos=tuple({"number": number, "a": "é"} for number in range(60)))
    fitted = fit(taken, CELLS, Recipe(dimensions=24, prototypes=1))
    assert fitted.names == taken.classes
    assert fitted.infos[7] == '{"a":"é","number":7}'.encode()
    assert fitted.owners.values.tolist() == list(range(60))
