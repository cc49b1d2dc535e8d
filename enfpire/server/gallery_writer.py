"""Writing gallery versions to Milvus: two collections a version, each complete before anybody is sent there.

    enf_<gallery>_<version>        row (key)    vector (m)    card      a row a prototype; the card of a class is
                                                                       on its first row, "" on the others
    enf_<gallery>_<version>_sets   group (key)  vector (m)    members   a row a group, where groups travel
    enf_<gallery>                  alias of the current version's first collection

`row` is class number x 16 + place of the prototype in its class; a card is base64, members are base64 of msgpack of
the differences of ascending class numbers. The same version always holds the same rows, so writing can be
repeated and resumed: what is there already is left alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
import numpy as np
from pymilvus import DataType, MilvusClient

from enfpire.errors import GalleryError, UnavailableError, UsageError
from enfpire.server.connection import WRITE_SECONDS, reaching_milvus
from enfpire.server.version import VERSION_PATTERN, GalleryVersion, first_row
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.names import alias_name, collection_name, sets_collection_name

# Up to here Milvus compares with every row, which is exact; beyond, HNSW finds nearly all.
FLAT_ROWS = 50_000
VECTOR_INDEX = {"FLAT": {}, "HNSW": {"M": 16, "efConstruction": 200}}
VARCHAR_BYTES = 65_535
BATCH_ROWS = 1_000
BATCH_BYTES = 8 * 1024 * 1024

Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Table:
    """A collection: its name, its key and text fields, the length of its vectors, how many rows it will have."""

    name: str
    key: Literal["row", "group"]
    text: Literal["card", "members"]
    dimensions: int
    rows: int


def create_version(client: MilvusClient, version: GalleryVersion, progress: Progress | None = None) -> None:
    """Write all of a version beside the others; the alias stays where it is.

    Can be repeated, and resumed after a crash. `progress(done, total)` counts rows. Raises `GalleryError` when a
    class or a group is too large for a field, `UnavailableError` when Milvus fails.
    """
    name = collection_name(version.gallery, version.version)
    table = Table(name, "row", "card", version.vectors.shape[1], len(version.vectors))
    _fill(client, table, _class_rows(version), progress)
    if version.members is not None:
        write_members(client, version)


def write_members(client: MilvusClient, version: GalleryVersion) -> None:
    """Write which classes each group's candidate set holds; `create_version` does so where members are known."""
    members = version.members or ()
    name = sets_collection_name(version.gallery, version.version)
    table = Table(name, "group", "members", version.vectors.shape[1], len(members))
    _fill(client, table, _group_rows(version, members), None)


def switch_alias(client: MilvusClient, gallery: str, version: str) -> None:
    """Make `version` the gallery's current one, atomically; it must have been written.

    Raises `UsageError` for a version that is not in Milvus.
    """
    if version not in versions(client, gallery):
        raise UsageError(f"version {version} of {gallery} is not in Milvus; publish it first")
    alias, name = alias_name(gallery), collection_name(gallery, version)
    change = client.create_alias if current_version(client, gallery) is None else client.alter_alias
    with reaching_milvus(f"the alias of {gallery} was not switched; publish again"):
        change(name, alias, timeout=WRITE_SECONDS)


def drop_version(client: MilvusClient, gallery: str, version: str) -> None:
    """Delete a version, if it is there.

    Raises `UsageError` for the current one.
    """
    if version == current_version(client, gallery):
        raise UsageError(f"version {version} is the current one of {gallery}; publish another before you drop it")
    with reaching_milvus(f"version {version} of {gallery} was not dropped; try again"):
        # the classes last: as long as they are there, `versions` shows what is left to drop
        for name in (sets_collection_name(gallery, version), collection_name(gallery, version)):
            if client.has_collection(name, timeout=WRITE_SECONDS):
                client.drop_collection(name, timeout=WRITE_SECONDS)


def versions(client: MilvusClient, gallery: str) -> list[str]:
    """Every version of the gallery in Milvus, whole or half written, sorted by name."""
    pattern = re.compile(re.escape(collection_name(gallery, "")) + f"({VERSION_PATTERN})")
    with reaching_milvus("Milvus did not list its collections; check that it runs"):
        names = client.list_collections(timeout=WRITE_SECONDS)
    return sorted(match[1] for match in map(pattern.fullmatch, names) if match)


def current_version(client: MilvusClient, gallery: str) -> str | None:
    """The version that the gallery's alias names; None before the first."""
    alias = alias_name(gallery)
    for version in versions(client, gallery):
        with reaching_milvus("Milvus did not list its aliases; check that it runs"):
            # asked for the alias itself, a Milvus that has none answers with an error
            listed = client.list_aliases(collection_name(gallery, version), timeout=WRITE_SECONDS)
        if alias in listed["aliases"]:
            return version
    return None


