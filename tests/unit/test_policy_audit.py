"""The audit of a policy on a small synthetic gallery: what must hold whatever the photos are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest

from enfpire.audit.clients import fits_within, follow
from enfpire.audit.findings import PolicyAudit
from enfpire.audit.frontier import frontier
from enfpire.audit.labelled import Labelled
from enfpire.audit.outsider_findings import left_out, left_out_bases
from enfpire.audit.policy import Question, audit_policy, bound_of, bundle_only_accuracy
from enfpire.audit.streams import draw_rows, mixed_streams
from enfpire.audit.subject import Subject, group_scores, right_in_group, subject_of, unprotected_right
from enfpire.audit.walk_findings import linked_by
from enfpire.client.features import whiten
from enfpire.curation.cells import CellsOptions
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.fit import Options, VectorOptions, fit_base
from enfpire.curation.one_thread import one_thread
from enfpire.curation.transitions import Transitions, from_coordinates
from tests.unit.synthetic import CELLS, RECIPE, enrolled, fitted_shop, means, photos

KNOWN, ASKED = photos(means(60, 32), 6, seed=1), photos(means(60, 32), 10, spread=0.8, seed=2)
KINDS = np.arange(60) // 20
PRIORS = np.arange(1, 61) ** -0.5 / (np.arange(1, 61) ** -0.5).sum()
THIN = CellsOptions(classes_per_group=12, anchors="cell")


@pytest.fixture(autouse=True, scope="module")
def _few_clients() -> Iterator[None]:
    """Enough for 60 classes; what is cached here was simulated with as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enfpire.audit.cells.CLIENTS", 12_000)
        yield


@lru_cache
def subject(options: Options = CELLS) -> Subject:
    fitted = fitted_shop(options)
    known, asked = (Labelled(whiten(each.raw, fitted.whitening), each.labels) for each in (KNOWN, ASKED))
    return subject_of(fitted, known, asked)


@lru_cache
def audited(options: Options = CELLS, kinds: bool = True, deep: bool = True) -> PolicyAudit:
    declared = Declared(kinds=KINDS) if kinds else NOTHING
    with one_thread():
        return audit_policy(subject(options), Question("shop", "synthetic", declared, deep=deep))


def test_no_attacker_on_one_message_is_above_its_bound() -> None:
    found = audited()
    assert found.server_bound == pytest.approx(5 / 60)
    assert len(found.attackers) == 3
    for one in found.attackers:
        assert one.accuracy.low <= found.server_bound
        assert one.accuracy.value <= one.accuracy_in_five.value
    assert found.server_measured == max(one.accuracy.value for one in found.attackers)


def test_the_user_keeps_nearly_all_and_gets_what_is_counted() -> None:
    found = audited()
    assert found.retention == pytest.approx(found.user_accuracy / found.unprotected_accuracy)
    assert 0.93 < found.retention <= 1.01
    assert found.retained.value == pytest.approx(found.retention)
    assert found.retained.low < found.retention < found.retained.high
    assert found.candidates == pytest.approx(12)
    assert found.efficiency == pytest.approx(found.retention / (12 * 5 / 60))
    assert found.bundle_bytes == len(subject().signed.data)
    assert 0 < found.bytes_up < 5
    assert found.bytes_down > 10


def test_a_thin_bundle_says_nothing_by_itself_and_a_fat_one_all() -> None:
    thin, fat = audited(THIN, deep=False), audited()
    assert thin.bundle_only_accuracy < 0.12
    assert fat.bundle_only_accuracy > 0.7


def test_a_bundle_whose_anchors_have_few_dimensions_recognises_less() -> None:
    one = subject(CellsOptions(classes_per_group=12, anchors="class", anchor_dimensions=6))
    found = bundle_only_accuracy(one.signed.bundle, one.asked.vectors, one.asked.labels)
    assert 0.12 < found < audited().bundle_only_accuracy


def test_kinds_are_told_by_look_alike_groups_as_the_channel_says() -> None:
    found = audited()
    assert found.kind_prior == pytest.approx(1 / 3)
    assert found.kind_accuracy is not None
    assert found.kind_accuracy >= 1 / 3 - 0.05
    assert audited(kinds=False, deep=False).kind_accuracy is None


def test_photos_of_one_class_tell_more_the_more_there_are_and_less_with_memory() -> None:
    found = audited()
    alone = [found.repeats[str(count)]["no_memory"] for count in (1, 5, 20)]
    assert alone == sorted(alone)
    assert found.repeats["20"]["memory"] <= found.repeats["20"]["no_memory"] + 0.01
    assert found.repeated[0].bound == pytest.approx(5 / 60)
    assert all(one.memory.low <= one.bound and one.no_memory.low <= one.bound for one in found.repeated)


def test_what_a_message_leaves_open_is_counted() -> None:
    found = audited()
    assert found.leak is not None
    assert found.leak.worst_anonymity <= found.leak.anonymity
    assert 0 < found.leak.anonymity_bits <= np.log2(found.leak.anonymity) + 1e-9
    assert found.leak.kinds_in_group is not None
    assert found.leak.kinds_bits is not None
    assert 0 <= found.leak.kinds_bits <= np.log2(3)
    undeclared = audited(kinds=False, deep=False).leak
    assert undeclared is not None
    assert undeclared.kinds_bits is None


def test_padding_hides_the_group_from_an_onlooker() -> None:
    found = audited().metadata
    assert found is not None
    assert found.group_from_unpadded_size > found.group_from_reply_size
    assert found.bits_from_reply_size == pytest.approx(0, abs=1e-9)
    assert found.bits_from_unpadded_size > 0.1


