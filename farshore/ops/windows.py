"""Cut a manifest into windows: stretches of entries whose segments fit in memory together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from farshore import limits
from farshore.format.extents import decode_extents
from farshore.format.manifest import ManifestRow
from farshore.index import ABSENT, ChunkIndex, Location
from farshore.model import HOLE, ChunkId, EntryKind, Extent
from farshore.ops.fetching import SegmentKey, segment_of

MISSING = Location(-1, -1, 0, 0)  # a chunk that no pack of the snapshot holds


@dataclass(frozen=True, slots=True)
class Part:
    """One extent of a file at its place: `location` is None for a hole."""

    offset: int
    extent: Extent
    location: Location | None


@dataclass(frozen=True, slots=True)
class Piece:
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
    content_bytes: int = 0
    futures: list[Future[dict[SegmentKey, bytes]]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether the window has reached its limits."""
        return (
            len(self.wanted) >= limits.WINDOW_SEGMENTS_MAX
            or self.content_bytes >= limits.WINDOW_BYTES_MAX
            or len(self.pieces) >= limits.WINDOW_PIECES_MAX
        )


def plan_windows(rows: Iterable[ManifestRow], index: ChunkIndex) -> Iterator[Window]:
    """Yield windows that cover all rows in order; a file that does not fit one continues in the next."""
    window = Window()
    for row in rows:
        if row.entry.kind is not EntryKind.FILE:
            window.pieces.append(Piece(row, (), first=True, last=True))
            if window.full:
                yield window
                window = Window()
            continue
        parts: list[Part] = []
        first = True
        for part in _parts(row, index):
            parts.append(part)
            _add(window, part)
            if window.full:
                window.pieces.append(Piece(row, tuple(parts), first=first, last=False))
                yield window
                window, parts, first = Window(), [], False
        window.pieces.append(Piece(row, tuple(parts), first=first, last=True))
        if window.full:
            yield window
            window = Window()
    if window.pieces:
        yield window


def _parts(row: ManifestRow, index: ChunkIndex) -> Iterator[Part]:
    extents = decode_extents(row.extents)
    found = index.find([extent.chunk for extent in extents]) if extents else ()
    offset = 0
    for extent, at in zip(extents, found, strict=True):
        location = None if extent.chunk == HOLE else MISSING if at == ABSENT else index.location(int(at))
        yield Part(offset, extent, location)
        offset += extent.length


def _add(window: Window, part: Part) -> None:
    if part.location is None:
        return
    window.content_bytes += part.extent.length
    if part.location is not MISSING:
        chunk = (part.extent.chunk, part.location.offset, part.location.length)
        window.wanted.setdefault(segment_of(part.location), set()).add(chunk)