def decode_members(text: str) -> Indices:
    """Ascending class numbers of a group's candidate set, from its row."""
    classes: Indices = np.cumsum(msgpack.unpackb(base64.b64decode(text)), dtype=np.intp)
    return classes


def encode_members(members: Indices) -> str:
    """What `decode_members` reads."""
    return base64.b64encode(msgpack.packb(np.diff(members, prepend=0).tolist())).decode()


def _class_rows(version: GalleryVersion) -> Iterator[Row]:
    heads = set(first_row(np.arange(version.classes)).tolist())
    for row, owner, vector in zip(version.rows.tolist(), version.owners.tolist(), version.vectors, strict=True):
        card = base64.b64encode(version.cards[owner]).decode() if row in heads else ""
        if len(card) > VARCHAR_BYTES:
            raise GalleryError(
                f"class number {owner} is too large for Milvus; shorten its info, or fit fewer prototypes"
            )
        yield {"row": row, "vector": vector, "card": card}


def _group_rows(version: GalleryVersion, members: tuple[Indices, ...]) -> Iterator[Row]:
    for group, classes in enumerate(members):
        text = encode_members(classes)
        if len(text) > VARCHAR_BYTES:
            raise GalleryError(f"a candidate set of {len(classes)} classes is too large; fit smaller groups")
        # nobody searches it: Milvus wants a vector in every collection
        yield {"group": group, "vector": _mean(version, classes), "members": text}


def _mean(version: GalleryVersion, classes: Indices) -> Floats:
    mean: Floats = version.vectors[np.isin(version.owners, classes)].mean(axis=0)
    return mean


def _fill(client: MilvusClient, table: Table, rows: Iterator[Row], progress: Progress | None) -> None:
    with reaching_milvus(f"Milvus failed while {table.name} was written; publish again, it goes on from there"):
        there = _count(client, table) if _create(client, table) else 0
        if there < table.rows:
            _write(client, table, rows, there, progress)
        elif progress is not None:
            progress(table.rows, table.rows)
        _finish(client, table)
        whole = _count(client, table) == table.rows
    if not whole:
        raise UnavailableError(f"{table.name} has not all of its rows; publish again, or drop that version first")


def _write(client: MilvusClient, table: Table, rows: Iterator[Row], there: int, progress: Progress | None) -> None:
    done = 0
    for batch in _batches(rows):
        missing = _missing(client, table, batch) if there else batch
        if missing:
            client.upsert(table.name, missing, timeout=WRITE_SECONDS)
        done += len(batch)
        if progress is not None:
            progress(done, table.rows)


def _create(client: MilvusClient, table: Table) -> bool:
    """Create the collection; whether it was there already, and then make it readable."""
    if client.has_collection(table.name, timeout=WRITE_SECONDS):
        _index_and_load(client, table)
        return True
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(table.key, DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=table.dimensions)
    schema.add_field(table.text, DataType.VARCHAR, max_length=VARCHAR_BYTES)
    client.create_collection(table.name, schema=schema, consistency_level="Strong", timeout=WRITE_SECONDS)
    return False


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str)) + row["vector"].nbytes
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _missing(client: MilvusClient, table: Table, batch: list[Row]) -> list[Row]:
    keys = [row[table.key] for row in batch]
    # the count before this was `Strong`, so what was there then is found; what is overlooked is only written again
    found = client.get(
        table.name, ids=keys, output_fields=[table.key], consistency_level="Bounded", timeout=WRITE_SECONDS
    )
    there = {row[table.key] for row in found}
    return [row for row in batch if row[table.key] not in there]


def _finish(client: MilvusClient, table: Table) -> None:
    client.flush(table.name, timeout=WRITE_SECONDS)
    # once all is written, so that no reader waits for an index that is still built
    _index_and_load(client, table)


def _index_and_load(client: MilvusClient, table: Table) -> None:
    kind = "FLAT" if table.rows <= FLAT_ROWS or table.key == "group" else "HNSW"
    index = client.prepare_index_params()
    index.add_index("vector", index_type=kind, metric_type="COSINE", params=VECTOR_INDEX[kind])
    # Milvus Lite refuses what Milvus takes for done: the same index again
    if not client.list_indexes(table.name, timeout=WRITE_SECONDS):
        client.create_index(table.name, index, timeout=WRITE_SECONDS)
    client.load_collection(table.name, timeout=WRITE_SECONDS)


def _count(client: MilvusClient, table: Table) -> int:
    counted = client.query(
        table.name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=WRITE_SECONDS
    )
    return int(counted[0]["count(*)"])
