"""Cut rows into windows: stretches of entries whose segments fit in memory together. Pure.

Chunks of many entries are looked up in one batch, because a tree has hundreds of thousands of files of one chunk each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from farshore import limits
from farshore.errors import Bug, ObjectCorrupt
from farshore.format.extents import EXTENT_BYTES, decode_extents, view_extents
from farshore.format.manifest import ManifestRow
from farshore.index import ABSENT, Location
from farshore.model import HOLE, EntryKind, Extent
from farshore.ops.restore.content_plan import ContentPlan, find_rows
from farshore.ops.restore.fetch import Content, RangeKey, SegmentKey

MISSING = Location(-1, -1, 0, 0)  # a chunk that no pack of the snapshot holds
_LOOKED_UP_ROWS = 1024  # in one batch
_LOOKED_UP_BYTES = 4096 * EXTENT_BYTES  # likewise; a row with more is looked up in steps


class Part(NamedTuple):
    """One extent of a file at its place: `location` is None for a hole."""

    offset: int
    extent: Extent
    location: Location | None


class Piece(NamedTuple):
    """An entry, or for a large file some consecutive parts of it; `first` and `last` mark its ends."""

    row: ManifestRow
    parts: tuple[Part, ...]
    first: bool
    last: bool


@dataclass(slots=True)
class Window:
    """Pieces in the order of the rows, the segments they need, and where these are given once they are asked for."""

    start: int = 0  # the position of its first extent
    pieces: list[Piece] = field(default_factory=list)
    segments: dict[SegmentKey, None] = field(default_factory=dict)
    memory: int = 0  # memory of its segments, in units of a segment
    ranges: set[RangeKey] = field(default_factory=set)  # that are fetched for it
    content_bytes: int = 0
    contents: dict[SegmentKey, Future[Content]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether no more content belongs into the window."""
        return self.memory >= limits.WINDOW_SEGMENTS_MAX or self.content_bytes >= limits.WINDOW_BYTES_MAX

    def clear(self) -> None:
        """Let go of rows and content, also for callers that keep the window."""
        self.pieces = []
        self.contents = {}


def plan_windows(
    rows: Iterable[ManifestRow], plan: ContentPlan, memory_of: Callable[[SegmentKey, set[RangeKey]], int] = lambda *_: 1
) -> Iterator[Window]:
    """Yield windows that cover all rows in order; a file that does not fit one continues in the next.

    Args:
        rows: The very rows that were planned.
        memory_of: As `SegmentFetcher.memory_of`.
    """
    window = Window()
    position = 0
    for row, located in _located(rows, plan):
        parts: list[Part] = []
        first = True
        for part in located:
            parts.append(part)
            position += 1
            location = part.location
            if location is not None:
                window.content_bytes += part.extent.length
                key = location[:2]
                if location is not MISSING and key not in window.segments:
                    window.segments[key] = None
                    window.memory += memory_of(key, window.ranges)
            if window.full:
                window.pieces.append(Piece(row, tuple(parts), first=first, last=False))
                yield window
                window, parts, first = Window(position), [], False
        window.pieces.append(Piece(row, tuple(parts), first=first, last=True))
        if len(window.pieces) >= limits.WINDOW_PIECES_MAX:
            yield window
            window = Window(position)
    if window.pieces:
        yield window


def _located(rows: Iterable[ManifestRow], plan: ContentPlan) -> Iterator[tuple[ManifestRow, Iterable[Part]]]:
    """Yield each row with its parts in order; only files have any."""
    batch: list[ManifestRow] = []
    batch_bytes = 0
    finder = _Finder(plan)
    for row in rows:
        extents_bytes = len(row.extents) if row.entry.kind is EntryKind.FILE else 0
        if extents_bytes % EXTENT_BYTES:
            raise ObjectCorrupt("an entry's extents are cut short")
        if batch and (len(batch) >= _LOOKED_UP_ROWS or batch_bytes + extents_bytes > _LOOKED_UP_BYTES):
            yield from _look_up(batch, finder)
            batch, batch_bytes = [], 0
        if extents_bytes > _LOOKED_UP_BYTES:
            yield row, _parts_in_steps(row.extents, finder)
        else:
            batch.append(row)
            batch_bytes += extents_bytes
    yield from _look_up(batch, finder)


def _look_up(rows: list[ManifestRow], finder: _Finder) -> Iterator[tuple[ManifestRow, Iterable[Part]]]:
    files = [row for row in rows if row.entry.kind is EntryKind.FILE]
    extents, locations = finder.find(b"".join([row.extents for row in files]))
    at = 0
    for row in rows:
        count = len(row.extents) // EXTENT_BYTES if row.entry.kind is EntryKind.FILE else 0
        if count == 1:
            yield row, (Part(0, extents[at], locations[at]),)
        else:
            yield row, _parts(0, extents[at : at + count], locations[at : at + count])
        at += count


def _parts_in_steps(extents_bytes: bytes, finder: _Finder) -> Iterator[Part]:
    offset = 0
    for start in range(0, len(extents_bytes), _LOOKED_UP_BYTES):
        extents, locations = finder.find(extents_bytes[start : start + _LOOKED_UP_BYTES])
        yield from _parts(offset, extents, locations)
        offset += sum(extent.length for extent in extents)


def _parts(offset: int, extents: list[Extent], locations: list[Location | None]) -> list[Part]:
    parts: list[Part] = []
    for extent, location in zip(extents, locations, strict=True):
        parts.append(Part(offset, extent, location))
        offset += extent.length
    return parts


class _Finder:
    """Looks extents up, all of the rows in their order, which must be those that were planned."""

    def __init__(self, plan: ContentPlan) -> None:
        self._plan = plan
        self._position = 0

    def find(self, extents_bytes: bytes) -> tuple[list[Extent], list[Location | None]]:
        """Return the next extents and the location of each; None for a hole."""
        extents = decode_extents(extents_bytes)
        if not extents:
            return [], []
        index = self._plan.index
        rows = find_rows(np.ascontiguousarray(view_extents(extents_bytes)["chunk"]), index)
        if not self._plan.covers(rows, self._position):
            raise Bug("rows are restored that were not planned, or in another order")
        self._position += len(extents)
        locations: list[Location | None] = list(index.locations(rows[rows != ABSENT]))
        if len(locations) == len(extents):
            return extents, locations
        found = iter(locations)
        return extents, [
            None if extent.chunk == HOLE else MISSING if row == ABSENT else next(found)
            for extent, row in zip(extents, rows.tolist(), strict=True)
        ]
