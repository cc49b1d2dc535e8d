"""What linked queries tell: a city of 32 x 32 spots, and the recordings of tower120.

python -m tests.benchmarks.walks [folder of tower120]
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from enfpire.audit.walk_findings import Linked
from enfpire.audit.walks import Named, Steps, attack_walks, draw_walks, exact
from enfpire.curation.clustering import equal_sizes
from enfpire.curation.equitable import area_share, equitable_groups, mismatch
from enfpire.curation.foldings import slow_modes
from enfpire.curation.transitions import Sparse, Transitions, from_coordinates, from_weights
from enfpire.leakage.channel import uniform
from enfpire.wire.arrays import Doubles, Indices
from tests.benchmarks.photo_sets import PhotoSet, development_set

SIDE, REACH, QUERIES, CITY_GROUPS = 32, 2.0, 20, 16
BLOCK = 8
CITY_WALKS = 20_000
TOWER_GROUPS = 10
# A user of the tower may take a lift: this share of steps leads anywhere.
JUMPS = 0.01

Figures = dict[str, Any]


def city(names: tuple[str, ...] | None = None) -> tuple[Transitions, Indices]:
    """The city's transitions, its spots named by `names` or by their place, and the spots' coordinates (1024, 2).

    A step leads to one of the other spots within a distance of 2 on the map, each as likely; nothing else is told.
    """
    spots = np.stack(np.divmod(np.arange(SIDE**2), SIDE), axis=1)
    matrix = from_coordinates(spots.astype(np.float64), REACH)
    return Transitions(names or tuple(f"{x}-{y}" for x, y in spots.tolist()), matrix), spots


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


def tower_walks(photos: PhotoSet, queries: int = QUERIES) -> tuple[Transitions, Linked]:
    """The query photos of tower120 as one walk, recording by recording, in the order of their frames.

    Frame numbers start anew in every folder: no recording leads from one class to another. So the walk takes the
    classes by name, floor by floor, and the gallery tells how long a visit is: from a class to itself once a frame, and
    to the next class once (from the last to the first). `queries` in a row are linked, wherever they start; the
    stretches overlap, so that intervals are narrower than they should be.
    """
    transitions = Transitions(photos.names, _tour(np.bincount(photos.gallery_labels)))
    order = np.lexsort((np.array(photos.files), photos.query_labels))
    floors = np.unique([name.split("_")[0] for name in photos.names], return_inverse=True)[1].astype(np.intp)
    steps = Steps(uniform(len(photos.names)), transitions.matrix, JUMPS)
    return transitions, Linked(steps, floors, np.lib.stride_tricks.sliding_window_view(order, queries))


def tower_walk_figures(photos: PhotoSet, groups: int = TOWER_GROUPS) -> Figures:
    """The real sequences of tower120 under several partitions, every photo routed to its class's group."""
    transitions, linked = tower_walks(photos)
    assert linked.photos is not None
    walks, sizes = photos.query_labels[linked.photos], equal_sizes(len(photos.names), groups)
    partitions = {
        "equitable": equitable_groups(transitions, groups),
        "random": np.random.default_rng(0).permutation(np.repeat(np.arange(groups), sizes)),
        "neighbours": np.repeat(np.arange(groups), sizes),
    }
    found = {name: _figures(linked.steps, walks, each, linked.areas) for name, each in partitions.items()}
    return {"walks": len(walks), "queries": QUERIES, "bound_of_one": groups / len(photos.names), "of": found}


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


def main() -> None:
    """Print the figures as JSON."""
    figures = {"city": city_walk_figures()}
    photos = development_set("tower120")
    if photos is not None:
        figures["tower"] = tower_walk_figures(photos)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
