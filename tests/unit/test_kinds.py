from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from enfpire.audit.kinds import KindLeak, kind_attack, kind_prior, kind_vulnerability
from enfpire.curation.kinds import number_kinds, read_kinds
from enfpire.errors import UsageError
from enfpire.leakage.channel import channel_of

CLASSES, EACH = 60, 40
LABELS = np.repeat(np.arange(CLASSES), EACH)
KINDS = np.repeat([0, 1, 2], [20, 10, 30])


def test_groups_of_one_kind_tell_it() -> None:
    found = kind_attack(np.repeat(np.arange(6), 10)[LABELS], LABELS, KINDS, values=6)
    assert (found.accuracy, found.prior) == pytest.approx((1, 0.5))
    assert found.low > 0.99


def test_groups_of_all_kinds_tell_nothing() -> None:
    """Every group has the same share of each kind."""
    found = kind_attack((np.arange(CLASSES) % 10)[LABELS], LABELS, KINDS, values=10)
    assert (found.accuracy, found.prior) == pytest.approx((0.5, 0.5))
    assert found.low <= 0.5 <= found.high


def test_random_messages_tell_nothing() -> None:
    found = kind_attack(np.random.default_rng(0).integers(0, 6, len(LABELS)), LABELS, KINDS, values=6)
    assert found.accuracy < found.prior + 0.02


def test_messages_that_come_once_are_not_learned_by_heart() -> None:
    messages = np.random.default_rng(3).permutation(len(LABELS))
    assert kind_attack(messages, LABELS, KINDS, values=len(LABELS)).accuracy < 0.52


def test_noisy_groups_have_their_closed_form() -> None:
    """Two kinds, as many classes; one message in five is of the other kind's group."""
    random, kinds = np.random.default_rng(1), np.arange(CLASSES) % 2
    messages = np.where(random.random(len(LABELS)) < 0.8, LABELS % 2, 1 - LABELS % 2)
    found = kind_attack(messages, LABELS, kinds, values=2)
    assert found.low <= 0.8 <= found.high
    assert kind_vulnerability(channel_of(messages, LABELS, 2), kinds) == pytest.approx(found.accuracy, abs=0.01)


def test_a_kind_of_many_photos_is_no_better_a_guess() -> None:
    """Nine photos in ten are of the one class of kind 0: the prior is by classes, not photos."""
    labels = np.repeat([0, 1, 2], [900, 50, 50])
    found = kind_attack(np.zeros(1000, dtype=np.intp), labels, np.array([0, 1, 1]), values=1)
    assert (found.accuracy, found.prior) == pytest.approx((2 / 3, 2 / 3))


def test_a_declared_prior_counts() -> None:
    prior = np.where(np.arange(CLASSES) < 20, 0.03, 0.01)
    found = kind_attack(np.zeros(len(LABELS), dtype=np.intp), LABELS, KINDS, values=1, prior=prior)
    assert (found.accuracy, found.prior) == pytest.approx((0.6, 0.6))


def test_only_classes_with_photos_count() -> None:
    assert kind_prior(KINDS, np.arange(25)) == pytest.approx(20 / 25)


def test_learned_and_known_agree() -> None:
    random = np.random.default_rng(2)
    rows = random.dirichlet(np.full(6, 0.3), CLASSES)
    labels = np.repeat(np.arange(CLASSES), 400)
    messages = (random.random(len(labels))[:, None] > np.cumsum(rows, axis=1)[labels, :-1]).sum(axis=1)
    found = kind_attack(messages, labels, KINDS, values=6)
    assert found.accuracy == pytest.approx(kind_vulnerability(channel_of(messages, labels, 6), KINDS), abs=0.01)
    assert found == KindLeak(found.accuracy, found.low, found.high, 0.5)


def test_kinds_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "kinds.csv").write_text("class,title,kind\nmilk,Milch, dairy \napple,Apfel,fruit\n", encoding="utf-8")
    found = read_kinds(tmp_path / "kinds.csv")
    assert found == {"milk": "dairy", "apple": "fruit"}
    numbers, names = number_kinds(found, ["apple", "milk"])
    assert (numbers.tolist(), names) == ([1, 0], ("dairy", "fruit"))


def test_kinds_of_json_lines(tmp_path: Path) -> None:
    lines = '{"class": "milk", "kind": "dairy", "fat": 3}\n\n{"kind": "fruit", "class": "apple"}\n'
    (tmp_path / "kinds.jsonl").write_text(lines, encoding="utf-8")
    assert read_kinds(tmp_path / "kinds.jsonl") == {"milk": "dairy", "apple": "fruit"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("k.csv", "class,sort\nmilk,dairy\n", "line 2 .* no text 'kind'"),
        ("k.csv", "class,kind\nmilk,\n", "line 2 .* no text 'kind'"),
        ("k.csv", "class,kind\nmilk,a\nmilk,b\n", "line 3 .* class milk has a kind already"),
        ("k.csv", "name,kind\nmilk,a\n", "no column named 'class'"),
        ("k.jsonl", '{"class": "milk", "kind": 3}', "line 1 .* no text 'kind'"),
        ("k.jsonl", '{"class": "milk", "kind": " "}', "line 1 .* no text 'kind'"),
        ("k.txt", "", "a kind is read from .csv or .jsonl"),
    ],
)
def test_kinds_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_kinds(tmp_path / name)


def test_every_class_needs_a_kind() -> None:
    with pytest.raises(UsageError, match="2 classes have no kind, the first pear"):
        number_kinds({"milk": "dairy"}, ["milk", "pear", "plum"])
