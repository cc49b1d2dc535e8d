"""Drawings as SVG inside a page: text stays text, and colours are those of the page's style sheet, light or dark."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK, QUIET, RULE, WARN = "#1b1f24", "#5d6570", "#d5d9df", "#b42318"
SERIES = ("#0b66b8", "#c25700", "#00794f", "#8a4fbf", "#b5377d", "#7a6a00", "#0f7f8c", "#6b5a4b")
# matplotlib writes the light colours; the page's style sheet says what they are.
VARIABLES = {INK: "--ink", QUIET: "--quiet", RULE: "--rule", WARN: "--warn"} | {
    colour: f"--series-{place}" for place, colour in enumerate(SERIES)
}
STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "enfpire",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
UPPER_STEPS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
LOG_STEPS = [step * 10.0**power for power in range(-6, 1) for step in (1, 2, 5)]


def blank(width: float, height: float, panels: int = 1) -> tuple[Drawing, list[Axes]]:
    """An empty drawing of so many inches, with panels one above the other that share their x axis."""
    with mpl.rc_context(STYLE):
        drawing = Drawing(figsize=(width, height), layout="constrained")
        axes = drawing.subplots(panels, 1, sharex=True, squeeze=False)
    return drawing, list(axes[:, 0])


def legend(drawing: Drawing, columns: int) -> None:
    """Say below the panels what is what."""
    with mpl.rc_context(STYLE):
        drawing.legend(loc="outside lower center", ncols=columns)


def svg_of(drawing: Drawing, name: str) -> str:
    """The drawing as an `<svg>` element, whose ids begin with `name`: the same bytes for the same drawing."""
    written = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE):
        drawing.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    return _with_variables(_with_own_ids(text[text.index("<svg") :], name))


def _with_own_ids(text: str, name: str) -> str:
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would style the whole page
    text = re.sub(r'\bid="', f'id="{name}-', text)
    return text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')


def _with_variables(text: str) -> str:
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", text)


def share_axis(axes: Axes, which: str) -> None:
    """Write shares in per cent along the axis `x` or `y`."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def log_share_axis(axes: Axes, low: float, high: float = 1.0) -> None:
    """A logarithmic x axis of shares from `low` to `high`."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([step for step in LOG_STEPS if low <= step <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    share_axis(axes, "x")


def upper_share_axis(axes: Axes, low: float) -> None:
    """A y axis of shares from `low` to 1 whose upper end, where differences matter, has most of the room."""
    axes.set_yscale("function", functions=(lambda share: np.asarray(share) ** 2, np.sqrt))
    axes.set_ylim(low, 1.01)
    axes.yaxis.set_major_locator(FixedLocator([step for step in UPPER_STEPS if low <= step]))
    share_axis(axes, "y")


def log_count_axis(axes: Axes, counts: Iterable[int]) -> None:
    """A logarithmic x axis with a tick at each of these numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
