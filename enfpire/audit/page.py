"""An audit as one HTML file: no script, nothing loaded, light and dark."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from enfpire.audit.findings import AuditReport
from enfpire.audit.plots import (
    MOST_BARS,
    PAPER,
    averaging_plot,
    frontier_plot,
    kinds_plot,
    memory_plot,
    posterior_plot,
    repeats_plot,
)
from enfpire.audit.summary import beating, cautions, percent, policies_of, proved, ranged, size, travels


def page(report: AuditReport) -> str:
    """The report as a page that stands alone; the same report makes the same bytes. It names no class."""
    policy = report.policy
    drawn = {
        "frontier": frontier_plot(report),
        "posteriors": posterior_plot(policy),
        "repeats": repeats_plot(policy),
        "memory": memory_plot(policy),
        "averaging": averaging_plot(policy),
        "kinds": kinds_plot(policy),
    }
    return (
        _environment()
        .get_template("audit.html.j2")
        .render(
            report=report,
            policy=policy,
            policies=policies_of(report),
            cautions=cautions(report),
            drawn={name: Markup(svg) for name, svg in drawn.items() if svg is not None},  # noqa: S704 - drawn here
            paper=PAPER,
            most_bars=MOST_BARS,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("enfpire.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "ranged": ranged, "size": size}
    environment.globals |= {"beating": beating, "proved": proved, "travels": travels}
    return environment
