from __future__ import annotations

import io
import re
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from enfpire.audit.findings import (
    Attacked,
    AuditReport,
    Averaged,
    Batch,
    Figure,
    Inverted,
    Kinds,
    Leak,
    Metadata,
    Outsiders,
    PolicyAudit,
    Remembered,
    Repeated,
    Walk,
)
from enfpire.audit.page import page
from enfpire.audit.plots import MOST_BARS, memory_plot
from enfpire.audit.summary import percent, print_summary, ranged, size

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = '<img src="http://evil.example/x.png" onerror=alert(1)>{{ 7 * 7 }}$x_1$ & [bold]'
COUNTS = (1, 2, 5, 10, 20)
SECTIONS = [
    *("headline", "frontier", "posteriors", "repeats", "averaging", "kinds", "batches", "attackers"),
    *("leak", "inversion", "outsiders", "metadata", "walk", "limits"),
]
ALWAYS = ["headline", "frontier", "attackers", "limits"]


def figure(value: float, half: float = 0.01) -> Figure:
    return Figure(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


def policy(name: str = "alike", server: float = 0.08, bound: float = 0.1, **more: Any) -> PolicyAudit:
    attacked = Attacked(attacker="Bayes", accuracy=figure(server), accuracy_in_five=figure(0.4))
    values: dict[str, Any] = {
        "name": name,
        "data": "shop",
        "transform": "cells",
        "setting": "3 groups, 30 anchors",
        "groups": 3,
        "candidates": 10.0,
        "bundle_bytes": 123_456,
        "bundle_only_accuracy": 0.123,
        "unprotected_accuracy": 0.95,
        "user_accuracy": 0.94,
        "user": figure(0.94),
        "retention": 0.94 / 0.95,
        "retained": figure(0.94 / 0.95),
        "server_bound": bound,
        "server_measured": server,
        "server": figure(server),
        "attackers": (attacked,),
        "efficiency": 0.9,
        "bytes_up": 1.2,
        "bytes_down": 3456.0,
    }
    return PolicyAudit(**values | more)


FINDINGS: dict[str, Any] = {
    "worst_group": 0.14,
    "class_posteriors": tuple(0.05 + 0.003 * place for place in range(30)),
    "class_groups": tuple(place % 3 for place in range(30)),
    "leak": Leak(
        min_entropy_leakage=1.1,
        min_capacity=1.58,
        mutual_information=1.2,
        worst_posterior=0.14,
        anonymity=9.5,
        anonymity_bits=3.21,
        worst_anonymity=7.4,
        smallest_group=10,
        kinds_in_group=1,
        kinds_bits=0.34,
    ),
    "kinds": Kinds(accuracy=figure(0.68), prior=0.35),
    "repeated": tuple(
        Repeated(photos=n, memory=figure(0.1), no_memory=figure(0.1 + n / 100), bound=min(1, 3**n / 30)) for n in COUNTS
    ),
    "remembered": tuple(
        Remembered(slack=slack, accuracy=figure(0.3 - slack), retention=1 - slack, asked=0.4)
        for slack in (0.0, 0.1, 0.2)
    ),
    "mixed_stream_retention": 0.987,
    "slack": 0.15,
    "averaged": tuple(Averaged(messages=n, one_photo=figure(n / 40), one_class=figure(n / 50)) for n in COUNTS),
    "batches": (Batch(photos=5, bits=3.2, accuracy=figure(0.9), prior=0.89, auc=0.77),),
    "inverted": Inverted(cosine=figure(0.42), baseline=0.11, named=0.083),
    "metadata": Metadata(
        request_sizes_tell=False,
        group_from_reply_size=0.71,
        bits_from_reply_size=0.9,
        group_from_unpadded_size=0.93,
        bits_from_unpadded_size=1.5,
    ),
    "outsiders": Outsiders(auroc=figure(0.891), accepted=0.31, told_by_message=0.56),
    "walk": Walk(steps=20, walks=5000, worst=figure(0.021), mean=0.019, last=0.02, area=0.22, area_prior=0.07),
}
VECTOR = policy("flat", 0.61, 1.0, transform="projection", setting="8 dimensions", groups=0)


def report(audited: PolicyAudit, *others: PolicyAudit, gallery: str = "shop", classes: int = 30) -> AuditReport:
    return AuditReport(
        gallery=gallery,
        bundle="ab" * 32,
        version="0123",
        photos=600,
        classes=classes,
        policy=audited,
        frontier=others,
    )


FULL = report(policy(**FINDINGS), policy("thin", 0.09), VECTOR)


@cache
def full_page() -> str:
    return page(FULL)


class Read(HTMLParser):
    """Elements with their attributes, in order; fails where one is closed that is not open, or not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, *names: str) -> list[str]:
        return [value or "" for _, attrs in self.found for name, value in attrs.items() if name in names]

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in self.found if tag == "section"]

    @property
    def alerts(self) -> int:
        return sum(attrs.get("role") == "alert" for _, attrs in self.found)


def drawings(text: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)  # noqa: S314 - we drew it


def test_everything_found_is_shown_in_order() -> None:
    read = Read(full_page())
    assert read.sections == SECTIONS
    assert len(drawings(full_page())) == 6
    for shown in (
        "94.0 %",
        "at most 10.0 %",
        "98.9 %",
        "98.7 %",
        "123.5 kB",
        "3.5 kB down",
        "12.3 % by itself",
        "0.77",
        "0.42",
        "0.891",
        "71.0 %",
        "1.58 bits",
        "3.21 bits",
        "7.4 classes",
        "0.34 bits",
        "93.0 % (1.50 bits)",
        "1 kind",
        "2.1 % (1.1 to 3.1 %)",
        "68.0 % (67.0 to 69.0 %)",
        "41.4 %",
        "86.9 %",
        "99.8 %",
        "other data",
    ):
        assert shown in read.text, shown


@pytest.mark.parametrize("left_out", ["kinds", "batches", "leak", "inverted", "outsiders", "metadata", "averaged"])
def test_what_was_not_found_is_not_shown(left_out: str) -> None:
    rest = {name: found for name, found in FINDINGS.items() if name not in {left_out, "remembered"}}
    section = {"inverted": "inversion", "averaged": "averaging"}.get(left_out, left_out)
    assert Read(page(report(policy(**rest)))).sections == [name for name in SECTIONS if name != section]


def test_what_is_not_promised_is_always_said() -> None:
    for one in (full_page(), page(report(VECTOR))):
        text = Read(one).text
        for name in ("linked batch", "Silence", "second message", "metadata", "Collusion", "lying gallery"):
            assert name in text


def test_a_vector_policy_without_findings_has_a_page() -> None:
    read = Read(page(report(VECTOR)))
    assert read.sections == ALWAYS
    assert read.alerts == 1
    assert "no bound is proved" in read.text
    assert "no bound" in read.text
    assert "did not measure batches" in read.text
    assert "efficiency" not in read.text


def test_the_group_that_is_told_best_is_marked() -> None:
    posteriors = tuple(0.2 if place == 7 else 0.1 for place in range(30))
    found: dict[str, Any] = {
        "worst_group": 0.14,
        "class_posteriors": posteriors,
        "class_groups": tuple(place // 10 + 3 for place in range(30)),
    }
    assert "group 3: told best" in Read(page(report(policy(**found)))).text
    found["class_groups"] = tuple(1 if place == 7 else 0 for place in range(30))
    assert "group 1: told best" in Read(page(report(policy(**found)))).text


def test_the_bundle_s_own_slack_is_marked() -> None:
    marked, bare = (memory_plot(policy(**FINDINGS | {"slack": slack})) for slack in (0.15, None))
    assert marked is not None
    assert bare is not None
    assert "this bundle" in Read(marked).text
    assert "this bundle" not in Read(bare).text
    assert marked != memory_plot(policy(**FINDINGS | {"slack": 0.05}))


def test_many_classes_are_an_outline() -> None:
    many = 4_000
    found: dict[str, Any] = {
        "class_posteriors": (0.01,) * many,
        "class_groups": tuple(place % 40 for place in range(many)),
    }
    text = page(report(policy(**found), classes=many))
    assert "drawn as a sorted outline" in Read(text).text
    assert "drawn as a sorted outline" not in Read(full_page()).text
    assert "group 0: told best" in Read(text).text
    assert len(text) < 300_000
    assert len(parsed(drawings(text)[1]).findall(".//*")) < 10 * MOST_BARS


def test_nothing_is_loaded_and_nothing_runs() -> None:
    text = full_page()
    read = Read(text)
    assert not {"script", "link", "img", "iframe", "object", "image", "base"} & {tag for tag, _ in read.found}
    assert read.attributes("src", "srcset", "data", "action") == []
    assert all(link.startswith("#") for link in read.attributes("href", "xlink:href"))
    assert all(link.startswith("#") for link in re.findall(r"url\((.*?)\)", text))
    assert "@import" not in text
    assert not [name for _, attrs in read.found for name in attrs if name.startswith("on")]
    namespaces = set(read.attributes("xmlns", "xmlns:xlink"))
    assert set(re.findall(r"https?://[^\"' <)]+", text)) <= namespaces


def test_drawings_are_xml_with_ids_of_their_own() -> None:
    text = full_page()
    for drawing in drawings(text):
        parsed(drawing)
        assert not re.search(r"#[0-9a-f]{6}\b", drawing), "a colour that the style sheet does not know"
    ids = Read(text).attributes("id")
    assert len(ids) == len(set(ids))
    wanted = {link[1:] for link in [*Read(text).attributes("xlink:href"), *re.findall(r"url\((.*?)\)", text)]}
    assert wanted <= set(ids)


def test_every_colour_has_a_light_and_a_dark_value() -> None:
    text = full_page()
    light, dark = (
        set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    )
    assert set(re.findall(r"var\((.*?)\)", text)) <= light == dark


def test_names_are_escaped() -> None:
    hostile = policy(
        HOSTILE,
        0.5,
        data=HOSTILE,
        setting=HOSTILE,
        transform=HOSTILE,
        attackers=(Attacked(attacker=HOSTILE, accuracy=figure(0.5), accuracy_in_five=figure(0.9)),),
    )
    text = page(report(hostile, gallery=HOSTILE))
    read = Read(text)
    assert "img" not in {tag for tag, _ in read.found}
    assert "<img" not in text
    assert read.text.count(HOSTILE) >= 6
    for drawing in drawings(text):
        parsed(drawing)


def test_an_attacker_above_the_bound_is_warned_of() -> None:
    beaten = policy("broken", 0.3, 0.1)
    read = Read(page(report(beaten)))
    assert read.alerts == 1
    assert "above the bound of 10.0 %" in read.text
    # and where it is another policy that is beaten
    read = Read(page(report(policy(), beaten)))
    assert read.alerts == 1
    assert [attrs["class"] for tag, attrs in read.found if tag == "tr" and "beaten" in str(attrs.get("class"))] == [
        " beaten"
    ]


def test_an_interval_that_reaches_the_bound_is_no_warning() -> None:
    assert Read(page(report(policy(server=0.105, bound=0.1)))).alerts == 0
    assert Read(full_page()).alerts == 0


def test_the_same_report_makes_the_same_bytes() -> None:
    assert full_page() == page(AuditReport.model_validate_json(FULL.model_dump_json()))


def test_extremes_can_be_drawn() -> None:
    useless = policy("useless", 0.0, 0.04, user_accuracy=0.0, user=figure(0), unprotected_accuracy=1.0, retention=0.0)
    perfect = policy("perfect", 1.0, 1.0, user_accuracy=1.0, user=figure(1), transform="identity")
    for audited, other in ((useless, perfect), (perfect, useless)):
        Read(page(report(audited, other, classes=1)))


@pytest.mark.parametrize(
    ("share", "written"), [(0.0864, "8.6 %"), (1.0, "100.0 %"), (0.00123, "0.12 %"), (0.0, "0.0 %"), (0.01, "1.0 %")]
)
def test_shares_are_written_as_per_cent(share: float, written: str) -> None:
    assert percent(share) == written


def test_figures_are_written_for_people() -> None:
    assert ranged(Figure(value=0.086, low=0.0021, high=0.1)) == "8.6 % (0.21 to 10.0 %)"
    assert [size(count) for count in (1.04, 364, 5910, 2.5e6)] == ["1.0 bytes", "364 bytes", "5.9 kB", "2.5 MB"]


def printed(one: AuditReport) -> str:
    console = Console(file=io.StringIO(), width=140)
    print_summary(console, one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_has_headline_and_frontier() -> None:
    text = printed(FULL)
    assert "600 photos of 30 classes" in text
    assert "at most 10.0 % (proved), 8.0 % (7.0 to 9.0 %)" in text
    rows = [line.split()[0] for line in text.splitlines() if line.endswith("123.5 kB  ")]
    assert rows == ["alike", "thin", "flat"]
    assert "none" in next(line for line in text.splitlines() if "flat" in line)
    assert "warning" not in text


def test_the_summary_lists_the_audited_policy_once() -> None:
    assert printed(report(policy(), policy(), VECTOR)).count("alike") == 1


def test_the_summary_warns_and_prints_names_as_they_are() -> None:
    assert "warning: broken" in printed(report(policy("broken", 0.3, 0.1)))
    assert "warning: flat: no bound" in printed(report(VECTOR))
    assert "[red]shop[/nothing]" in printed(report(policy(), gallery="[red]shop[/nothing]"))
