"""The reading side of a backup: walk a capture, compare, read changed files, gather chunks, write the manifest.

Small files are read in batches (see `batches`), in order; large and page-structured files are streamed. The
queue between is bounded, so memory is set by the limits and not by the source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from farshore import limits
from farshore.catalog.compare import Match, PreviousManifest, RowRange, UnchangedRun
from farshore.catalog.manifest_changes import ManifestChanges
from farshore.catalog.previous_rows import Slice
from farshore.errors import SourceMissing
from farshore.format.extents import decode_extents, encode_extents
from farshore.format.manifest import ManifestReader, ManifestRow, ManifestWriter
from farshore.model import Entry, EntryKind, Problem, ProblemCode, SnapshotCounts
from farshore.ops.backup.pages.page_map_builder import PageMapBuilder
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages
from farshore.ops.backup.pipeline.batches import Batch, Batches, Left
from farshore.ops.backup.pipeline.pack_chunks import ChunkPacker
from farshore.ops.backup.pipeline.read_file import ContentReader
from farshore.ops.backup.pipeline.readers import Readers
from farshore.ops.backup.pipeline.snapshot_rows import SnapshotRows
from farshore.results import ProgressCallback
from farshore.sources.base import Capture, Item, Listing


@dataclass(frozen=True, slots=True)
class _Inline:
    """An item that is read at its turn: large, page-structured, or a hard link."""

    item: Item
    match: Match | None


_Unit = Slice | _Inline | Batch


class SnapshotWriter:
    """Reads one capture into a packer, a manifest and a page map. One use; `run` from one thread."""

    def __init__(
        self,
        *,
        reader: ContentReader,
        packer: ChunkPacker,
        manifest: ManifestWriter,
        changes: ManifestChanges | None = None,
        pages: PageMapBuilder,
        previous: PreviousManifest | None,
        entries_before: int | None,
        progress: ProgressCallback,
        start_readers: Callable[[], Readers | None] = lambda: None,
    ) -> None:
        self._reader = reader
        self._packer = packer
        self._rows = SnapshotRows(manifest=manifest, changes=changes, packer=packer, progress=progress)
        self._pages = pages
        self._previous = previous
        self._entries_before = entries_before
        self._pending: deque[_Unit] = deque()
        self._batch: list[Item] = []
        self._batch_bytes = 0
        self._batches = Batches(reader=reader, packer=packer, start_readers=start_readers)
        self._run = UnchangedRun()
        self._lost: dict[bytes, bytes | None] = {}  # first names of files that were not stored -> the name that is
        self._previous_extents: dict[bytes, bytes] = {}
        self._read_ahead = False

    def run(self, capture: Capture, *, allow_empty: bool, listings: Iterator[Listing] | None = None) -> dict[str, str]:
        """Read everything; return the source's facts.

        Args:
            capture: To read.
            allow_empty: Whether it may be empty although there is no snapshot yet, or the last one was not empty.
            listings: Its entries as columns, where processes walk the source.

        Raises:
            SourceMissing: Nothing of the source is kept, and nobody allowed that.
            SourceCorrupt, SourceUnavailable: The source as a whole failed; there is no snapshot.
        """
        self._rows.ordered = self._pages.ordered = capture.ordered
        self._read_ahead = not capture.sequential
        try:
            if listings is not None and self._previous is not None:
                for listing in listings:
                    for found in self._previous.compare(listing):
                        self._add_unchanged(found) if isinstance(found, RowRange) else self._add_item(*found)
            else:
                for item in capture.items():
                    if capture.sequential:
                        self._handle_inline(_Inline(item, None))
                    else:
                        self._add_item(item, self._previous.match(item.stat_entry) if self._previous else None)
            self._close_batch()
            self._flush_run()
            while self._pending:
                self._handle(self._pending.popleft())
            self._batches.finish()
        finally:
            self._batches.close()
        facts = capture.finish()
        self._rows.finish()
        self._pages.finish()
        self.problems.extend(capture.problems())
        if not allow_empty and self._rows.empty:
            self._refuse_empty()
        return facts

    def _refuse_empty(self) -> None:
        """Refuse to call nothing a backup, unless the last snapshot was as empty, which somebody allowed."""
        before = self._entries_before
        if before is not None and before <= 1:
            return
        now = "the source is empty now, or everything in it is excluded"
        raise SourceMissing(
            f"{now}, and its last snapshot had {before:,} entries" if before else f"{now}: nothing would be backed up",
            "Check that the volume is mounted, and the patterns of exclude. If it is meant to be empty, back up with "
            "--allow-empty.",
        )

    @property
    def counts(self) -> SnapshotCounts:
        """The counts of the run so far."""
        return self._rows.counts

    @property
    def problems(self) -> list[Problem]:
        """The entries that could not be stored as they are, so far."""
        return self._rows.problems

    def load_previous_extents(self, manifest: ManifestReader) -> None:
        """Remember the extents of each page-structured file, for a capture whose items are in any order."""
        for table in manifest.tables(["path", "page_bytes", "extents"]):
            columns = (table.column(name).to_pylist() for name in ("path", "page_bytes", "extents"))
            for path, page_bytes, extents in zip(*columns, strict=True):
                if page_bytes:
                    self._previous_extents[path] = extents

    def _add_unchanged(self, rows: RowRange) -> None:
        self._close_batch()
        for part in self._run.add(rows):
            self._push(part)

    def _add_item(self, item: Item, match: Match | None) -> None:
        entry = item.stat_entry
        unchanged = match is not None and match.unchanged
        if entry.kind is EntryKind.HARDLINK or (not unchanged and _streamed(item)):
            self._close_batch()
            self._flush_run()
            self._push(_Inline(item, match))
            return
        if match and unchanged:
            self._add_unchanged(RowRange(match.group, match.at, match.at + 1))
            return
        if not self._run.empty:
            self._flush_run()
        self._batch.append(item)
        self._batch_bytes += entry.size if entry.kind is EntryKind.FILE else 0
        if len(self._batch) >= limits.BATCH_ITEMS_MAX or self._batch_bytes >= limits.BATCH_BYTES_MAX:
            self._close_batch()

    def _close_batch(self) -> None:
        if self._batch:
            self._push(self._batches.submit(self._batch))
            self._batch, self._batch_bytes = [], 0

    def _flush_run(self) -> None:
        for part in self._run.flush():
            self._push(part)

    def _push(self, unit: _Unit) -> None:
        self._pending.append(unit)
        self._batches.judge_ready()
        # A slice waits for nobody, and holds a whole row group of the earlier manifest in memory.
        while len(self._pending) > self._batches.ahead or (self._pending and isinstance(self._pending[0], Slice)):
            self._handle(self._pending.popleft())

    def _handle(self, unit: _Unit) -> None:
        if isinstance(unit, Slice):
            self._packer.reuse(unit.rows)
            self._rows.add_slice(unit)
            for path in unit.paged:
                self._pages.keep(path)
        elif isinstance(unit, _Inline):
            self._handle_inline(unit)
        else:
            for result, bytes_read in self._batches.results(unit):
                if isinstance(result, Left):
                    self._handle_inline(_Inline(result.item, None))
                elif isinstance(result, ManifestRow):
                    self._rows.add(result, bytes_read)
                else:
                    self._finish(result)
        self._rows.report()

    def _handle_inline(self, unit: _Inline) -> None:
        entry = unit.item.stat_entry
        if entry.kind is EntryKind.HARDLINK and entry.target not in self._lost:
            self._handle_link(unit, entry)
            return
        if entry.kind is EntryKind.HARDLINK and self._lost[entry.target] is not None:
            self._finish(ManifestRow(unit.item.entry._replace(target=self._lost[entry.target] or b"")))
            return
        if entry.kind not in (EntryKind.FILE, EntryKind.HARDLINK):
            self._finish(ManifestRow(unit.item.entry))
            return
        result = self._reader.read(
            unit.item,
            self._packer.add_one,
            previous_pages=lambda: self._previous_pages(unit),
            attempts=limits.CHANGED_FILE_ATTEMPTS if self._rows.ordered else 1,
            report_bytes=self._note_streamed,
            ahead=self._read_ahead,
        )
        self._rows.end_streaming()
        if entry.kind is EntryKind.HARDLINK and isinstance(result, FileRead):
            self._lost[entry.target] = entry.path
        self._finish(result)

    def _handle_link(self, unit: _Inline, entry: Entry) -> None:
        if unit.match and unit.match.unchanged:
            self._handle(unit.match.group.slice(unit.match.at, unit.match.at + 1))
        else:
            self._finish(ManifestRow(unit.item.entry))

    def _previous_pages(self, unit: _Inline) -> PreviousPages | None:
        """Return the previous pages of a file; its extents only if every chunk of them is still stored."""
        entry = unit.item.entry
        encoded = self._previous_extents.get(entry.path) if unit.match is None else unit.match.row().extents
        extents = decode_extents(encoded) if encoded is not None else []
        if not self._packer.holds({extent.chunk for extent in extents}):
            extents = []
        return self._pages.previous_pages(entry, extents)

    def _finish(self, result: ManifestRow | FileRead | Problem) -> None:
        if isinstance(result, Problem):
            self.problems.append(result)
            self._lost.setdefault(result.path, None)
            return
        if isinstance(result, ManifestRow):
            self._rows.add(result)
            return
        if result.paged:
            self._packer.reuse_ids({extent.chunk for extent in result.extents})
            self._pages.add(result)
        if result.state != "whole":
            said = "it changed during each attempt to read it; stored as last read"
            self.problems.append(Problem(result.entry.path, ProblemCode.CHANGING, said, matters=False))
        row = ManifestRow(result.entry, result.content_hash, encode_extents(result.extents), result.state)
        self._rows.add(row, result.bytes_read)

    def _note_streamed(self, bytes_read: int) -> None:
        self._batches.judge_ready()
        self._packer.note_read(bytes_read)
        self._rows.add_streamed(bytes_read)


def _streamed(item: Item) -> bool:
    """Whether a file is read by the sealing thread: it is large, or its earlier pages are wanted."""
    entry = item.stat_entry
    if entry.kind is not EntryKind.FILE or entry.size < limits.PAGED_FILE_BYTES_MIN:
        return False
    return entry.size > limits.SMALL_FILE_BYTES_MAX or bool(item.entry.page_bytes)
