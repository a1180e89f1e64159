"""The rows of a new manifest: put in order, with directories that the source had no entry for, and counted."""

from __future__ import annotations

from farshore import limits
from farshore.catalog.manifest_changes import ManifestChanges
from farshore.catalog.previous_rows import Slice
from farshore.format.choosing import sort_key
from farshore.format.manifest import ManifestRow, ManifestWriter, table_to_rows
from farshore.model import Entry, EntryKind, Problem, ProblemCode, SnapshotCounts
from farshore.ops.backup.pipeline.pack_chunks import ChunkPacker
from farshore.ops.backup.pipeline.parents import Parents, made_directory
from farshore.results import Progress, ProgressCallback


class SnapshotRows:
    """Writes the rows of one snapshot. One use, from one thread.

    `ordered`: whether rows are added in the order of the manifest; else they wait in memory until `finish`.

    Args:
        manifest: Gets all rows.
        changes: Gets those that differ from the snapshot before, where there is such.
    """

    def __init__(
        self,
        *,
        manifest: ManifestWriter,
        changes: ManifestChanges | None,
        packer: ChunkPacker,
        progress: ProgressCallback,
    ) -> None:
        self._manifest = manifest
        self._changes = changes
        self._packer = packer
        self._progress = progress
        self._parents = Parents()
        self._waiting: list[ManifestRow] = []
        self._streaming = self._reported = 0
        self._entries = self._files = self._bytes_total = self._bytes_read = self._unchanged = 0
        self.ordered = True
        self.problems: list[Problem] = []

    @property
    def empty(self) -> bool:
        """Whether there is no file so far, and at most the directory that is the source."""
        return self._entries <= 1 and not self._files

    @property
    def counts(self) -> SnapshotCounts:
        """The counts of the run so far."""
        return SnapshotCounts(
            entries=self._entries,
            files=self._files,
            bytes_total=min(self._bytes_total, limits.COUNT_MAX),
            bytes_read=self._bytes_read,
            bytes_new=self._packer.bytes_new,
            chunks_new=self._packer.chunks_new,
            entries_unchanged=self._unchanged,
            problems=len(self.problems),
            lacking=sum(problem.matters for problem in self.problems),
        )

    def add(self, row: ManifestRow, bytes_read: int = 0) -> None:
        """Write one row, for which `bytes_read` were read."""
        self._entries += 1
        self._bytes_read += bytes_read
        if row.entry.kind is EntryKind.FILE:
            self._files += 1
            self._bytes_total += row.entry.size
        if self.ordered:
            self._add(row)
        else:
            self._waiting.append(row)
            self.report()

    def add_slice(self, unit: Slice) -> None:
        """Write rows of the earlier manifest as they are."""
        self._keep_parents_of(unit)
        self._manifest.add_slice(unit.group, unit.start, unit.count)
        if self._changes is not None:
            self._changes.keep(unit)
        self._entries += unit.count
        self._files += unit.files
        self._bytes_total += unit.bytes_total
        self._unchanged += unit.count

    def finish(self) -> None:
        """Write the rows that waited."""
        for row in sorted(self._waiting, key=lambda row: sort_key(row.entry.path)):
            self._add(row)

    def add_streamed(self, bytes_read: int) -> None:
        """Show the progress of a large file before it is done; a second attempt at it shows none."""
        self._streaming += bytes_read
        self.report()

    def end_streaming(self) -> None:
        """Note that the large file ended: its row counts from here on."""
        self._streaming = 0

    def report(self) -> None:
        """Report how much of the source is done."""
        done = max(self._reported, self._bytes_total + self._streaming)
        self._reported = done
        self._progress(Progress("seal", entries=self._entries, bytes_done=done))

    def _add(self, row: ManifestRow) -> None:
        entry = row.entry
        for path in self._parents.step(entry.path, directory=entry.kind is EntryKind.DIRECTORY):
            self._make_directory(path, entry)
        self._write(row)

    def _write(self, row: ManifestRow) -> None:
        self._manifest.add(row)
        if self._changes is not None:
            self._changes.add(row)

    def _keep_parents_of(self, unit: Slice) -> None:
        first, last = unit.start, unit.start + unit.count - 1
        paths, kinds = unit.group.column("path"), unit.group.column("kind")
        for path in self._parents.step(paths[first].as_py(), directory=kinds[first].as_py() == EntryKind.DIRECTORY):
            self._make_directory(path, next(table_to_rows(unit.group.slice(first, 1))).entry)
        self._parents.jump(paths[last].as_py(), directory=kinds[last].as_py() == EntryKind.DIRECTORY)

    def _make_directory(self, path: bytes, inside: Entry) -> None:
        self._entries += 1
        self._write(ManifestRow(made_directory(path, inside)))
        self.problems.append(
            Problem(
                path,
                ProblemCode.METADATA,
                "the source had no entry for this directory; its owner is that of its content",
                matters=False,
            )
        )
