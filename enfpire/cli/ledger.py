"""`enfpire ledger`: what this client has revealed so far."""

from __future__ import annotations

from contextlib import closing
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from enfpire.cli.options import DEFAULT_STORE, AsJson, Store
from enfpire.client.refits import kept_bundle
from enfpire.client.store import Entry, PendingStore, open_store
from enfpire.leakage.messages import message_bits
from enfpire.wire.bundle import Bundle, Cells

NOT_COUNTED = {
    "silence": "a photo that is answered from memory sends nothing, which tells that its set was fetched before",
    "timing": "when questions went out, how often, and over which network",
    "links": "one credential sent all of them: photos of one day or of one walk may belong together",
}


def ledger(store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show what was revealed so far, at most: by gallery and bundle, from the client's own store."""
    with closing(open_store(store)) as opened:
        galleries = accounts(opened)
    console = Console()
    if as_json:
        console.print_json(data={"galleries": galleries, "not_counted": NOT_COUNTED})
        return
    console.print(_table(galleries))
    for line in [*_consents(galleries), *(f"not counted: {name}: {what}" for name, what in NOT_COUNTED.items())]:
        console.print(line, highlight=False, soft_wrap=True)


def accounts(store: PendingStore) -> list[dict[str, Any]]:
    """What was revealed of each gallery, as plain values: `bits` are the sum over its bundles."""
    entries = sorted(store.ledger.entries(), key=lambda one: one.gallery)  # stable: by first use within a gallery
    return [_gallery(store, name, list(own)) for name, own in groupby(entries, lambda one: one.gallery)]


def _gallery(store: PendingStore, name: str, entries: list[Entry]) -> dict[str, Any]:
    sums = {what: sum(getattr(one, what) for one in entries) for what in ("asked", "silent", "queries", "bits")}
    return {"gallery": name, **sums, "bundles": [_account(one, kept_bundle(store, one.bundle)) for one in entries]}


def _account(entry: Entry, bundle: Bundle | None) -> dict[str, Any]:
    """One bundle's account; what only the bundle says is None where the store can no longer read it."""
    cells = bundle.transform if bundle is not None and isinstance(bundle.transform, Cells) else None
    return {
        "bundle": entry.bundle.hex(),
        "version": None if bundle is None else bundle.version,
        "transform": None if bundle is None else bundle.transform.kind,
        "photos": entry.photos,
        "asked": entry.asked,
        "silent": entry.silent,
        "queries": entry.queries,
        "groups_asked": entry.groups,
        "groups": None if cells is None else cells.groups,
        "bits_per_photo": None if bundle is None else message_bits(bundle),
        "bits": entry.bits,
        "bits_consented_per_old_photo": entry.consented,
    }


def _table(galleries: list[dict[str, Any]]) -> Table:
    columns = ("bundle", "photos", "asked", "queries", "silent", "groups", "bits each", "bits")
    table = Table(*columns, title="revealed so far, at most", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for gallery in galleries:
        for one in gallery["bundles"]:
            table.add_row(f"{gallery['gallery']} {one['bundle'][:12]}", *_row(one))
        if len(gallery["bundles"]) > 1:
            sums = [str(gallery[what]) for what in ("asked", "queries", "silent")]
            table.add_row(f"{gallery['gallery']}, all", "", *sums, "", "", f"{gallery['bits']:.1f}")
    return table


def _row(one: dict[str, Any]) -> list[str]:
    counts = [str(one[what]) for what in ("photos", "asked", "queries", "silent")]
    groups = "" if one["groups"] is None else f"{one['groups_asked']} of {one['groups']}"
    each = "" if one["bits_per_photo"] is None else f"{one['bits_per_photo']:.2f}"
    return [*counts, groups, each, f"{one['bits']:.1f}"]


def _consents(galleries: list[dict[str, Any]]) -> list[str]:
    return [
        f"consented: {gallery['gallery']} {one['bundle'][:12]}: an old photo that is asked again "
        f"tells up to {one['bits_consented_per_old_photo']:.2f} bits more"
        for gallery in galleries
        for one in gallery["bundles"]
        if one["bits_consented_per_old_photo"] is not None
    ]
