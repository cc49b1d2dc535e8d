"""Enrolment: photos in a folder a class become raw features in the operator's workspace.

Every batch is committed as it comes out of the network, so enrolment may be stopped at any time and started again;
a photo whose content is known is not extracted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from enfpire.client.extractor import Extracted
from enfpire.client.photos import Photo, content_digest
from enfpire.curation.entries import PhotoEntry
from enfpire.curation.folders import ClassPhotos, find_classes
from enfpire.curation.workspace import Workspace
from enfpire.errors import GalleryError, PhotoError
from enfpire.wire.bundle import Extractor
from enfpire.wire.names import check_name

CHUNK = 1024

Progress = Callable[[int, int], None]


class RawExtractor(Protocol):
    """Photos to raw features, and what a bundle says of that extractor."""

    def describe(self) -> Extractor:
        """Name, digest of the weights, dimensions."""
        ...

    def stream(self, photos: Sequence[Photo]) -> Iterator[Extracted]:
        """Extract a batch after the other."""
        ...


@dataclass(frozen=True)
class BrokenPhoto:
    """A photo that could not be enrolled, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class EnrollReport:
    """What an enrolment did.

    `added` photos are new in the gallery, `unchanged` ones were there, `removed` ones are no longer; `extracted`
    went through the network. `classes` and `photos` count the gallery now. `empty` are classes of the folder
    without a usable photo, `shared` the classes of each photo that lies in several, `unused` the info records of
    no class.
    """

    classes: int
    photos: int
    added: int
    unchanged: int
    extracted: int
    removed: int
    broken: tuple[BrokenPhoto, ...]
    empty: tuple[str, ...]
    shared: tuple[tuple[str, ...], ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    name: str
    path: Path
    content: bytes

    def entry(self, raw: Any = None) -> PhotoEntry:  # noqa: ANN401 - Floats | None, a row of an array
        return PhotoEntry(self.name, self.content, str(self.path), raw)


@dataclass
class _Tally:
    added: int = 0
    extracted: int = 0
    done: int = 0
    broken: list[BrokenPhoto] = field(default_factory=list)
    contents: dict[str, set[bytes]] = field(default_factory=dict)


def enroll(
    workspace: Workspace,
    gallery: str,
    photos_dir: str | Path,
    extractor: RawExtractor,
    infos: dict[str, Any] | None = None,
    progress: Progress | None = None,
    *,
    replace: bool = False,
) -> EnrollReport:
    """Enrol the photos of a folder with a folder a class, beside what the gallery has.

    `replace` makes the gallery forget the photos of these classes that the folder does not have; other classes stay.
    `progress` is called with the photos done and all of them. A photo that cannot be used is reported. Raises
    `UsageError` or `GalleryError` for a folder without classes, `GalleryError` for another extractor than before or
    where no photo can be used.
    """
    check_name(gallery, "gallery")
    workspace.check_extractor(gallery, extractor.describe())
    found = find_classes(photos_dir)
    tally = _Tally()
    _enroll_photos(workspace, gallery, extractor, found, tally, progress or _silent)
    if not workspace.classes(gallery):
        raise GalleryError(f"none of {tally.done} photos can be used; the first: {tally.broken[0].reason}")
    # a class whose photos are all broken is left alone
    removed = workspace.keep_only(gallery, tally.contents) if replace else 0
    unused = workspace.set_infos(gallery, infos or {})
    return _report(workspace, gallery, found, tally, removed, unused)


def _silent(_done: int, _total: int) -> None:
    pass


def _enroll_photos(
    workspace: Workspace,
    gallery: str,
    extractor: RawExtractor,
    found: list[ClassPhotos],
    tally: _Tally,
    progress: Progress,
) -> None:
    photos = [(one.name, path) for one in found for path in one.photos]
    for start in range(0, len(photos), CHUNK):
        for handled in _enroll_chunk(workspace, gallery, extractor, photos[start : start + CHUNK], tally):
            tally.done += handled
            progress(tally.done, len(photos))


def _enroll_chunk(
    workspace: Workspace, gallery: str, extractor: RawExtractor, photos: list[tuple[str, Path]], tally: _Tally
) -> Iterator[int]:
    """Enrol some photos; yields how many more are done."""
    spec = extractor.describe()
    read = _read_contents(photos, tally)
    known = workspace.known(spec, {one.content for one in read})
    seen = [one for one in read if one.content in known]
    _commit(workspace, gallery, spec, [(one, None) for one in seen], tally)
    yield len(photos) - len(read) + len(seen)
    alike: dict[bytes, list[_Found]] = {}
    for one in read:
        if one.content not in known:
            alike.setdefault(one.content, []).append(one)
    fresh = list(alike.values())
    for batch in extractor.stream([ones[0].path for ones in fresh]):
        entries = [(one, raw) for place, raw in zip(batch.places, batch.raw, strict=True) for one in fresh[place]]
        _commit(workspace, gallery, spec, entries, tally)
        broken = [(one, error) for place, error in batch.failed.items() for one in fresh[place]]
        tally.extracted += len(batch.places)
        tally.broken += [BrokenPhoto(str(one.path), str(error)) for one, error in broken]
        yield len(entries) + len(broken)


def _read_contents(photos: list[tuple[str, Path]], tally: _Tally) -> list[_Found]:
    read = []
    for name, path in photos:
        try:
            read.append(_Found(name, path, content_digest(path)))
        except PhotoError as error:
            tally.broken.append(BrokenPhoto(str(path), str(error)))
    return read


def _commit(
    workspace: Workspace, gallery: str, spec: Extractor, entries: list[tuple[_Found, Any]], tally: _Tally
) -> None:
    if not entries:
        return
    tally.added += workspace.add(gallery, spec, [one.entry(raw) for one, raw in entries])
    for one, _ in entries:
        tally.contents.setdefault(one.name, set()).add(one.content)


def _report(
    workspace: Workspace,
    gallery: str,
    found: list[ClassPhotos],
    tally: _Tally,
    removed: int,
    unused: tuple[str, ...],
) -> EnrollReport:
    usable = sum(len(contents) for contents in tally.contents.values())
    return EnrollReport(
        classes=len(workspace.classes(gallery)),
        photos=workspace.photos(gallery),
        added=tally.added,
        unchanged=usable - tally.added,
        extracted=tally.extracted,
        removed=removed,
        broken=tuple(tally.broken),
        empty=tuple(one.name for one in found if one.name not in tally.contents),
        shared=workspace.shared(gallery),
        unused=unused,
    )
