"""Batches of small files: read by a few threads at first, and by processes once there are many.

Results are in the order of the items, whichever way they were read. Items that neither way reads well are left to the
backup itself.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from farshore import limits
from farshore.format.extents import EXTENT_BYTES, view_extents
from farshore.format.manifest import ManifestRow
from farshore.model import EntryKind, Problem
from farshore.ops.backup.pages.paged_file import FileRead
from farshore.ops.backup.pipeline.pack_chunks import Chunk, ChunkPacker
from farshore.ops.backup.pipeline.read_file import ContentReader
from farshore.ops.backup.pipeline.readers import Readers, Reading
from farshore.ops.backup.pipeline.reading_protocol import BatchRead
from farshore.sources.base import Item

_BATCHED_FILE_BYTES_MAX = (
    limits.CHANGED_FILE_ATTEMPTS * limits.SMALL_FILE_BYTES_MAX
)  # the bytes of each attempt are held


class Left(NamedTuple):
    """An item that the backup reads itself, at its turn."""

    item: Item


class Result(NamedTuple):
    """The outcome of one item; of a row, also the bytes that were read for it."""

    of: ManifestRow | FileRead | Problem | Left
    bytes_read: int = 0


class _GrownError(Exception):
    """A small file has become so large since it was listed that a batch must not hold it."""


@dataclass(slots=True)
class Batch:
    """Items being read. Of those that a process reads, `read` is set once its verdict was sent."""

    items: list[Item]
    by_thread: Future[list[tuple[Result, list[Chunk]]]] | None = None
    by_process: Reading | None = None
    read: BatchRead | None = None


class Batches:
    """Reads batches and gives their chunks to the packer. One thread; `close` after use.

    Args:
        start_readers: Starts the processes, or returns None where there can be none.
    """

    def __init__(
        self, *, reader: ContentReader, packer: ChunkPacker, start_readers: Callable[[], Readers | None]
    ) -> None:
        self._reader = reader
        self._packer = packer
        self._start_readers = start_readers
        self._readers: Readers | None = None
        self._until_readers = limits.READING_PROCESSES_FILES_MIN
        self._pool = ThreadPoolExecutor(limits.READ_THREADS, thread_name_prefix="read")
        self._unjudged: deque[Batch] = deque()
        self.ahead = limits.PENDING_UNITS_MAX  # batches that may wait for their turn

    def submit(self, items: list[Item]) -> Batch:
        """Have items read; ask for batches in this order."""
        if self._until_readers <= 0:
            self._until_readers = sys.maxsize
            self._readers = self._start_readers()
            self.ahead = self._readers.units_ahead if self._readers is not None else self.ahead
        if self._readers is None:
            self._until_readers -= len(items)
            return Batch(items, by_thread=self._pool.submit(self._read, items))
        batch = Batch(items, by_process=self._readers.give([item.stat_entry for item in items]))
        self._unjudged.append(batch)
        return batch

    def results(self, batch: Batch) -> Iterator[Result]:
        """Wait for a batch; give its chunks to the packer, and yield the result of each item.

        Raises:
            ToolUnavailable: A process is gone.
            SourceUnavailable, SourceCorrupt: The source as a whole failed.
        """
        if batch.by_thread is not None:
            reads = batch.by_thread.result()
            self._packer.add([chunk for _, chunks in reads for chunk in chunks])
            yield from (result for result, _ in reads)
            return
        while batch.read is None:
            self._judge(self._unjudged.popleft())
        yield from _rows(batch.items, batch.read)

    def judge_ready(self) -> None:
        """Send verdicts on the batches that are read already, so that no process waits for its turn."""
        while self._unjudged and (reading := self._unjudged[0].by_process) is not None and reading.ready:
            self._judge(self._unjudged.popleft())

    def finish(self) -> None:
        """Have all new chunks sealed. The results of every batch must have been asked for."""
        if self._readers is not None:
            self._packer.add_sealed(self._readers.finish())

    def close(self) -> None:
        """End threads and processes. Safe to repeat."""
        if self._readers is not None:
            self._readers.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _judge(self, batch: Batch) -> None:
        reading, readers = batch.by_process, self._readers
        if reading is None or readers is None:
            return
        batch.read = reading.result()
        extents = view_extents(batch.read.extents)
        new = self._packer.claim([one.tobytes() for one in extents["chunk"]], extents["length"].tolist())
        readers.send_verdict(reading, new, thorough=self._packer.uploads_are_bottleneck)
        self._packer.add_sealed(readers.sealed())

    def _read(self, items: list[Item]) -> list[tuple[Result, list[Chunk]]]:
        """Run in a reading thread."""
        results: list[tuple[Result, list[Chunk]]] = []
        for item in items:
            chunks: list[Chunk] = []
            if item.stat_entry.kind is not EntryKind.FILE:
                results.append((Result(ManifestRow(item.entry)), chunks))
                continue
            try:
                read = self._reader.read(item, _collect(chunks), attempts=limits.CHANGED_FILE_ATTEMPTS)
            except _GrownError:
                results.append((Result(Left(item)), []))
                continue
            results.append((Result(read), chunks))
        return results


def _rows(items: list[Item], read: BatchRead) -> Iterator[Result]:
    """Yield the result of a process as rows of the manifest."""
    done = at = 0
    for place, (item, state) in enumerate(zip(items, read.states, strict=True)):
        if not state:
            yield Result(Left(item))
            continue
        entry = item.stat_entry
        if place in read.xattrs:
            entry = entry._replace(xattrs=read.xattrs[place])
        end = at + read.counts[done] * EXTENT_BYTES
        is_file = entry.kind is EntryKind.FILE
        yield Result(ManifestRow(entry, read.hashes[done], read.extents[at:end]), entry.size if is_file else 0)
        done, at = done + 1, end


def _collect(chunks: list[Chunk]) -> Callable[[bytes, bytes | memoryview], None]:
    collected = 0

    def emit(chunk_id: bytes, data: bytes | memoryview) -> None:
        nonlocal collected
        collected += len(data)
        if collected > _BATCHED_FILE_BYTES_MAX:
            raise _GrownError
        chunks.append((chunk_id, bytes(data)))  # a view holds only until the next chunk

    return emit
