"""A process that reads small files, names their chunks, and seals those that are new: Python reads on one core only.

Started by `Readers` and fed by it. It holds the keys of this run for naming and sealing chunks, opens no replica, and
is told by the backup which chunks are new. It ends when its orders end, so it cannot outlive the backup.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from typing import IO

from blake3 import blake3

from farshore import limits
from farshore.chunking.content import ContentCutter
from farshore.clock import SystemClock
from farshore.errors import Bug
from farshore.frames import read_frame, reporting_failure, write_frame
from farshore.handles import DirectoryHandles, Handle
from farshore.model import ChunkId, Entry, EntryKind
from farshore.ops.backup.pipeline import reading_protocol as orders
from farshore.ops.backup.pipeline.reading_protocol import BatchRead, ReaderSetup
from farshore.process_memory import tune_heap
from farshore.sealed.segments import SegmentNumbers, SegmentParts, seal_segment
from farshore.sources.directory.small_files import SmallFiles

Chunk = tuple[ChunkId, bytes | memoryview]


class ReadingProcess:
    """Answers frames, one after the other. Holds the data of the batches that it has no verdict for."""

    def __init__(self, *, root: Handle, ground: ReaderSetup, answers: IO[bytes]) -> None:
        handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._files = SmallFiles(handles=handles, settled_before_ns=ground.settled_before_ns)
        self._ground = ground
        self._answers = answers
        self._held: deque[list[Chunk]] = deque()
        self._parts = SegmentParts(kept_max=0)
        self._numbers = SegmentNumbers(data_key=ground.data_key, clock=SystemClock())
        self._judged = 0  # batches
        self._ends: deque[int] = deque()  # of stretches, as numbers of batches
        self._thorough = False

    def take_batch(self, entries: list[Entry]) -> None:
        """Read a batch and answer what its chunks are named."""
        chunks: list[Chunk] = []
        states = bytearray(len(entries))
        hashes: list[bytes] = []
        counts: list[int] = []
        xattrs_of: dict[int, tuple[tuple[bytes, bytes], ...]] = {}
        for at, entry in enumerate(entries):
            if entry.kind is EntryKind.FILE:
                found = self._files.read(entry)
                if found is None:
                    continue
                data, xattrs = found
                before = len(chunks)
                self._cut(data, chunks)
                hashes.append(blake3(data).digest())
                counts.append(len(chunks) - before)
            else:
                attributes = self._files.attributes(entry)
                if attributes is None:
                    continue
                xattrs = attributes
                hashes.append(b"")
                counts.append(0)
            states[at] = 1
            if xattrs:
                xattrs_of[at] = xattrs
        pack = orders.EXTENT.pack
        extents = b"".join([pack(chunk_id, 0, len(data)) for chunk_id, data in chunks])
        self._held.append(chunks)
        read = BatchRead(bytes(states), hashes, counts, extents, xattrs_of)
        write_frame(self._answers, orders.READ, orders.encode_read(read))

    def take_verdict(self, verdict: bytes) -> None:
        """Gather the chunks of the oldest batch that are new, and seal what fills a segment."""
        self._thorough = bool(verdict[0])
        chunks = self._held.popleft()
        if len(chunks) != len(verdict) - 1:
            raise Bug("a reading process was told of other chunks than it had named")
        chunks.reverse()
        for new in verdict[1:]:
            chunk_id, data = chunks.pop()  # sealing needs as much memory as a batch does
            if new:
                if not self._parts.has_room(len(data)):
                    self._seal()
                self._parts.add(chunk_id, data)
        self._judged += 1
        self._end_stretches()

    def seal_up_to(self, batches: int) -> None:
        """Seal all that is new of the first `batches` batches, once their verdicts are there."""
        self._ends.append(batches)
        self._end_stretches()

    def end(self) -> None:
        """Say that nothing is left."""
        write_frame(self._answers, orders.DONE)

    def _end_stretches(self) -> None:
        while self._ends and self._ends[0] <= self._judged:
            self._ends.popleft()
            if not self._parts.empty:
                self._seal()
            write_frame(self._answers, orders.SEALED)

    def _cut(self, data: bytes, chunks: list[Chunk]) -> None:
        ground = self._ground
        if len(data) <= ground.sizes.minimum:
            if data:
                chunks.append((blake3(data, key=ground.chunk_key).digest(), data))
            return
        cutter = ContentCutter(sizes=ground.sizes, seed=ground.cut_seed)
        chunks += [(blake3(chunk, key=ground.chunk_key).digest(), chunk) for chunk in cutter.whole(data)]

    def _seal(self) -> None:
        segment = self._parts.build(*self._numbers.next_number())
        sealed = seal_segment(segment, self._ground.data_key, self._ground.repository_id, thorough=self._thorough)
        write_frame(self._answers, orders.SEGMENT, orders.encode_segment(sealed), sealed.sealed)


def serve(root: Handle, orders_pipe: IO[bytes], answers: IO[bytes]) -> None:
    """Do what is ordered until there are no more orders; what goes wrong is told, and ends it."""
    process: ReadingProcess | None = None
    with reporting_failure(answers, orders.FAILED, "a reading process"):
        while (frame := read_frame(orders_pipe)) is not None:
            letter, body = frame
            if process is None:
                process = ReadingProcess(root=root, ground=orders.decode_ground(body), answers=answers)
            elif letter == orders.BATCH:
                process.take_batch(orders.decode_batch(body))
            elif letter == orders.VERDICT:
                process.take_verdict(body)
            elif letter == orders.SEAL:
                process.seal_up_to(orders.decode_count(body))
            else:
                process.end()


def main() -> None:
    """Serve with what `Readers` hands over: the descriptor of the tree's root."""
    gc.disable()  # batches come and go without cycles
    tune_heap()
    root = Handle(int(sys.argv[1]))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=64 * limits.KIB)
    serve(root, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
