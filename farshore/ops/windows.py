"""Cut a manifest into windows: stretches of entries whose segments fit in memory together. Pure.

Chunks of many entries are looked up in one batch, because a tree has hundreds of thousands of files of one chunk each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.extents import EXTENT_BYTES, decode_extents, view_extents
from farshore.format.manifest import ManifestRow
from farshore.index import ABSENT, ChunkIndex, Location
from farshore.model import HOLE, ChunkId, EntryKind, Extent
from farshore.ops.fetching import SegmentKey

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
    """Pieces in manifest order, the segments they need, and the fetches under way."""

    pieces: list[Piece] = field(default_factory=list)
    wanted: dict[SegmentKey, set[tuple[ChunkId, int, int]]] = field(default_factory=dict)
    used: dict[SegmentKey, int] = field(default_factory=dict)  # bytes of each segment
    content_bytes: int = 0
    futures: list[Future[dict[SegmentKey, memoryview]]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether no more content belongs into the window."""
        return len(self.wanted) >= limits.WINDOW_SEGMENTS_MAX or self.content_bytes >= limits.WINDOW_BYTES_MAX


def plan_windows(rows: Iterable[ManifestRow], index: ChunkIndex) -> Iterator[Window]:
    """Yield windows that cover all rows in order; a file that does not fit one continues in the next."""
    window = Window()
    for row, located in _located(rows, index):
        parts: list[Part] = []
        first = True
        for part in located:
            parts.append(part)
            _add(window, part)
            if window.full:
                window.pieces.append(Piece(row, tuple(parts), first=first, last=False))
                yield window
                window, parts, first = Window(), [], False
        window.pieces.append(Piece(row, tuple(parts), first=first, last=True))
        if len(window.pieces) >= limits.WINDOW_PIECES_MAX:
            yield window
            window = Window()
    if window.pieces:
        yield window


def _located(rows: Iterable[ManifestRow], index: ChunkIndex) -> Iterator[tuple[ManifestRow, Iterable[Part]]]:
    """Yield each row with its parts in order; only files have any."""
    batch: list[ManifestRow] = []
    batch_bytes = 0
    for row in rows:
        extents_bytes = len(row.extents) if row.entry.kind is EntryKind.FILE else 0
        if extents_bytes % EXTENT_BYTES:
            raise ObjectCorrupt("an entry's extents are cut short")
        if batch and (len(batch) >= _LOOKED_UP_ROWS or batch_bytes + extents_bytes > _LOOKED_UP_BYTES):
            yield from _look_up(batch, index)
            batch, batch_bytes = [], 0
        if extents_bytes > _LOOKED_UP_BYTES:
            yield row, _parts_in_steps(row.extents, index)
        else:
            batch.append(row)
            batch_bytes += extents_bytes
    yield from _look_up(batch, index)


def _look_up(rows: list[ManifestRow], index: ChunkIndex) -> Iterator[tuple[ManifestRow, Iterable[Part]]]:
    files = [row for row in rows if row.entry.kind is EntryKind.FILE]
    extents, locations = _find(b"".join([row.extents for row in files]), index)
    at = 0
    for row in rows:
        count = len(row.extents) // EXTENT_BYTES if row.entry.kind is EntryKind.FILE else 0
        if count == 1:
            yield row, (Part(0, extents[at], locations[at]),)
        else:
            yield row, _parts(0, extents[at : at + count], locations[at : at + count])
        at += count


def _parts_in_steps(extents_bytes: bytes, index: ChunkIndex) -> Iterator[Part]:
    offset = 0
    for start in range(0, len(extents_bytes), _LOOKED_UP_BYTES):
        extents, locations = _find(extents_bytes[start : start + _LOOKED_UP_BYTES], index)
        yield from _parts(offset, extents, locations)
        offset += sum(extent.length for extent in extents)


def _parts(offset: int, extents: list[Extent], locations: list[Location | None]) -> list[Part]:
    parts: list[Part] = []
    for extent, location in zip(extents, locations, strict=True):
        parts.append(Part(offset, extent, location))
        offset += extent.length
    return parts


def _find(extents_bytes: bytes, index: ChunkIndex) -> tuple[list[Extent], list[Location | None]]:
    """Return extents and where each of them lies; None for a hole."""
    extents = decode_extents(extents_bytes)
    if not extents:
        return [], []
    chunks = np.ascontiguousarray(view_extents(extents_bytes)["chunk"])
    rows = index.find(chunks)
    rows[~chunks.view("<u8").reshape(len(extents), -1).any(axis=1)] = ABSENT  # holes, whatever an index says
    locations: list[Location | None] = list(index.locations(rows[rows != ABSENT]))
    if len(locations) == len(extents):
        return extents, locations
    found = iter(locations)
    return extents, [
        None if extent.chunk == HOLE else MISSING if row == ABSENT else next(found)
        for extent, row in zip(extents, rows.tolist(), strict=True)
    ]


def _add(window: Window, part: Part) -> None:
    location = part.location
    if location is None:
        return
    window.content_bytes += part.extent.length
    if location is not MISSING:
        pack, segment, offset, length = location
        chunk = (part.extent.chunk, offset, length)
        key = (pack, segment)
        chunks = window.wanted.get(key)
        if chunks is None:
            window.wanted[key] = {chunk}
            window.used[key] = part.extent.length
        else:
            chunks.add(chunk)
            window.used[key] += part.extent.length
