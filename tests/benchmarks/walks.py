"""What linked queries tell: a city of 32 x 32 spots, and the recordings of tower120.

python -m tests.benchmarks.walks [folder of tower120]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from enfpire.audit.walks import Named, Steps, attack_walks, draw_walks, exact
from enfpire.client.photos import find_photos
from enfpire.curation.clustering import equal_sizes
from enfpire.curation.equitable import area_share, equitable_groups, mismatch
from enfpire.curation.foldings import slow_modes
from enfpire.curation.transitions import Sparse, Transitions, from_coordinates, from_weights
from enfpire.leakage.channel import Doubles, uniform
from enfpire.wire.arrays import Indices

SIDE, REACH, QUERIES, CITY_GROUPS = 32, 2.0, 20, 16
BLOCK = 8
CITY_WALKS = 20_000
TOWER_GROUPS = 10
# A user of the tower may take a lift: this share of steps leads anywhere.
JUMPS = 0.01

Figures = dict[str, Any]


def city() -> tuple[Transitions, Indices]:
    """The city's transitions, and the spots' coordinates (1024, 2).

    A step leads to one of the other spots within a distance of 2 on the map, each as likely; nothing else is told.
    """
    spots = np.stack(np.divmod(np.arange(SIDE**2), SIDE), axis=1)
    matrix = from_coordinates(spots.astype(np.float64), REACH)
    return Transitions(tuple(f"{x}-{y}" for x, y in spots.tolist()), matrix), spots


def city_walk_figures(walks: int = CITY_WALKS, seed: int = 0) -> Figures:
    """Twenty linked queries in the city, walks that start anywhere, each spot as likely.

    Groups of 64 spots: equitable ones, found from the transitions alone, against some that ignore the map or follow it.
    """
    transitions, spots = city()
    x, y = spots.T
    areas = x // BLOCK * (SIDE // BLOCK) + y // BLOCK
    chosen = equitable_groups(transitions, CITY_GROUPS)
    partitions = {
        "equitable": chosen,
        "equitable, area ignored": equitable_groups(transitions, CITY_GROUPS, area_weight=0),
        "equitable, area first": equitable_groups(transitions, CITY_GROUPS, area_weight=1),
        "random": np.random.default_rng(seed).permutation(SIDE**2) % CITY_GROUPS,
        "tiles": x % 4 * 4 + y % 4,
        "stripes": x % CITY_GROUPS,
    }
    steps = Steps(uniform(SIDE**2), transitions.matrix)
    drawn = draw_walks(steps, walks, QUERIES, np.random.default_rng(seed))
    found = {name: _figures(steps, drawn, groups, areas) for name, groups in partitions.items()}
    found["equitable, memory"] = _figures(steps, drawn, chosen, areas, memory=True)
    steady = Steps(_steady(transitions.matrix), transitions.matrix)
    settled = draw_walks(steady, walks, QUERIES, np.random.default_rng(seed))
    found["equitable, steady start"] = _figures(steady, settled, chosen, areas)
    return {"walks": walks, "queries": QUERIES, "start": "uniform", "bound_of_one": CITY_GROUPS / SIDE**2, "of": found}


def _steady(matrix: Sparse) -> Doubles:
    """Steady state of a walk to any neighbour: in proportion to the number of neighbours."""
    neighbours = np.diff(matrix.indptr).astype(np.float64)
    shares: Doubles = neighbours / neighbours.sum()
    return shares


def tower_walk_figures(folder: Path, groups: int = TOWER_GROUPS, queries: int = QUERIES, seed: int = 0) -> Figures:
    """The query photos of tower120 as one walk, recording by recording, in the order of their frames.

    Frame numbers start anew in every folder: no recording leads from one class to another. So the walk takes the
    classes by name, floor by floor, and the gallery tells how long a visit is: from a class to itself once a frame,
    and to the next class once (from the last to the
    first). `queries` in a row are linked, wherever they start; the stretches overlap, so that
    intervals are narrower than they should be.
    """
    names, visits, frames = _recordings(folder)
    transitions = Transitions(names, _tour(frames))
    walk = np.repeat(np.arange(len(names)), visits)
    walks = np.lib.stride_tricks.sliding_window_view(walk, queries)
    floors = np.unique([name.split("_")[0] for name in names], return_inverse=True)[1].astype(np.intp)
    steps = Steps(uniform(len(names)), transitions.matrix, JUMPS)
    sizes = equal_sizes(len(names), groups)
    partitions = {
        "equitable": equitable_groups(transitions, groups),
        "random": np.random.default_rng(seed).permutation(np.repeat(np.arange(groups), sizes)),
        "neighbours": np.repeat(np.arange(groups), sizes),
    }
    found = {name: _figures(steps, walks, each, floors) for name, each in partitions.items()}
    return {"walks": len(walks), "queries": queries, "bound_of_one": groups / len(names), "of": found}


def _recordings(folder: Path) -> tuple[tuple[str, ...], Indices, Indices]:
    """Class names in order, how many query photos each has, and how many gallery photos."""
    names = sorted(path.name for path in (folder / "gallery").iterdir() if path.is_dir())
    counts = [[len(find_photos(folder / part / name)) for name in names] for part in ("query", "gallery")]
    return tuple(names), np.array(counts[0]), np.array(counts[1])


def _tour(frames: Indices) -> Sparse:
    following = np.roll(np.eye(len(frames)), 1, axis=1)
    return from_weights(csr_array(np.diag(frames - 1.0) + following))


def _figures(steps: Steps, walks: Indices, groups: Indices, areas: Indices, memory: bool = False) -> Figures:
    found = attack_walks(steps, walks, exact(groups), areas, memory)
    return {
        **_named("class", found.classes),
        **_named("area", found.areas),
        "mismatch": mismatch(steps.matrix, groups),
        "area_share": area_share(slow_modes(steps.matrix, 15), groups),
    }


def _named(what: str, named: Named) -> Figures:
    worst = named.worst
    return {
        f"{what}_worst": float(named.share[worst]),
        f"{what}_worst_high": float(named.high.max()),
        f"{what}_mean": float(named.share.mean()),
        f"{what}_prior": float(named.prior.max()),
        f"{what}_worst_position": worst + 1,
    }


def main(arguments: list[str]) -> None:
    """Print the figures as JSON."""
    figures = {"city": city_walk_figures()}
    if arguments:
        figures["tower"] = tower_walk_figures(Path(arguments[0]))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
