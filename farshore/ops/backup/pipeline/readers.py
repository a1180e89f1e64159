"""The reading processes of a backup: started when there are many small files, given batches, waited for.

Each reads its batches and sends the names of their chunks; the backup answers which of them are new; the process
compresses and seals those. So the bytes of files stay in the process that read them, and only sealed segments travel.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import field
from queue import SimpleQueue

from farshore import limits
from farshore.errors import Bug
from farshore.frames import Frame
from farshore.handles import Handle
from farshore.model import Entry, dataclass
from farshore.ops.backup.pipeline import reading_protocol as protocol
from farshore.ops.backup.pipeline.reading_protocol import BatchRead, ReaderSetup
from farshore.sealed.segments import SealedSegment
from farshore.workers import Worker, close_all, spawn

_MODULE = "farshore.ops.backup.pipeline.reading_process"


@dataclass(slots=True)
class _Reader:
    worker: Worker
    reads: SimpleQueue[BatchRead | Exception | None] = field(default_factory=SimpleQueue)  # None: done
    sealed: deque[SealedSegment | None] = field(default_factory=deque)  # None: all of one SEAL was sealed
    given: int = 0
    asked: int = 0  # of those given, whose result was asked for
    judged: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """One batch that a process was given."""

    reader: _Reader
    number: int

    @property
    def ready(self) -> bool:
        """Whether it is its turn and `result` returns at once."""
        return self.reader.asked == self.number and not self.reader.reads.empty()

    def result(self) -> BatchRead:
        """Wait for the batch. Batches of one process are asked for in the order given, each once.

        Raises:
            FarshoreError: The process failed, or is gone.
        """
        if self.reader.asked != self.number:
            raise Bug("batches of a reading process were asked for out of order")
        self.reader.asked += 1
        read = self.reader.reads.get()
        if isinstance(read, Exception):
            raise read
        if read is None:
            raise Bug("a reading process was done before its last batch")
        return read


class Readers:
    """Some processes that read below one open directory. Used by one thread; `close` ends them all.

    Raises:
        OSError: A process could not be started; none is left.
    """

    def __init__(self, *, root: Handle, setup: ReaderSetup, processes: int) -> None:
        self._key_id = setup.data_key.key_id
        self._segment_readers: deque[_Reader] = deque()  # by segment, in order: the reader of its batches
        self._segment_bytes = 0  # of the last one; 0 when it is over
        self._readers: list[_Reader] = []
        try:
            for _ in range(processes):
                self._readers.append(self._start(root, setup))
        except BaseException:
            self.close()
            raise
        self.units_ahead = limits.BATCHES_PER_PROCESS * processes

    def give(self, entries: Sequence[Entry]) -> Reading:
        """Have a batch read. Batches that fill a segment go to one process, the next ones to that with least to do."""
        size = sum(entry.size for entry in entries) or 1
        if self._segment_bytes and self._segment_bytes + size > limits.SEGMENT_BYTES:
            self._end_segment()
        if not self._segment_bytes:
            self._segment_readers.append(min(self._readers, key=lambda one: one.given - one.judged))
        self._segment_bytes += size
        reader = self._segment_readers[-1]
        reader.worker.send(protocol.BATCH, protocol.encode_batch(entries))
        reader.given += 1
        return Reading(reader, reader.given - 1)

    def send_verdict(self, reading: Reading, new: bytes, *, thorough: bool) -> None:
        """Send which chunks of the batch are new: they will be sealed. Once for each batch, after `result`.

        Args:
            new: 1 for a chunk that is new and 0 for another, in the order of the extents.
            thorough: Whether there is time to compress harder.
        """
        reading.reader.judged += 1
        reading.reader.worker.send(protocol.VERDICT, bytes([thorough]), new)

    def sealed(self) -> Iterator[SealedSegment]:
        """Yield the segments received so far, in the order of their batches, up to the first one still missing.

        Files adjacent in the source stay adjacent in a pack, so a restore reads them by few requests.
        """
        while self._segment_readers and self._segment_readers[0].sealed:
            segment = self._segment_readers[0].sealed.popleft()
            if segment is None:
                self._segment_readers.popleft()
            else:
                yield segment

    def finish(self) -> Iterator[SealedSegment]:
        """Have everything sealed that was new, and yield it. Every batch must have had its verdict.

        Raises:
            FarshoreError: A process failed, or is gone.
        """
        if self._segment_bytes:
            self._end_segment()
        for reader in self._readers:
            reader.worker.send(protocol.END)
        for reader in self._readers:
            last = reader.reads.get()
            if isinstance(last, Exception):
                raise last
            if last is not None:
                raise Bug("a reading process was ended before all it had read was asked for")
        yield from self.sealed()

    def close(self) -> None:
        """End every process, and drop what it holds. Safe to repeat."""
        readers, self._readers = self._readers, []
        close_all(reader.worker for reader in readers)

    def _start(self, root: Handle, setup: ReaderSetup) -> _Reader:
        reader = _Reader(spawn(_MODULE, [str(root.fd)], pass_fds=(root.fd,)))
        reader.worker.listen(lambda frame: self._on_answer(reader, frame))
        reader.worker.send(protocol.SETUP, protocol.encode_setup(setup))
        return reader

    def _on_answer(self, reader: _Reader, frame: Frame | None) -> None:
        """Run in the thread that listens to a process."""
        if frame is None:
            reader.reads.put(reader.worker.gone("reads files"))
            return
        letter, body = frame
        if letter == protocol.READ:
            reader.reads.put(protocol.decode_read(body))
        elif letter == protocol.SEGMENT:
            reader.sealed.append(protocol.decode_segment(body, self._key_id))
        elif letter == protocol.SEALED:
            reader.sealed.append(None)
        elif letter == protocol.DONE:
            reader.reads.put(None)
        else:
            reader.reads.put(pickle.loads(body))  # noqa: S301 - our own process wrote it

    def _end_segment(self) -> None:
        """Have the process of the last batch seal all that was new up to it."""
        reader, self._segment_bytes = self._segment_readers[-1], 0
        reader.worker.send(protocol.SEAL, protocol.encode_count(reader.given))
