"""A client with a memory, photo after photo: what it asks, and whether what it holds answers rightly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.audit.clients import fits_within, follow
from enfpire.leakage.repeats import SILENCE
from enfpire.wire.arrays import Doubles, Floats, Indices

STREAMS = 2_000
PHOTOS = 20


@dataclass(frozen=True)
class Streamed:
    """Mean over streams of photos of many classes: accuracy over that without protection, and the share asked."""

    retention: float
    asked: float


def mixed_streams(
    scores: Floats, slack: float, right: Doubles, plain: Doubles, labels: Indices, random: np.random.Generator
) -> Streamed:
    """Streams of 20 photos, each of a class at random, begun with an empty memory.

    scores (n, G) of photos; right (n, G): whether the set of each group answers rightly; plain (n,): whether a service
    without protection does; labels (n,). Too willing a memory answers photos of a class that is in no set it holds.
    """
    rows = draw_rows(labels, (STREAMS, PHOTOS), random)
    asked, answering = follow(scores, fits_within(scores, slack), rows)
    answered = right[rows, answering].mean()
    return Streamed(float(answered / plain[rows].mean()), float((asked != SILENCE).mean()))


def draw_rows(labels: Indices, shape: tuple[int, int], random: np.random.Generator) -> Indices:
    """Rows of photos at random, every class as often as every other: any shape, from labels (n,)."""
    order = np.argsort(labels, kind="stable")
    counts = np.unique(labels, return_counts=True)[1]
    classes = random.integers(len(counts), size=shape)
    within = (random.random(shape) * counts[classes]).astype(np.intp)
    drawn: Indices = order[(np.cumsum(counts) - counts)[classes] + within]
    return drawn
