from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.curation.fit import VectorOptions
from enfpire.curation.largest import largest_around
from enfpire.curation.publish import cards, largest_set
from enfpire.wire.arrays import Array
from enfpire.wire.candidates import CandidateSet, collect, encode_set
from tests.unit.synthetic import shop

PROJECTION = VectorOptions(kind="projection", dimensions=4, candidates=10)


def card(name: str, info: int, prototypes: int, dimensions: int = 100) -> CandidateSet:
    """A class with a record of `info` bytes and so many prototypes."""
    return CandidateSet(
        names=(name,),
        infos=(b"1" * info,),
        counts=Array.of(np.array([prototypes]), "u1"),
        codes=Array.of(np.ones((prototypes, dimensions)), "i1"),
        scales=Array.of(np.ones(prototypes), "f4"),
    )


classes = st.builds(card, st.text(max_size=80), st.sampled_from([0, 200, 255, 256, 700]), st.integers(1, 16))


@given(st.lists(classes, min_size=1, max_size=12), st.integers(1, 14), st.data())
@settings(deadline=None)
def test_no_set_is_larger(made: list[CandidateSet], candidates: int, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(made))), min_size=1, max_size=candidates, unique=True))
    assert len(encode_set(collect([made[number] for number in sorted(chosen)]))) <= largest_around(made, candidates)


@pytest.mark.parametrize("candidates", [1, 3, 60, 100])
def test_classes_of_one_size_fill_it(candidates: int) -> None:
    made = [card(f"{number:03}é", 50, 4) for number in range(60)]
    assert len(encode_set(collect(made[:candidates]))) == largest_around(made, candidates)


def test_names_count_as_their_bytes() -> None:
    made = [card("é" * 30, 0, 1), card("e" * 40, 0, 1)]
    assert largest_around(made, 1) == len(encode_set(made[0])) > len(encode_set(made[1]))


def test_sets_around_vectors_are_nearly_as_large() -> None:
    taken = shop(PROJECTION)
    sizes = [len(found.body) for found in taken.lookup.around(taken.features[:, :4])]
    assert max(sizes) <= largest_around(cards(taken.fit), 10) == largest_set(taken.fit, [])
    assert np.mean(sizes) > 0.9 * largest_set(taken.fit, [])


def test_where_groups_travel_it_is_the_largest_of_their_sets() -> None:
    assert largest_set(shop().fit, [5, 700, 3]) == 700
