"""The plots of an audit's page; each is an `<svg>` element, or None where the audit found nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from enfpire.audit.drawing import (
    INK,
    QUIET,
    SERIES,
    WARN,
    blank,
    legend,
    log_count_axis,
    log_share_axis,
    share_axis,
    svg_of,
    upper_share_axis,
)
from enfpire.audit.findings import AuditReport, Figure, PolicyAudit
from enfpire.audit.summary import policies_of
from enfpire.wire.arrays import Doubles, Indices

MARKS = {
    "cells": ("o", SERIES[0]),
    "projection": ("s", SERIES[1]),
    "noise": ("^", SERIES[2]),
    "sign": ("D", SERIES[3]),
    "identity": ("X", SERIES[4]),
}
# Server and user accuracy of the paper's headline, on its own photos (EnfPire, IEEE TIFS 14(5), 2019).
PAPER = (0.414, 0.869)
# Beyond, a bar a class is thinner than what a screen shows.
MOST_BARS = 150
MOST_STEPS = 1_000
WIDTH = 7.6


def frontier_plot(report: AuditReport) -> str:
    """Server accuracy (log scale) and user accuracy of every policy, the bound hollow, the audited policy ringed."""
    drawing, (axes,) = blank(WIDTH, 4.9)
    low = 0.6 / report.classes
    policies = policies_of(report)
    for kind in dict.fromkeys(policy.transform for policy in policies):
        _policies(axes, [policy for policy in policies if policy.transform == kind], kind, low)
    _landmarks(axes, report.policy, low)
    log_share_axis(axes, low, 1.25)
    upper_share_axis(axes, max(0.0, min(policy.user_accuracy for policy in policies) - 0.2))
    axes.set_xlabel("server accuracy: the strongest attacker names the class (log scale; less is better)")
    axes.set_ylabel("user accuracy (upper end stretched)")
    legend(drawing, 4)
    return svg_of(drawing, "frontier")


def _policies(axes: Axes, policies: Sequence[PolicyAudit], kind: str, low: float) -> None:
    marker, colour = MARKS.get(kind, ("P", QUIET))
    users = np.array([policy.user_accuracy for policy in policies])
    places = np.array([policy.server.value for policy in policies]).clip(low)
    spread = _spread([policy.server for policy in policies])
    axes.errorbar(places, users, xerr=spread, fmt=marker, color=colour, markersize=6, elinewidth=1.2, label=kind)
    bounds = [(max(low, policy.server_bound), policy) for policy in policies if policy.server_bound < 1]
    for bound, policy in bounds:
        ends, heights = [max(low, policy.server.value), bound], [policy.user_accuracy] * 2
        axes.plot(ends, heights, color=colour, linestyle=":", linewidth=0.9)
        axes.plot(bound, policy.user_accuracy, marker, color=colour, markersize=8.5, fillstyle="none")


def _landmarks(axes: Axes, policy: PolicyAudit, low: float) -> None:
    place = max(low, policy.server.value), policy.user_accuracy
    axes.plot(*place, "o", color=INK, markersize=17, fillstyle="none", markeredgewidth=1.6, label="this bundle")
    axes.plot([], [], "o", color=QUIET, markersize=8.5, fillstyle="none", linestyle=":", label="proved bound")
    axes.axhline(policy.unprotected_accuracy, color=INK, linestyle="--", linewidth=1.1, label="without protection")
    axes.plot(*PAPER, "*", color=QUIET, markersize=13, fillstyle="none", label="the paper, other data", zorder=4)


def posterior_plot(policy: PolicyAudit) -> str | None:
    """What the server believes of the right class, for each class, most first; the group told best is marked."""
    if not policy.class_posteriors or not policy.class_groups:
        return None
    drawing, (axes,) = blank(WIDTH, 3.6)
    order = np.argsort(-np.array(policy.class_posteriors), kind="stable")
    posteriors = np.array(policy.class_posteriors)[order]
    groups = np.array(policy.class_groups)[order]
    (_bars if len(order) <= MOST_BARS else _outline)(axes, posteriors, groups)
    _levels(axes, policy)
    share_axis(axes, "y")
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("classes, the best told first" + _colours(policy))
    axes.set_ylabel("belief in the right class")
    legend(drawing, 4)
    return svg_of(drawing, "posteriors")


def _colours(policy: PolicyAudit) -> str:
    if len(policy.class_groups) > MOST_BARS:
        return ""
    return " (a colour a group, colours recur)" if policy.groups > len(SERIES) else " (a colour a group)"


def _bars(axes: Axes, posteriors: Doubles, groups: Indices) -> None:
    """A bar a class: posteriors (C,), most first, groups (C,)."""
    places = np.arange(len(posteriors))
    for group in np.unique(groups).tolist():
        inside, best = groups == group, group == groups[0]
        axes.bar(
            places[inside],
            posteriors[inside],
            color=SERIES[group % len(SERIES)],
            alpha=1.0 if best else 0.45,
            width=0.8,
            label=f"group {group}: told best" if best else None,
        )


def _outline(axes: Axes, posteriors: Doubles, groups: Indices) -> None:
    """The same for many classes, of which every so-manieth is drawn."""
    shown = np.linspace(0, len(posteriors) - 1, min(len(posteriors), MOST_STEPS)).round().astype(np.intp)
    edges = np.linspace(0, len(posteriors), len(shown) + 1)
    heights, best = posteriors[shown], groups[shown] == groups[0]
    axes.stairs(heights, edges, fill=True, color=SERIES[0], alpha=0.3)
    label = f"group {groups[0]}: told best"
    axes.stairs(np.where(best, heights, 0), edges, fill=True, color=SERIES[0], label=label)


def _levels(axes: Axes, policy: PolicyAudit) -> None:
    if policy.server_bound < 1:
        axes.axhline(policy.server_bound, color=INK, linestyle="--", linewidth=1.1, label="bound on the mean")
    if policy.worst_group is not None:
        axes.axhline(policy.worst_group, color=WARN, linestyle=":", linewidth=1.3, label="the most telling message")


def repeats_plot(policy: PolicyAudit) -> str | None:
    """The leak over photos of one class: with memory, without, and the bound."""
    if not policy.repeated:
        return None
    counts = [one.photos for one in policy.repeated]
    drawing, (axes,) = blank(WIDTH, 3.4)
    _curve(axes, counts, [one.no_memory for one in policy.repeated], "asks every time", SERIES[1], "s")
    _curve(axes, counts, [one.memory for one in policy.repeated], "with memory", SERIES[0], "o")
    bounds = [one.bound for one in policy.repeated]
    axes.plot(counts, bounds, color=INK, linestyle="--", linewidth=1.1, label="bound for any attacker")
    _leak_axes(axes, counts, "photos of one class")
    legend(drawing, 3)
    return svg_of(drawing, "repeats")


def averaging_plot(policy: PolicyAudit) -> str | None:
    """The leak over messages that are averaged: of one photo, and of photos of one class."""
    if not policy.averaged:
        return None
    counts = [one.messages for one in policy.averaged]
    drawing, (axes,) = blank(WIDTH, 3.4)
    _curve(axes, counts, [one.one_photo for one in policy.averaged], "fresh messages of one photo", SERIES[0], "o")
    _curve(axes, counts, [one.one_class for one in policy.averaged], "photos of one class", SERIES[1], "s")
    _leak_axes(axes, counts, "messages")
    legend(drawing, 2)
    return svg_of(drawing, "averaging")


def memory_plot(policy: PolicyAudit) -> str | None:
    """What slack of the memory costs (retention on a mixed stream) and gives (the server after many photos).

    The bundle's own slack is marked.
    """
    if not policy.remembered:
        return None
    slacks = [one.slack for one in policy.remembered]
    drawing, (above, below) = blank(WIDTH, 4.6, panels=2)
    _curve(above, slacks, [one.accuracy for one in policy.remembered], "server, many photos of a class", SERIES[1], "s")
    above.set_ylim(bottom=0)
    above.set_ylabel("server accuracy")
    below.plot(
        slacks, [one.retention for one in policy.remembered], "o-", color=SERIES[0], label="retention, mixed stream"
    )
    below.plot(slacks, [one.asked for one in policy.remembered], "^-", color=SERIES[2], label="share that is asked")
    below.set_ylabel("mixed stream")
    below.set_xlabel("slack: how much worse a held set may fit before the client asks (score units)")
    below.set_ylim(bottom=0)
    for axes, label in ((above, "this bundle"), (below, None)):
        share_axis(axes, "y")
        if policy.slack is not None:
            axes.axvline(policy.slack, color=INK, linestyle=":", linewidth=1.3, label=label)
    legend(drawing, 3)
    return svg_of(drawing, "memory")


def kinds_plot(policy: PolicyAudit) -> str | None:
    """How often the kind is named, beside the prior."""
    if policy.kinds is None:
        return None
    found = policy.kinds.accuracy
    drawing, (axes,) = blank(WIDTH, 1.5)
    axes.barh([0], [policy.kinds.prior], color=QUIET, height=0.6)
    axes.barh([1], [found.value], color=SERIES[0], height=0.6, xerr=_spread([found]), ecolor=INK)
    axes.set_yticks([0, 1], ["without a message", "from the message"])
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1)
    axes.set_xlabel("the kind is named")
    share_axis(axes, "x")
    return svg_of(drawing, "kinds")


def _curve(
    axes: Axes, places: Sequence[float], figures: Sequence[Figure], label: str, colour: str, marker: str
) -> None:
    axes.fill_between(places, [one.low for one in figures], [one.high for one in figures], color=colour, alpha=0.2)
    axes.plot(places, [one.value for one in figures], marker=marker, color=colour, markersize=5, label=label)


def _leak_axes(axes: Axes, counts: Sequence[int], what: str) -> None:
    log_count_axis(axes, counts)
    axes.set_ylim(0, 1.03)
    share_axis(axes, "y")
    axes.set_xlabel(f"{what} (log scale)")
    axes.set_ylabel("the server names the class")


def _spread(figures: Sequence[Figure]) -> Doubles:
    spread: Doubles = np.array([[one.value - one.low, one.high - one.value] for one in figures]).clip(0).T
    return spread
