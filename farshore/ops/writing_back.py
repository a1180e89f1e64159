"""Write windows into a target in manifest order, hashing every file before it is called good."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from blake3 import blake3

from farshore import limits
from farshore.errors import FarshoreError, ObjectCorrupt, TargetFailed
from farshore.model import EntryKind, Problem
from farshore.ops.fetching import SegmentKey
from farshore.ops.windows import MISSING, Part, Piece, Window
from farshore.repository.content_hash import ContentHash
from farshore.targets.base import Target


@dataclass(slots=True)
class _Open:
    """A file that spans windows."""

    hasher: ContentHash = field(default_factory=ContentHash)
    failed: str = ""


class WriteBack:
    """Puts the pieces of windows back. `write` from one thread, windows in order."""

    def __init__(self, *, target: Target) -> None:
        self._target = target
        self._pool = ThreadPoolExecutor(limits.READ_THREADS, thread_name_prefix="write")
        self._placing: list[Future[None]] = []
        self._open: _Open | None = None
        self.entries = 0
        self.files = 0
        self.bytes_written = 0
        self.lost: list[Problem] = []

    def write(self, window: Window) -> None:
        """Write one window; returns when everything of it is at the target.

        Raises:
            TargetFailed: The target is full or cannot be written.
        """
        segments: dict[SegmentKey, bytes] = {}
        reason = ""
        for future in window.futures:
            try:
                segments.update(future.result())
            except FarshoreError as error:
                reason = reason or error.message  # the files that need it are told by name below
        for piece in window.pieces:
            self._write_piece(piece, segments, reason)
        self._wait()

    def finish(self) -> None:
        """Wait for what is under way."""
        self._wait()

    def close(self) -> None:
        """Stop the pool. Safe to repeat."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _write_piece(self, piece: Piece, segments: dict[SegmentKey, bytes], reason: str) -> None:
        entry = piece.row.entry
        if entry.kind is not EntryKind.FILE:
            if entry.kind is EntryKind.HARDLINK:
                self._wait()  # the file it names again must be there
            self._target.make(entry)
            self.entries += 1
            return
        if piece.first and piece.last and not any(part.location is None for part in piece.parts):
            self._place(piece, segments, reason)
        else:
            self._write_parts(piece, segments, reason)
        if piece.last:
            self.entries += 1
            self.files += 1

    def _place(self, piece: Piece, segments: dict[SegmentKey, bytes], reason: str) -> None:
        """Write a whole file in one call, from a thread of the pool."""
        entry = piece.row.entry
        try:
            views = [_view(part, segments) for part in piece.parts]
        except ObjectCorrupt as error:
            self._lose(piece, f"{error.message}: {reason}" if reason else error.message)
            return
        data = views[0] if len(views) == 1 else memoryview(b"".join(views))
        if blake3(data).digest() != piece.row.content_hash or len(data) != entry.size:
            self._lose(piece, "its content does not hash to what the manifest says")
            return
        self.bytes_written += len(data)
        self._start(lambda: self._target.place(entry, data))

    def _write_parts(self, piece: Piece, segments: dict[SegmentKey, bytes], reason: str) -> None:
        entry = piece.row.entry
        if piece.first:
            self._target.make(entry)
            self._open = _Open()
        state = self._open or _Open()
        for part in piece.parts:
            if part.location is None:
                state.hasher.skip(part.extent.length)
                continue
            try:
                view = _view(part, segments)
            except ObjectCorrupt as error:
                state.failed = state.failed or (f"{error.message}: {reason}" if reason else error.message)
                continue
            state.hasher.update(view)
            self.bytes_written += len(view)
            self._start(_writing(self._target, piece, part, view))
        if piece.last:
            self._wait()
            self._open = None
            if not state.failed and state.hasher.digest() != piece.row.content_hash:
                state.failed = "its content does not hash to what the manifest says"
            if state.failed:
                self._target.discard(entry)
                self._lose(piece, state.failed)
            else:
                self._target.settle(entry)

    def _lose(self, piece: Piece, message: str) -> None:
        """Leave a file out: a wrong one is worse than none."""
        self.lost.append(Problem(piece.row.entry.path, "lost", message))

    def _start(self, call: Callable[[], None]) -> None:
        self._placing.append(self._pool.submit(call))

    def _wait(self) -> None:
        placing, self._placing = self._placing, []
        for future in placing:
            try:
                future.result()
            except OSError as error:
                raise TargetFailed(f"the target cannot be written: {error.strerror or error}") from error


def _writing(target: Target, piece: Piece, part: Part, view: memoryview) -> Callable[[], None]:
    return lambda: target.write(piece.row.entry, part.offset, view)


def _view(part: Part, segments: dict[SegmentKey, bytes]) -> memoryview:
    location = part.location
    if location is None or location is MISSING or (location.pack, location.segment) not in segments:
        raise ObjectCorrupt("no replica holds a good copy of its content")
    start = location.offset + part.extent.offset
    view = memoryview(segments[location.pack, location.segment])[start : start + part.extent.length]
    if part.extent.offset + part.extent.length > location.length:
        raise ObjectCorrupt("its extents reach outside a chunk")
    return view
