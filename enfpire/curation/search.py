"""The search of a calibration: which policies are tried, and which cannot win and are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from enfpire.curation.cells import CellsOptions
from enfpire.curation.choosing import Grouping
from enfpire.curation.declared import Declared
from enfpire.curation.fit import Base, Fit, choose_or_keep
from enfpire.curation.outcomes import Costs, Outcome, figure_names, outcome_at, retention_at
from enfpire.curation.policies import (
    ROUNDING,
    Rung,
    Targets,
    fewest_classes,
    larger_groups,
    over_asks,
    policies,
)
from enfpire.curation.pricing import bundle_bytes, download_bytes, planned_bytes, query_bytes, without_transform
from enfpire.curation.publish import cards
from enfpire.curation.trials import Fold, Trial, try_policy
from enfpire.leakage.channel import uniform
from enfpire.leakage.guarantee import claimed_bound, layered_bound, prior_bound
from enfpire.wire.arrays import Doubles

Progress = Callable[[str, int, int], None]


class Search:
    """Tries policies on all folds at once: as many groups as the targets allow first, thin bundles first."""

    def __init__(
        self,
        base: Base,
        folds: Sequence[Fold],
        targets: Targets,
        declared: Declared,
        published: Fit | None,
        rungs: Sequence[Rung],
        pool: Executor,
    ) -> None:
        self._base, self._folds, self._targets, self._declared = base, folds, targets, declared
        self._published, self._rungs, self._pool = published, rungs, pool
        self._plain = without_transform(base)
        self._cards = cards(self._plain)
        self.download_bytes, self.shared_bytes = download_bytes(self._cards), bundle_bytes(self._plain)

    def run(self, progress: Progress) -> list[Outcome]:
        """Outcomes of all policies that may win; of one at least."""
        tried: list[Outcome] = []
        sizes, rungs = self._sizes(), len(self._rungs)
        for place, size in enumerate(sizes):
            if self._too_dear(size, tried):
                continue
            for step, outcome in enumerate(self._try_size(size), 1):
                tried.append(outcome)
                progress("policies", place * rungs + step, len(sizes) * rungs)
        progress("policies", len(sizes) * rungs, len(sizes) * rungs)
        return tried

    def _sizes(self) -> tuple[int, ...]:
        """Classes a group, ascending."""
        if self._published is not None and isinstance(self._published.options, CellsOptions):
            return (self._published.options.classes_per_group,)
        classes, allowed = len(self._cards), self._targets.max_server_accuracy
        size = fewest_classes(classes, allowed * classes + ROUNDING)
        while self._declared.priors is not None and classes // size > 2 and self._mixes(size, self._declared.priors):
            size = fewest_classes(classes, classes // size - 1)
        return larger_groups(classes, size)

    def _mixes(self, size: int, priors: Doubles) -> bool:
        """Whether groups of so many classes tell too much under the priors, popular classes being with rare ones."""
        allowed = self._targets.max_server_accuracy + ROUNDING
        return (
            layered_bound(len(priors) // size, priors) > allowed
            or prior_bound(self._groups(self._base, size)[0], priors) > allowed
        )

    def _groups(self, base: Base, size: int) -> Grouping:
        options = CellsOptions(classes_per_group=size, most_kind=self._targets.most_kind)
        return choose_or_keep(base, options, self._declared, self._published)

    def _too_dear(self, size: int, tried: Sequence[Outcome]) -> bool:
        """Whether sets without over-asking cost more than a policy that meets the targets."""
        fewest = self.download_bytes / (len(self._cards) // size)
        return any(not one.misses(self._targets) and one.bytes_per_photo < fewest for one in tried)

    def _try_size(self, size: int) -> Iterator[Outcome]:
        groups, of_folds = self._groups(self._base, size), [self._groups(fold.base, size) for fold in self._folds]
        rungs = policies(self._rungs, size, self._base.fitted.features.shape[1], self._targets.most_kind)
        planned = [(options, self._costs(options, groups)) for options in rungs]
        limit = self._targets.max_bundle_bytes
        allowed = [one for one in planned if limit is None or one[1].bundle_bytes <= limit]
        # where no bundle is small enough, the smallest shows what it misses
        for options, costs in allowed or [min(planned, key=lambda one: one[1].bundle_bytes)]:
            yield self._try(options, costs, of_folds)

    def _costs(self, options: CellsOptions, groups: Grouping) -> Costs:
        declared, count = self._declared, int(groups[0].max()) + 1
        priors = uniform(len(self._cards)) if declared.priors is None else declared.priors
        names = figure_names(self._targets, kinds=declared.kinds is not None)
        return Costs(
            classes=self._cards,
            bytes_up=query_bytes(self._base.enrolled.gallery),
            bundle_bytes=planned_bytes(
                self._plain, self._base, options, groups, declared.priors, dict.fromkeys(names, 0.0)
            ),
            groups=count,
            # a client does not trust the priors: G/C is for those who take classes as equally likely
            server_expected=max(count / len(self._cards), prior_bound(groups[0], priors)),
            server_bound=claimed_bound(count, priors),
        )

    def _try(self, options: CellsOptions, costs: Costs, of_folds: Sequence[Grouping]) -> Outcome:
        factors = over_asks(costs.groups)

        def trial(fold: Fold, groups: Grouping) -> Trial:
            return try_policy(fold, options, groups, factors, self._declared)

        trials = list(self._pool.map(trial, self._folds, of_folds))

        def outcome(level: int) -> Outcome:
            asked = options.model_copy(update={"over_ask": factors[level]})
            return outcome_at(level, asked, trials, costs, self._declared.priors)

        kept = [retention_at(level, trials, self._declared.priors) for level in range(len(factors))]
        enough = [level for level, one in enumerate(kept) if one >= self._targets.min_retention - ROUNDING]
        found = outcome(enough[0] if enough else kept.index(max(kept)))
        if "max_bytes_per_photo" not in found.misses(self._targets):
            return found
        # nothing meets both: what misses least in all
        return min(map(outcome, range(len(factors))), key=lambda one: one.missed(self._targets))
