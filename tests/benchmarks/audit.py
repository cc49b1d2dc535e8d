"""`make audit`: every policy that this project promises something about, attacked.

Groceries and tower (where the development photos are there), a synthetic gallery of 4,000 classes, and a city of
32 x 32 spots. Writes out/audit/summary.json, and prints a table.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from enfpire.audit.findings import PolicyAudit
from enfpire.audit.labelled import Labelled
from enfpire.audit.outsider_findings import left_out, left_out_bases
from enfpire.audit.policy import Question, audit_policy
from enfpire.audit.subject import subject_of
from enfpire.audit.walk_findings import Linked
from enfpire.audit.walks import Steps
from enfpire.client.features import whiten
from enfpire.curation.cells import CellsOptions
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.fit import Base, Options, VectorOptions, fit_base, fit_transform
from enfpire.curation.held_out import Recipe
from enfpire.leakage.channel import uniform
from tests.benchmarks.photo_sets import PhotoSet, development_set, grocery_kinds, synthetic_set
from tests.benchmarks.walks import BLOCK, CITY_GROUPS, SIDE, city, tower_walks

OUT = Path("out/audit")
console = Console(stderr=True)

GROCERIES: dict[str, Options] = {
    "alike-7": CellsOptions(classes_per_group=11),
    "alike-4": CellsOptions(classes_per_group=20),
    "thin-7": CellsOptions(classes_per_group=11, anchors="cell", over_ask=1.7),
    "thin-4": CellsOptions(classes_per_group=20, anchors="cell", over_ask=1.45),
    "thin-7-int8": CellsOptions(classes_per_group=11, anchors="cell", anchors_each=4, int8=True, over_ask=1.4),
    "far-apart-7": CellsOptions(classes_per_group=11, cells_per_group=3, over_ask=1.2),
    "projection-8": VectorOptions(kind="projection", dimensions=8),
    "noise-16": VectorOptions(kind="noise", dimensions=16, epsilon=20),
    "sign-16": VectorOptions(kind="sign", dimensions=16),
    "identity": VectorOptions(kind="identity"),
}
DIVERSE = CellsOptions(classes_per_group=11, over_ask=1.2, most_kind=0.42)
REPEATS = CellsOptions(classes_per_group=11, over_ask=1.3, slack=0.42)
TOWER: dict[str, Options] = {
    "alike-10": CellsOptions(classes_per_group=12),
    "thin-10": CellsOptions(classes_per_group=12, anchors="cell", over_ask=1.7),
}
OUTSIDE = {"grocery81": 16, "tower120": 24}
DRAWS = 8


def attacked(
    photos: PhotoSet,
    base: Base,
    policies: dict[str, tuple[Options, Declared]],
    linked: Linked | None = None,
    outside: int = 0,
) -> Iterator[PolicyAudit]:
    """The audit of each policy on a photo set; `outside` classes are left out in turn for outsiders."""
    known = Labelled(base.fitted.features, photos.gallery_labels)
    asked = Labelled(whiten(photos.query, base.whitening), photos.query_labels)
    bases = left_out_bases(photos.enrolled(), outside, Recipe(), DRAWS) if outside else []
    for name, (options, declared) in policies.items():
        start = time.perf_counter()
        subject = subject_of(fit_transform(base, options, declared), known, asked)
        outsiders = left_out(bases, options, photos.query, photos.query_labels, len(photos.names)) if bases else None
        yield audit_policy(subject, Question(name, photos.name, declared, linked, outsiders))
        console.print(f"{photos.name} {name}: {time.perf_counter() - start:.0f} s", highlight=False)


def groceries() -> Iterator[PolicyAudit]:
    """The main set, its kinds known."""
    photos = development_set("grocery81")
    if photos is None:
        return
    kinds = Declared(kinds=grocery_kinds(photos.names))
    # kinds are known to every attacker; only `diverse` lets them shape its groups
    policies = {name: (options, kinds) for name, options in GROCERIES.items()}
    policies |= {"diverse-7": (DIVERSE, kinds), "repeats-7": (REPEATS, kinds)}
    yield from attacked(photos, fit_base(photos.enrolled(), Recipe()), policies, outside=OUTSIDE["grocery81"])


def tower() -> Iterator[PolicyAudit]:
    """Places whose photos come in sequence; floors are the areas."""
    photos = development_set("tower120")
    if photos is None:
        return
    transitions, linked = tower_walks(photos)
    policies = {name: (options, NOTHING) for name, options in TOWER.items()}
    policies["walks-10"] = (CellsOptions(classes_per_group=12, over_ask=2.0), Declared(transitions=transitions))
    yield from attacked(photos, fit_base(photos.enrolled(), Recipe()), policies, linked, outside=OUTSIDE["tower120"])


def synthetic() -> Iterator[PolicyAudit]:
    """S(4000, 256, 1.55): 40 groups, one anchor a cell."""
    photos = synthetic_set(4000, 256, 1.55)
    policies: dict[str, tuple[Options, Declared]] = {
        "synthetic-40": (CellsOptions(classes_per_group=100, anchors="cell", over_ask=1.5), NOTHING)
    }
    yield from attacked(photos, fit_base(photos.enrolled(), Recipe()), policies)


def city_spots() -> Iterator[PolicyAudit]:
    """The city; areas are blocks of 8 x 8 spots. Its spots look as S(1024, 256, w) does.

    With w = 1 every photo is routed to its group, as exact groups need; with w = 1.55 some go astray, and a photo that
    does tells more than one that does not.
    """
    for name, spread, asked in (("city", 1.0, 4), ("city-astray", 1.55, 20)):
        photos = synthetic_set(SIDE**2, 256, spread, asked=asked)
        transitions, spots = city(photos.names)
        x, y = spots.T
        areas = x // BLOCK * (SIDE // BLOCK) + y // BLOCK
        options = CellsOptions(classes_per_group=SIDE**2 // CITY_GROUPS, over_ask=1.5)
        linked = Linked(Steps(uniform(SIDE**2), transitions.matrix), areas)
        policies: dict[str, tuple[Options, Declared]] = {name: (options, Declared(transitions=transitions))}
        yield from attacked(photos, fit_base(photos.enrolled(), Recipe()), policies, linked)


def main() -> None:
    """Run all of it, or the parts that are named."""
    parts = {"groceries": groceries, "tower": tower, "synthetic": synthetic, "city": city_spots}
    chosen = sys.argv[1:] or list(parts)
    found = [policy for part in chosen for policy in parts[part]()]
    OUT.mkdir(parents=True, exist_ok=True)
    rows = [policy.model_dump(exclude={"class_posteriors", "class_groups"}) for policy in found]
    (OUT / "summary.json").write_text(json.dumps({"policies": rows}, indent=2) + "\n", encoding="utf-8")
    Console().print(_table(found))
    Console().print(f"written: {OUT / 'summary.json'}", highlight=False)


COLUMNS: dict[str, str] = {
    "groups": "{:.0f}",
    "candidates": "{:.1f}",
    "retention": "{:.2%}",
    "server_bound": "{:.2%}",
    "server_measured": "{:.2%}",
    "bundle_only_accuracy": "{:.1%}",
    "kind_accuracy": "{:.1%}",
    "mixed_stream_retention": "{:.2%}",
    "outsider_auroc": "{:.3f}",
}


def _table(found: list[PolicyAudit]) -> Table:
    table = Table("data", "policy", *(name.replace("_", " ") for name in COLUMNS), "20 photos: memory, none", "walk")
    for policy in found:
        row: dict[str, Any] = policy.model_dump()
        cells = [form.format(row[name]) if row[name] is not None else "" for name, form in COLUMNS.items()]
        repeats = policy.repeats.get("20")
        walk = policy.walk
        table.add_row(
            policy.data,
            policy.name,
            *cells,
            f"{repeats['memory']:.1%}, {repeats['no_memory']:.1%}" if repeats else "",
            f"{walk.worst.value:.2%} (to {walk.worst.high:.2%}), area {walk.area:.1%}" if walk else "",
        )
    return table


if __name__ == "__main__":
    main()