def test_a_more_willing_memory_tells_less_and_answers_worse() -> None:
    ladder = audited().remembered
    assert ladder[0].slack == 0
    assert ladder[-1].accuracy.value < ladder[0].accuracy.value
    assert ladder[-1].retention < ladder[0].retention
    assert ladder[-1].asked < ladder[0].asked


def test_vectors_have_no_bound_and_are_attacked_by_all_that_learn() -> None:
    found = audited(VectorOptions(kind="projection", dimensions=8, candidates=12), kinds=False)
    assert found.server_bound == 1
    assert {one.attacker for one in found.attackers} == {"nearest prototype", "nearest labelled photos", "network"}
    assert found.server_measured > 0.4
    assert found.inverted is not None
    assert found.inverted.cosine.value > found.inverted.baseline + 0.2
    assert found.averaged[0].messages == 1
    assert found.leak is None


def test_averages_undo_noise() -> None:
    found = audited(VectorOptions(kind="noise", dimensions=8, epsilon=10.0, candidates=12), kinds=False)
    assert found.averaged[-1].one_photo.value > found.averaged[0].one_photo.value + 0.1


def test_declared_priors_have_their_own_bound() -> None:
    bundle = subject().signed.bundle
    assert bound_of(bundle) == pytest.approx(5 / 60)
    assert bound_of(bundle, PRIORS) == pytest.approx(PRIORS[:5].sum())


def test_under_declared_priors_everything_weighs_by_them() -> None:
    with one_thread():
        found = audit_policy(subject(), Question("shop", "synthetic", Declared(kinds=KINDS, priors=PRIORS)))
    assert all(one.accuracy.low <= found.server_bound for one in found.attackers)
    assert found.kind_prior == pytest.approx(PRIORS[:20].sum())
    first = found.repeated[0]
    assert first.bound == pytest.approx(5 * PRIORS[0])
    assert all(one.memory.low <= one.bound and one.no_memory.low <= one.bound for one in found.repeated)
    # with one photo there is nothing to remember, and the most popular class can be named without a message
    assert first.memory.value == pytest.approx(first.no_memory.value, abs=0.03)
    assert min(one.memory.value for one in found.repeated) > PRIORS[0]


def test_the_frontier_weighs_classes_as_the_audited_policy_does() -> None:
    drawn = [(f"{number}", each) for number, each in enumerate((CELLS, THIN))]
    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.setattr("enfpire.audit.frontier.policies", lambda *_: drawn)
        base = fit_base(enrolled(KNOWN), RECIPE)
        known, asked = (Labelled(whiten(each.raw, base.whitening), each.labels) for each in (KNOWN, ASKED))
        weighed, plain = (list(frontier(base, known, asked, "synthetic", print, each)) for each in (PRIORS, None))
    assert [one.server_bound for one in weighed] == pytest.approx([PRIORS[:5].sum()] * 2)
    assert [one.server_bound for one in plain] == pytest.approx([5 / 60] * 2)
    assert weighed[0].server_measured > plain[0].server_measured


def test_a_clients_stream_is_followed_photo_by_photo() -> None:
    scores = np.array([[1.0, 0.9], [0.9, 1.0]], np.float32)
    asked, answering = follow(scores, fits_within(scores, 0.2), np.array([[0, 1, 0], [1, 0, 1]]))
    assert asked.tolist() == [[0, -1, -1], [1, -1, -1]]
    assert answering.tolist() == [[0, 0, 0], [1, 1, 1]]
    strict, _ = follow(scores, fits_within(scores, 0.05), np.array([[0, 1, 0]]))
    assert strict.tolist() == [[0, 1, -1]]


def test_streams_draw_every_class_as_often() -> None:
    labels = np.repeat([0, 1, 2], [100, 10, 1])
    drawn = labels[draw_rows(labels, (300, 20), np.random.default_rng(0))]
    assert np.bincount(drawn.ravel()).min() > 1800


def test_a_stream_without_slack_answers_as_single_photos_do() -> None:
    one = subject()
    scores, right = group_scores(one, one.asked.vectors), right_in_group(one)
    found = mixed_streams(scores, 0.0, right, unprotected_right(one), one.asked.labels, np.random.default_rng(0))
    assert abs(found.retention - audited().retention) < 0.02


def test_classes_that_are_left_out_are_outsiders() -> None:
    bases = left_out_bases(enrolled(KNOWN), 12, RECIPE, draws=2)
    with one_thread():
        found = left_out(bases, CELLS, ASKED.raw, ASKED.labels, 60)
    assert 0.6 < found.auroc.value < 1
    assert found.auroc.low < found.auroc.value < found.auroc.high
    assert 0.3 < found.told_by_message < 0.8


def test_walks_are_attacked_where_transitions_are_declared() -> None:
    places = np.stack(np.divmod(np.arange(60), 10), axis=1).astype(np.float64)
    transitions = Transitions(subject().fit.names, from_coordinates(places, 1.0))
    found = audit_policy(
        subject(), Question("shop", "synthetic", Declared(transitions=transitions), linked_by(transitions), deep=False)
    )
    assert found.walk is not None
    # groups that ignore the map are undone by a filter over linked queries
    assert found.walk.worst.value > 3 * found.server_bound
    assert found.walk.area > found.walk.area_prior


def test_vectors_tell_outsiders_from_enrolled_classes() -> None:
    options = VectorOptions(kind="identity", candidates=12)
    found = left_out(left_out_bases(enrolled(KNOWN), 12, RECIPE, draws=1), options, ASKED.raw, ASKED.labels, 60)
    assert found.told_by_message > 0.6
