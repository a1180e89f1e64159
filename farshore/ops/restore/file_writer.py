"""Write windows into a target in the order of their rows, hashing every file before it is called good."""

from __future__ import annotations

from dataclasses import dataclass, field

from farshore import limits
from farshore.errors import FarshoreError, ObjectCorrupt
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.ops.restore.fetch import Content, SegmentKey
from farshore.ops.restore.file_write_buffer import FileWriteBuffer
from farshore.ops.restore.windows import MISSING, Part, Piece, Window
from farshore.sealed.content_hash import ContentHash
from farshore.targets.base import SmallFile, Target

Segments = dict[SegmentKey, Content | FarshoreError]  # of one window: the content, or why there is none
_NO_COPY = "no replica holds a good copy of its content"


@dataclass(slots=True)
class _Open:
    """A file that may span windows."""

    hasher: ContentHash = field(default_factory=ContentHash)
    failed: str = ""


class FileWriter:
    """Puts the pieces of windows back. `write` from one thread, windows in order."""

    def __init__(self, *, target: Target) -> None:
        self._target = target
        self._buffer = FileWriteBuffer(target=target)
        self._open: _Open | None = None
        self._links: list[Entry] = []
        self.entries = 0
        self.files = 0
        self.bytes_written = 0
        self.lost: list[Problem] = []

    def write(self, window: Window) -> None:
        """Write one window and clear it. The target may still be at work on the last of it, with views of its segments.

        Raises:
            TargetFailed: The target is full or cannot be written.
        """
        segments: Segments = {}
        for key, future in window.contents.items():
            try:
                segments[key] = future.result()
            except FarshoreError as error:
                segments[key] = error  # the files that need it are reported by name below
        for piece in window.pieces:
            self._write_piece(piece, segments)
        window.clear()  # the next but one is fetched before anybody else lets go of it
        self._make_links()
        self._count_placed()

    def finish(self) -> None:
        """Wait for what is under way."""
        self._buffer.wait()
        self._target.drain()
        self._count_placed()

    def close(self) -> None:
        """Stop the threads. Safe to repeat."""
        self._buffer.close()

    def _write_piece(self, piece: Piece, segments: Segments) -> None:
        entry = piece.row.entry
        if entry.kind is EntryKind.HARDLINK and not self._target.in_order:
            self._links.append(entry)
        elif entry.kind is not EntryKind.FILE:
            self._target.make(entry)
            self.entries += 1
        elif piece.first and piece.last and entry.size <= limits.SLOT_CONTENT_BYTES and _is_dense(piece.parts):
            self._add(piece, segments)
        else:
            self._write_parts(piece, segments)

    def _make_links(self) -> None:
        """Make the hard links of a window once their files are there: these precede them, or share their window."""
        if self._links:
            self._target.drain()
            for entry in self._links:
                self._target.make(entry)
            self.entries += len(self._links)
            self._links.clear()

    def _add(self, piece: Piece, segments: Segments) -> None:
        """Hand a whole small file to the target."""
        row = piece.row
        entry = row.entry
        size = 0
        try:
            views = [_view(part, segments) for part in piece.parts]
        except ObjectCorrupt as error:
            self._lose(entry, error.message)
            return
        for view in views:
            size += len(view)
        if size != entry.size:
            self._lose(entry, "its content has another size than the manifest says")
            return
        self._target.add(
            SmallFile(
                entry.path, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs, entry.size, row.content_hash
            ),
            views,
        )

    def _write_parts(self, piece: Piece, segments: Segments) -> None:
        entry = piece.row.entry
        if piece.first:
            self._target.make(entry)
            self._open = _Open()
        state = self._open or _Open()
        for part in piece.parts:
            if part.location is None:
                self._buffer.flush(entry, state.hasher)
                state.hasher.skip(part.extent.length)
                continue
            try:
                view = _view(part, segments)
            except ObjectCorrupt as error:
                state.failed = state.failed or error.message
                continue
            self._buffer.add(entry, state.hasher, part.offset, view)
            self.bytes_written += len(view)
        if piece.last:
            self._settle(piece, state)

    def _settle(self, piece: Piece, state: _Open) -> None:
        entry = piece.row.entry
        self._buffer.flush(entry, state.hasher)
        self._buffer.wait()
        self._open = None
        wanted = piece.row.content_hash  # a file that keeps part of its content has none; chunks hash to their names
        if not state.failed and wanted and state.hasher.digest() != wanted:
            state.failed = "its content does not hash to what the manifest says"
        if state.failed:
            self._lose(entry, state.failed)
        else:
            self._target.settle(entry)
            self.entries += 1
            self.files += 1

    def _lose(self, entry: Entry, message: str) -> None:
        """Leave a file out: a wrong one is worse than none."""
        self.lost.append(Problem(entry.path, ProblemCode.LOST, message))
        self.entries += 1
        self.files += 1
        self._target.discard(entry)

    def _count_placed(self) -> None:
        placed = self._target.newly_placed()
        self.entries += placed.files
        self.files += placed.files
        self.bytes_written += placed.bytes_written
        self.lost += placed.lost


def _is_dense(parts: tuple[Part, ...]) -> bool:
    return all(part.location is not None for part in parts)


def _view(part: Part, segments: Segments) -> memoryview:
    location = part.location
    if location is None or location is MISSING:
        raise ObjectCorrupt(_NO_COPY)
    content = segments.get((location.pack, location.segment))
    if content is None or isinstance(content, FarshoreError):
        raise ObjectCorrupt(f"{_NO_COPY}: {content.message}" if content else _NO_COPY)
    extent = part.extent
    if extent.offset + extent.length > location.length:
        raise ObjectCorrupt("its extents reach outside a chunk")
    start = location.offset + extent.offset
    if isinstance(content, memoryview):
        return content[start : start + extent.length]
    return content.read(start, extent.length)
