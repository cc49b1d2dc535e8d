"""Calibration: the cheapest policy of `cells` that meets all targets, on photos that were left out of its fit.

Every part of a fit is made three times on two thirds of the gallery photos, and tried on the third. A fit on all photos
has half as many again, so the figures are rather too low than too high.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Literal

from threadpoolctl import threadpool_limits

from enfpire.curation.cells import CellsOptions
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Fit, check_classes, fit_base, fit_transform
from enfpire.curation.held_out import Recipe
from enfpire.curation.outcomes import Outcome, cheapest_first
from enfpire.curation.policies import LADDER, Rung, Targets
from enfpire.curation.search import Progress, Search
from enfpire.curation.trials import make_fold, thirds
from enfpire.errors import GalleryError

Way = Literal["cells", "download", "bundle"]

RUNNERS_UP = 3


@dataclass(frozen=True)
class Calibration:
    """The policy that was chosen, or the nearest where none meets the targets; and what else there is.

    `others` are the next ones; `bundle_only` is the smallest bundle that recognises well enough by itself, where there
    is one. `download_bytes` are the gallery's classes, `shared_bytes` what any bundle holds besides anchors. `fit` is
    the chosen policy on all photos, with its figures; None where it does not meet the targets.
    """

    targets: Targets
    chosen: Outcome
    others: tuple[Outcome, ...]
    bundle_only: Outcome | None
    download_bytes: int
    shared_bytes: int
    fit: Fit | None = field(repr=False)

    @property
    def break_even(self) -> int:
        """Photos after which a client that remembers nothing had better downloaded the gallery."""
        return ceil(self.download_bytes / self.chosen.bytes_per_photo)

    def recommended(self, photos: int) -> Way:
        """The best way for clients that ask about so many photos each.

        Asking is pointless where the policy's own bundle recognises as well as is asked, and a download, which tells
        the server nothing, where it costs no more than the answers. Both hand out the gallery.
        """
        if self.fit is not None and self.chosen.bundle_only_retention >= self.targets.min_retention:
            return "bundle"
        return "download" if self.fit is None or photos >= self.break_even else "cells"


def calibrate(
    enrolled: Enrolled,
    targets: Targets,
    declared: Declared = NOTHING,
    recipe: Recipe | None = None,
    published: Fit | None = None,
    rungs: Sequence[Rung] = LADDER,
    progress: Progress = lambda *_: None,
) -> Calibration:
    """Find the cheapest policy: fewest bytes a photo, to 2 %, and of those the smallest bundle.

    `published` keeps the groups of that fit; `rungs` are the anchors to try, thin first. `progress(what, done, total)`
    is called as it goes on. Raises `GalleryError` where the gallery is too small to be calibrated.
    """
    left_out = thirds(enrolled.labels)
    if not left_out:
        raise GalleryError("a calibration tries photos that the fit has not seen: enrol two photos a class at least")
    check_classes(len(enrolled.classes), CellsOptions(classes_per_group=2))
    used = recipe or Recipe()
    with threadpool_limits(1), ThreadPoolExecutor(min(len(left_out), os.cpu_count() or 1)) as pool:
        base = fit_base(enrolled, used)
        folds = []
        for fold in pool.map(partial(make_fold, enrolled, recipe=used), left_out):
            folds.append(fold)
            progress("folds", len(folds), len(left_out))
        search = Search(base, folds, targets, declared, published, rungs, pool)
        tried = cheapest_first(search.run(progress), targets)
        chosen, met = tried[0], not tried[0].misses(targets)
        return Calibration(
            targets=targets,
            chosen=chosen,
            others=tuple(tried[1 : 1 + RUNNERS_UP]),
            bundle_only=smallest_by_itself(tried, targets),
            download_bytes=search.download_bytes,
            shared_bytes=search.shared_bytes,
            fit=_with_figures(fit_transform(base, chosen.options, declared, published), chosen, targets)
            if met
            else None,
        )


def smallest_by_itself(tried: Sequence[Outcome], targets: Targets) -> Outcome | None:
    """The policy with the smallest bundle that keeps the retention without asking."""
    enough = [one for one in tried if one.bundle_only_retention >= targets.min_retention]
    return min(enough, key=lambda one: one.bundle_bytes, default=None)


def _with_figures(fit: Fit, outcome: Outcome, targets: Targets) -> Fit:
    return fit.model_copy(update={"figures": outcome.figures(targets)})
