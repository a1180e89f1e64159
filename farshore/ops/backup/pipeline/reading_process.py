"""A process that reads small files, names their chunks, and seals those that are new: Python reads on one core only.

A worker of `Readers`. It holds the keys of this run for naming and sealing chunks, opens no replica, and receives from
the backup which chunks are new.
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
from farshore.ops.backup.pipeline import reading_protocol as protocol
from farshore.ops.backup.pipeline.reading_protocol import BatchRead, ReaderSetup
from farshore.process_memory import tune_heap
from farshore.sealed.segments import SegmentNumbers, SegmentParts, seal_segment
from farshore.sources.directory.small_files import SmallFiles

Chunk = tuple[ChunkId, bytes | memoryview]


class ReadingProcess:
    """Answers frames, one after the other. Holds the data of the batches that it has no verdict for."""

    def __init__(self, *, root: Handle, setup: ReaderSetup, answers: IO[bytes]) -> None:
        handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._files = SmallFiles(handles=handles, settled_before_ns=setup.settled_before_ns)
        self._setup = setup
        self._answers = answers
        self._unjudged: deque[list[Chunk]] = deque()
        self._parts = SegmentParts(kept_max=0)
        self._numbers = SegmentNumbers(data_key=setup.data_key, clock=SystemClock())
        self._judged = 0  # batches
        self._ends: deque[int] = deque()  # of stretches, as numbers of batches
        self._thorough = False

    def read_batch(self, entries: list[Entry]) -> None:
        """Read a batch and answer with the names of its chunks."""
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
        pack = protocol.EXTENT.pack
        extents = b"".join([pack(chunk_id, 0, len(data)) for chunk_id, data in chunks])
        self._unjudged.append(chunks)
        read = BatchRead(bytes(states), hashes, counts, extents, xattrs_of)
        write_frame(self._answers, protocol.READ, protocol.encode_read(read))

    def apply_verdict(self, verdict: bytes) -> None:
        """Gather the chunks of the oldest batch that are new, and seal full segments."""
        self._thorough = bool(verdict[0])
        chunks = self._unjudged.popleft()
        if len(chunks) != len(verdict) - 1:
            raise Bug("a reading process was sent a verdict on other chunks than it had named")
        chunks.reverse()
        for new in verdict[1:]:
            chunk_id, data = chunks.pop()  # sealing needs as much memory as a batch does
            if new:
                if not self._parts.has_room(len(data)):
                    self._seal()
                self._parts.add(chunk_id, data)
        self._judged += 1
        self._end_segments()

    def seal_up_to(self, batches: int) -> None:
        """Seal all that is new of the first `batches` batches, once their verdicts are there."""
        self._ends.append(batches)
        self._end_segments()

    def end(self) -> None:
        """Answer that everything is done."""
        write_frame(self._answers, protocol.DONE)

    def _end_segments(self) -> None:
        while self._ends and self._ends[0] <= self._judged:
            self._ends.popleft()
            if not self._parts.empty:
                self._seal()
            write_frame(self._answers, protocol.SEALED)

    def _cut(self, data: bytes, chunks: list[Chunk]) -> None:
        setup = self._setup
        if len(data) <= setup.sizes.minimum:
            if data:
                chunks.append((blake3(data, key=setup.chunk_key).digest(), data))
            return
        cutter = ContentCutter(sizes=setup.sizes, seed=setup.cut_seed)
        chunks += [(blake3(chunk, key=setup.chunk_key).digest(), chunk) for chunk in cutter.whole(data)]

    def _seal(self) -> None:
        segment = self._parts.build(*self._numbers.next_number())
        sealed = seal_segment(segment, self._setup.data_key, self._setup.repository_id, thorough=self._thorough)
        write_frame(self._answers, protocol.SEGMENT, protocol.encode_segment(sealed), sealed.sealed)


def serve(root: Handle, orders_pipe: IO[bytes], answers: IO[bytes]) -> None:
    """Carry out orders until there are no more; an error is sent to the backup and ends the process."""
    process: ReadingProcess | None = None
    with reporting_failure(answers, protocol.FAILED, "a reading process"):
        while (frame := read_frame(orders_pipe)) is not None:
            letter, body = frame
            if process is None:
                process = ReadingProcess(root=root, setup=protocol.decode_setup(body), answers=answers)
            elif letter == protocol.BATCH:
                process.read_batch(protocol.decode_batch(body))
            elif letter == protocol.VERDICT:
                process.apply_verdict(body)
            elif letter == protocol.SEAL:
                process.seal_up_to(protocol.decode_count(body))
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
