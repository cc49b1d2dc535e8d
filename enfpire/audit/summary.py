"""An audit in short: its headline and its frontier, for a terminal; and how figures are written for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from enfpire.audit.findings import Attacked, AuditReport, Figure, PolicyAudit

TRAVELS = {
    "cells": "a group number",
    "projection": "coordinates",
    "noise": "noisy coordinates",
    "sign": "a binary code",
    "identity": "the feature itself",
}
COLUMNS = ("policy", "K", "user", "retention", "proved", "measured, strongest", "bundle")


def print_summary(console: Console, report: AuditReport) -> None:
    """Print the headline of the audited policy, a warning where one is due, and a row for each policy drawn."""
    for line in headline(report):
        console.print(escape(line), highlight=False, soft_wrap=True)
    for caution in cautions(report):
        console.print(f"[bold red]warning:[/] {escape(caution)}", highlight=False, soft_wrap=True)
    console.print(_table(report))


def headline(report: AuditReport) -> list[str]:
    """What the audited policy gives, and what it leaves the server, in sentences."""
    policy = report.policy
    return [
        f"{report.gallery}, bundle {report.bundle[:12]}: {report.photos:,} photos of {report.classes:,} classes",
        f"{travels(policy)} travels; {policy.candidates:.1f} candidates come back; "
        f"{size(policy.bytes_up)} up and {size(policy.bytes_down)} down a photo",
        f"you recognise {ranged(policy.user)}, without protection {percent(policy.unprotected_accuracy)}: "
        f"retention {percent(policy.retention)}",
        f"the server names {proved(policy)} (proved), {ranged(policy.server)} (strongest attacker measured)",
    ]


def cautions(report: AuditReport) -> list[str]:
    """Where an attacker's interval lies above what is proved, and where the audited policy proves nothing."""
    found = [] if report.policy.server_bound < 1 else [f"{report.policy.name}: no bound is proved, only measured"]
    return found + [_beaten(policy, one) for policy in policies_of(report) for one in beating(policy)]


def policies_of(report: AuditReport) -> list[PolicyAudit]:
    """The audited policy, and the others that were tried on the same photos."""
    return [report.policy, *(policy for policy in report.frontier if policy != report.policy)]


def beating(policy: PolicyAudit) -> tuple[Attacked, ...]:
    """Attackers whose whole interval lies above the bound: a proof does not hold for these photos, or the code errs."""
    return tuple(one for one in policy.attackers if one.accuracy.low > policy.server_bound)


def travels(policy: PolicyAudit) -> str:
    """What the server sees of a photo."""
    return TRAVELS.get(policy.transform, policy.transform)


def proved(policy: PolicyAudit) -> str:
    """The bound, or that there is none."""
    return f"at most {percent(policy.server_bound)}" if policy.server_bound < 1 else "no bound"


def percent(share: float) -> str:
    """A share as per cent, with two significant digits where it is small."""
    places = 1 if abs(share) >= 0.01 or share == 0 else 2
    return f"{100 * share:.{places}f} %"


def ranged(figure: Figure) -> str:
    """A share and its 95 % interval."""
    return f"{percent(figure.value)} ({percent(figure.low).removesuffix(' %')} to {percent(figure.high)})"


def size(count: float) -> str:
    """A number of bytes."""
    for unit, of in (("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return f"{count:.1f} bytes" if count < 10 else f"{count:.0f} bytes"


def _beaten(policy: PolicyAudit, attacked: Attacked) -> str:
    return (
        f'{policy.name}: the attacker "{attacked.attacker}" names the class of {ranged(attacked.accuracy)}, '
        f"above the bound of {percent(policy.server_bound)}"
    )


def _table(report: AuditReport) -> Table:
    table = Table(title="every policy on the same photos", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "policy" else "right")
    for policy in policies_of(report):
        style = "bold" if policy == report.policy else None
        table.add_row(escape(policy.name), *_row(policy), style=style)
    return table


def _row(policy: PolicyAudit) -> list[str]:
    bound = percent(policy.server_bound) if policy.server_bound < 1 else "none"
    shares = [percent(policy.user_accuracy), percent(policy.retention), bound, ranged(policy.server)]
    return [f"{policy.candidates:.1f}", *shares, size(policy.bundle_bytes)]
