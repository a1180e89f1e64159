"""From chunks to packs: drop chunks that the repository holds, gather the rest into segments, seal, pack, deliver.

Sealing runs in a small pool, in order of gathering; at most a few segments are in flight, so the limits set the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.clock import Clock
from farshore.format.needs import NeededPack
from farshore.index import ChunkIndex, NewChunks
from farshore.model import HOLE, ChunkId
from farshore.process_memory import give_back_unused
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.packs import PackBuilder, SealedPack
from farshore.sealed.segments import SealedSegment, SegmentNumbers, SegmentParts, seal_segment

Chunk = tuple[ChunkId, bytes | memoryview]


class ChunkPacker:
    """Packs the new chunks of a run, added by one thread, and hands sealed packs to `deliver`, in order.

    `await_room` is called before each pack and may block. `uploads_are_bottleneck` is true while packs wait for
    uploads: CPU is idle, so a slower level of compression is used. The same goes for runs that find little new data.
    """

    def __init__(
        self,
        *,
        index: ChunkIndex,
        keys: KeySet,
        data_key: DataKey,
        clock: Clock,
        deliver: Callable[[SealedPack], None],
        await_room: Callable[[], None] = lambda: None,
        uploads_are_bottleneck: Callable[[], bool] = lambda: False,
        seal_threads: int = limits.SEAL_THREADS,
        segment_bytes: int = limits.SEGMENT_BYTES,
        pack_bytes: int = limits.PACK_BYTES_TARGET,
    ) -> None:
        self._index = index
        self._keys = keys
        self._data_key = data_key
        self._numbers = SegmentNumbers(data_key=data_key, clock=clock)
        self._builder = PackBuilder(keys=keys, key_id=data_key.key_id, clock=clock, pack_bytes=pack_bytes)
        self._deliver = deliver
        self._await_room = await_room
        self._uploads_are_bottleneck = uploads_are_bottleneck
        self._pool = ThreadPoolExecutor(seal_threads, thread_name_prefix="seal")
        self._in_flight: deque[Future[SealedSegment]] = deque()
        self._in_flight_max = seal_threads + 1
        self._parts = SegmentParts(kept_max=seal_threads, segment_bytes=segment_bytes)
        self._bytes_read = 0  # for the segment at work
        self._made = NewChunks()
        self._reused = np.zeros(len(index.packs.segments), dtype=bool)
        self.bytes_new = 0
        self.chunks_new = 0

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Add chunks: new ones are gathered, known ones only counted as reused."""
        new = self.claim([chunk_id for chunk_id, _ in chunks], [len(data) for _, data in chunks])
        for (chunk_id, data), is_new in zip(chunks, new, strict=True):
            if is_new:
                self._gather(chunk_id, data)

    def claim(self, ids: Sequence[ChunkId], lengths: Sequence[int]) -> bytes:
        """Return 1 for each chunk that is new, which the caller then gathers or seals; known ones count as reused."""
        self._made.fold()
        known = self._made.known(ids)
        if len(self._index):
            rows = self._index.find(ids)
            indexed = rows >= 0
            if indexed.any():
                self.reuse(rows[indexed])
            known |= indexed
        new = bytearray(len(ids))
        for at in np.flatnonzero(~known).tolist():
            if self._made.add(ids[at]):
                new[at] = 1
                self.bytes_new += lengths[at]
                self.chunks_new += 1
        return bytes(new)

    def add_sealed(self, segments: Iterable[SealedSegment]) -> None:
        """Add segments of chunks that were claimed and sealed elsewhere."""
        for segment in segments:
            self._place(segment)

    @property
    def uploads_are_bottleneck(self) -> bool:
        """Whether packs wait for uploads, so that there is time to compress harder."""
        return self._uploads_are_bottleneck()

    def add_one(self, chunk_id: ChunkId, data: bytes | memoryview) -> None:
        """Add one chunk."""
        self.add(((chunk_id, data),))

    def note_read(self, count: int) -> None:
        """Count bytes that were read, new or not."""
        self._bytes_read += count

    def reuse(self, rows: npt.NDArray[np.int64]) -> None:
        """Note that the snapshot needs the segments of these index rows."""
        self._reused[self._index.segments_of(rows)] = True

    def holds(self, chunk_ids: Iterable[ChunkId]) -> bool:
        """Whether all these chunks are in the index or were gathered by this run; holes count as held."""
        wanted = [one for one in chunk_ids if one != HOLE]
        return bool((self._made.known(wanted) | (self._index.find(wanted) >= 0)).all())

    def reuse_ids(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Note that the snapshot needs these chunks, which the repository holds."""
        rows = self._index.find([one for one in chunk_ids if one != HOLE])
        self.reuse(rows[rows >= 0])

    def reused_packs(self) -> list[NeededPack]:
        """Return the earlier packs that the snapshot needs, each with the segments that it uses."""
        packs = self._index.packs
        starts = packs.segment_starts
        counts = np.concatenate(([0], np.cumsum(self._reused, dtype=np.int64)))
        used = counts[starts[1:]] - counts[starts[:-1]]
        found = []
        for at in np.flatnonzero(used).tolist():
            segments = self._reused[starts[at] : starts[at + 1]]
            whole = int(used[at]) == len(segments)
            bits = int.from_bytes(np.packbits(segments, bitorder="little").tobytes(), "little")
            found.append(NeededPack(
                packs.pack_ids[at].tobytes().hex(), int(packs.pack_bytes[at]), None if whole else (len(segments), bits)
            ))  # fmt: skip
        return found

    def finish(self) -> None:
        """Seal and deliver the last chunks."""
        self._close_segment()
        while self._in_flight:
            self._place(self._in_flight.popleft().result())
        if not self._builder.empty:
            self._deliver(self._builder.build())
        self.close()

    def close(self) -> None:
        """Stop the pool. Safe to repeat."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _gather(self, chunk_id: ChunkId, data: bytes | memoryview) -> None:
        if not self._parts.has_room(len(data)):
            self._close_segment()
        self._parts.add(chunk_id, data)

    def _close_segment(self) -> None:
        if self._parts.empty:
            return
        segment = self._parts.build(*self._numbers.next_number())
        mostly_known = self._bytes_read >= limits.MOSTLY_KNOWN_FACTOR * len(segment.raw)
        self._bytes_read = 0
        seal = partial(seal_segment, thorough=mostly_known or self._uploads_are_bottleneck())
        self._in_flight.append(self._pool.submit(seal, segment, self._data_key, self._keys.repository_id))
        while len(self._in_flight) > self._in_flight_max or (self._in_flight and self._in_flight[0].done()):
            self._place(self._in_flight.popleft().result())

    def _place(self, segment: SealedSegment) -> None:
        if self._builder.empty:
            self._await_room()
        self._builder.add(segment)
        if self._builder.full:
            self._deliver(self._builder.build())
            give_back_unused()
