"""Looks for bytes in the memory of running processes (`/proc/PID/mem`): thousands of needles in one pass."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

NEEDLE = 16
BLOCK = 1024 * 1024
HASH_BITS = 22
# Bytes that a program may well hold by chance, such as zeros or a repeated value, prove nothing; and where a needle
# begins so, nearly every place would have to be looked at.
FEWEST_DISTINCT = 8
FEWEST_DISTINCT_IN_FRONT = 3

_REGION = re.compile(r"^(?=[0-9a-f]+-[0-9a-f]+ )", re.MULTILINE)
_USED = re.compile(r"^(?:Rss|Swap): +(\d+) kB", re.MULTILINE)


def slices(data: bytes) -> Iterator[bytes]:
    """All pieces of 16 bytes that lie one after the other in `data`, except those that anything may hold."""
    for start in range(0, len(data) - NEEDLE + 1, NEEDLE):
        piece = data[start : start + NEEDLE]
        if len(set(piece)) >= FEWEST_DISTINCT and len(set(piece[:4])) >= FEWEST_DISTINCT_IN_FRONT:
            yield piece


class Search:
    """Finds needles of 16 bytes at any offset. Longer texts are looked for by their first 16 bytes."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = {needle[:NEEDLE] for needle in needles}
        assert all(len(needle) == NEEDLE for needle in self._needles)
        heads = np.frombuffer(b"".join(needle[:8] for needle in sorted(self._needles)), dtype="<u8")
        self._heads = np.unique(heads)
        self._table = np.zeros(1 << HASH_BITS, dtype=bool)
        self._table[_hashed(heads.astype(np.uint32))] = True

    def found(self, data: bytes) -> set[bytes]:
        """The needles that `data` holds."""
        result: set[bytes] = set()
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK + NEEDLE - 1]
            if block.count(0) < len(block):
                result |= self._found_in_block(block)
        return result

    def _found_in_block(self, block: bytes) -> set[bytes]:
        result = set()
        for place in self._candidates(block).tolist():
            piece = block[place : place + NEEDLE]
            if piece in self._needles:
                result.add(piece)
        return result

    def _candidates(self, block: bytes) -> npt.NDArray[np.intp]:
        """Places where the first 8 bytes are those of a needle; the first 4, hashed, sort out nearly all others."""
        places = []
        for offset in range(4):
            words = np.frombuffer(block, dtype="<u4", offset=offset, count=max(0, (len(block) - offset) // 4))
            hits = np.flatnonzero(self._table[_hashed(words)]) * 4 + offset
            places.append(hits[hits <= len(block) - NEEDLE])
        hits = np.concatenate(places)
        eight = np.frombuffer(block, dtype=np.uint8)[hits[:, None] + np.arange(8)].copy().view("<u8").ravel()
        kept: npt.NDArray[np.intp] = hits[np.isin(eight, self._heads)]
        return kept


def _hashed(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    mixed: npt.NDArray[np.uint32] = (words * np.uint32(2654435761)) >> np.uint32(32 - HASH_BITS)
    return mixed


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything that a process has in memory, region by region, but for files that it can only read."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in regions(pid):
            yield from _readable(memory.fileno(), start, end)


def regions(pid: int) -> Iterator[tuple[int, int]]:
    """Start and end of each region that may hold what a process has written or received."""
    for text in _REGION.split(Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8"))[1:]:
        first, rest = text.split("\n", 1)
        edges, rights, _, _, inode, *_ = first.split()
        used = sum(int(kib) for kib in _USED.findall(rest))
        if used and "r" in rights and (inode == "0" or "w" in rights) and "[v" not in first:
            start, end = edges.split("-")
            yield int(start, 16), int(end, 16)


def _readable(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        try:
            # a little beyond the block, so that nothing hides on its edge
            data = os.pread(descriptor, min(BLOCK + NEEDLE - 1, end - start), start)
        except OSError:  # a region that was unmapped meanwhile, or that the kernel does not hand out
            return
        if not data:
            return
        yield data
        start += BLOCK


def found_in_processes(pids: Iterable[int], search: Search) -> set[bytes]:
    """The needles that one of these processes holds in memory."""
    return {needle for pid in pids for data in memory_of(pid) for needle in search.found(data)}


def found_in_files(folders: Iterable[Path], search: Search) -> set[bytes]:
    """The needles that a file in one of these folders holds."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {needle for path in files for needle in search.found(path.read_bytes())}


def with_descendants(pid: int) -> set[int]:
    """A process and all that it started, directly or not."""
    children = {
        int(one)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for one in (task / "children").read_text(encoding="ascii").split()
    }
    return {pid}.union(*(with_descendants(child) for child in children))
