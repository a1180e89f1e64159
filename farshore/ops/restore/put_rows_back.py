"""Put rows of manifests back into a target: plan what they need, fetch it in windows, write. Decision 0016.

    rows -> `plan_content` -> `plan_windows` -> `SegmentFetcher` -> `FileWriter` -> target

The target gets its entries in the order of the rows, whatever the order of their content in the repository, so one that
can only append serves as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from farshore import limits
from farshore.format.comparable import Comparable
from farshore.format.manifest import ManifestReader, ManifestRow
from farshore.model import EntryKind
from farshore.ops.restore.content_plan import ContentPlan
from farshore.ops.restore.fetch import DEFAULT_MEMORY, SegmentFetcher, SegmentMemory
from farshore.ops.restore.file_writer import FileWriter
from farshore.ops.restore.spill import SpillFile
from farshore.ops.restore.windows import Window, plan_windows
from farshore.process_memory import give_back_unused
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.targets.base import Target


def put_rows_back(
    rows: Iterable[ManifestRow],
    plan: ContentPlan,
    *,
    repository: Repository,
    reader: ReplicaReader,
    keys: KeySet,
    target: Target,
    spill_place: Path | None,
    memory: SegmentMemory = DEFAULT_MEMORY,
    on_window: Callable[[FileWriter], None] = lambda _: None,
) -> FileWriter:
    """Write rows into a target that has begun, and finish it; return what became of them.

    Args:
        rows: The very rows that were planned, in the same order.
        keys: A reader's, of the domain and epoch of the snapshot.
        spill_place: A directory for content that is needed again later; None where nothing may be written.
        on_window: Called after every stretch of rows.

    Raises:
        TargetFailed: The target is full or cannot be written.
    """
    writer = FileWriter(target=target)
    spill = SpillFile(
        place=spill_place, reserved_bytes=lambda: max(plan.content_bytes - writer.bytes_written, 0)
    ) if spill_place else None  # fmt: skip
    fetcher = SegmentFetcher(repository=repository, plan=plan, reader=reader, keys=keys, spill=spill, memory=memory)
    try:
        for window in _ahead(plan_windows(rows, plan, fetcher.memory_of), fetcher):
            writer.write(window)
            on_window(writer)
        writer.finish()
        fetcher.close()  # the spill file is in a directory whose times the target is about to set
        target.finish()
    finally:
        fetcher.close()
        writer.close()
        target.close()
    return writer


def all_needs(manifest: ManifestReader) -> Iterator[bytes | memoryview]:
    """Yield the extents of all files of a manifest, for `plan_content`; without an object for each file."""
    for table in manifest.tables(["kind", "extents"]):
        yield Comparable(table).file_extents()


def needs_of(rows: Iterable[ManifestRow]) -> Iterator[bytes]:
    """Yield the extents of the files among rows, for `plan_content`."""
    return (row.extents for row in rows if row.entry.kind is EntryKind.FILE)


def _ahead(windows: Iterator[Window], fetcher: SegmentFetcher) -> Iterator[Window]:
    """Yield windows whose segments have been asked for, one window ahead of the writing."""
    current: Window | None = None
    for window in windows:
        give_back_unused(limits.READING_TRIM_BYTES_MIN)
        window.contents = fetcher.fetch(window.segments, window.start)
        if current is not None:
            yield current
        current = window
    if current is not None:
        yield current
