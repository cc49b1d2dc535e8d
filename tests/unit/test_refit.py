"""What a refit costs, against a count by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.leakage.refit import Refit, moved, refit_of
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import DIGEST_BYTES, Cells, member_of
from tests.wire import samples

Groups = list[list[int]]


def cells(groups: Groups) -> Cells:
    return Cells(
        anchors=Array.of(np.zeros((len(groups), 2)), "f2"),
        routes=Array.of(np.arange(len(groups)), "u4"),
        classes=Array.of(np.array([len(group) for group in groups]), "u4"),
        members=b"".join(one for group in groups for one in sorted(member_of(str(name)) for name in group)),
        digests=bytes(DIGEST_BYTES * len(groups)),
    )


@st.composite
def groupings(draw: st.DrawFn, least: int = 1) -> Groups:
    sizes = draw(st.lists(st.integers(1, 6), min_size=least, max_size=6))
    names = iter(range(sum(sizes)))
    return [[next(names) for _ in range(size)] for size in sizes]


def test_the_figures_of_a_plain_case() -> None:
    old = cells([[0, 1, 2, 3], [4, 5, 6], [7, 8]])
    new = cells([[0, 1, 4], [2, 5, 6], [3, 7, 9, 10], [11]])
    # group 0 is spread over three groups; 2, 3 and 4 moved; 8 is gone; 9, 10 and 11 are new
    assert moved(old, new) == Refit(moved=3, added=3, removed=1, bits=log2(3), most_bits=log2(4))


@settings(max_examples=60, deadline=None)
@given(st.data(), groupings())
def test_adding_and_removing_classes_moves_nobody(data: st.DataObject, groups: Groups) -> None:
    kept = [data.draw(st.lists(st.sampled_from(group), min_size=1, unique=True)) for group in groups]
    gone = sum(map(len, groups)) - sum(map(len, kept))
    places = data.draw(st.lists(st.integers(0, len(groups) + 1), max_size=8))
    later = [*kept, [900], [901]]
    for name, place in enumerate(places, 1000):
        later[place].append(name)
    found = moved(cells(groups), cells(later))
    assert found == Refit(moved=0, added=2 + len(places), removed=gone, bits=0.0, most_bits=0.0)


@settings(max_examples=60, deadline=None)
@given(st.data(), groupings(least=2))
def test_a_permutation_of_groups_moves_their_classes(data: st.DataObject, groups: Groups) -> None:
    order = data.draw(st.permutations(range(len(groups))))
    found = moved(cells(groups), cells([groups[place] for place in order]))
    assert found.moved == sum(len(groups[place]) for number, place in enumerate(order) if number != place)
    # whole groups stay together: who knows the old number knows the new one
    assert found.bits == 0
    assert found.most_bits == (log2(len(groups)) if found.moved else 0)


@settings(max_examples=60, deadline=None)
@given(groupings(), groupings())
def test_the_bits_are_those_of_the_most_scattered_group(old: Groups, new: Groups) -> None:
    names = {name for group in new for name in group}
    scattered = [{place for place, other in enumerate(new) if set(group) & set(other)} for group in old]
    found = moved(cells(old), cells(new))
    assert found.bits == log2(max(1, *map(len, scattered)))
    assert found.bits <= log2(len(new)) or not found.moved
    assert found.removed == sum(name not in names for group in old for name in group)


def test_another_gallery_altogether_has_nothing_in_common() -> None:
    assert moved(cells([[0, 1]]), cells([[2], [3]])) == Refit(0, 2, 2, 0.0, 0.0)


def test_vectors_are_the_same_under_the_same_tables_only() -> None:
    old = samples.projection_bundle()
    later = old.model_copy(update={"version": "f" * 12, "classes": 6, "figures": {}})
    assert refit_of(old, later) == Refit(0, 0, 0, 0.0, 0.0)
    turned = old.transform.model_copy(update={"basis": Array.of(np.array([[0.0], [1.0]]), "f2")})
    other = later.model_copy(update={"transform": turned})
    # a float16 coordinate has 16 bits
    assert refit_of(old, other) == Refit(6, 0, 0, 16.0, 16.0)
    whitened = later.model_copy(
        update={"whitening": old.whitening.model_copy(update={"mean": Array.of(np.ones(3), "f4")})}
    )
    assert refit_of(old, whitened).moved


@pytest.mark.parametrize("old", [samples.projection_bundle(), samples.bundle()])
def test_another_transform_moves_everything(old: object) -> None:
    bundles = {samples.projection_bundle().transform.kind: samples.projection_bundle(), "cells": samples.bundle()}
    (new,) = [bundle for bundle in bundles.values() if bundle != old]
    assert refit_of(old, new).moved == new.classes  # type: ignore[arg-type]
