"""Fetch and open the segments a restore needs: in parallel, in few requests, from any replica that has a good copy."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from farshore import limits
from farshore.errors import FarshoreError, ObjectCorrupt
from farshore.format import names
from farshore.format.pack import PackedFooter
from farshore.index import ChunkIndex, Location
from farshore.model import ChunkId
from farshore.ops.vouched_objects import read_data_key
from farshore.page_pool import PagePool
from farshore.repository.keys import DataKey
from farshore.repository.replica_reader import ReplicaReader
from farshore.repository.repository import Repository
from farshore.repository.segments import SegmentRef, open_segment_into

SegmentKey = tuple[int, int]  # pack number in the index, segment row
Wanted = dict[SegmentKey, set[tuple[ChunkId, int, int]]]  # the chunks (id, offset, length) to be used of each segment
_GAP_BYTES = 256 * limits.KIB  # reading this much for nothing is cheaper than another request
_RANGE_BYTES_MAX = 8 * limits.MIB
_USED_UP_BYTES_MAX = 16 * limits.MIB  # copies of a file often lie near it


@dataclass(frozen=True, slots=True)
class _Range:
    """Neighboring segments of one pack, read by one request."""

    pack: int
    start: int
    end: int
    segments: tuple[int, ...]


@dataclass(slots=True)
class _Held:
    """Segments that were fetched together. `proven`: chunks of them that were found to hash to their names."""

    segments: tuple[SegmentKey, ...]
    future: Future[dict[SegmentKey, memoryview]]
    plain_bytes: int
    unused_bytes: int  # of those that nobody has used yet; copies of a file count for what only one of them uses
    proven: set[ChunkId]

    @property
    def failed(self) -> bool:
        return self.future.done() and self.future.exception() is not None


class SegmentFetcher:
    """Opens segments, checking the name of every chunk that is wanted. `fetch` from one thread.

    Each range is read from the replica that costs least, and from the next where it is missing, wrong or late. The
    segments used last are kept, because the stretches of a restore that follow each other use the same ones; of those
    that were used up, only a few.
    """

    def __init__(
        self,
        *,
        repository: Repository,
        index: ChunkIndex,
        reader: ReplicaReader,
        held_bytes_max: int = limits.HELD_SEGMENTS_BYTES,
    ) -> None:
        self._held_bytes_max = held_bytes_max
        self._repository = repository
        self._keys = repository.reading_keys()
        self._index = index
        self.reader = reader
        self._data_keys: dict[bytes, DataKey] = {}
        self._lock = threading.Lock()
        self._pages = PagePool(page_bytes=limits.SEGMENT_BYTES, kept_max=limits.SEGMENT_PAGES_KEPT)
        self._pool = ThreadPoolExecutor(limits.FETCH_THREADS, thread_name_prefix="fetch")
        self._held: OrderedDict[tuple[SegmentKey, ...], _Held] = OrderedDict()  # the longest unused first
        self._held_with: dict[SegmentKey, _Held] = {}
        self._held_bytes = 0
        self._used_up: deque[_Held] = deque()  # the first to go
        self._used_up_bytes = 0
        self._once_used_up: set[SegmentKey] = set()

    def close(self) -> None:
        """Stop the pool."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def fetch(
        self, wanted: Wanted, used: Mapping[SegmentKey, int] | None = None
    ) -> list[Future[dict[SegmentKey, memoryview]]]:
        """Start fetching segments; each future gives some of them, or raises when no replica has a good copy.

        Args:
            wanted: For each segment the chunks (id, offset, length) that will be used and must hash to their names.
            used: How many bytes of each segment will be used; one that was used up is not kept for long.
        """
        used = used or {}
        fresh: Wanted = {}
        again: dict[tuple[SegmentKey, ...], Wanted] = {}
        for key, chunks in wanted.items():
            held = self._held_with.get(key)
            if held is not None and held.failed:
                self._forget(held)
                held = None
            (fresh if held is None else again.setdefault(held.segments, {}))[key] = chunks
        futures: list[Future[dict[SegmentKey, memoryview]]] = []
        for segments, chunks_of in again.items():
            held = self._held[segments]
            self._held.move_to_end(segments)
            self._use(held, sum(used.get(key, 0) for key in chunks_of))
            futures.append(self._pool.submit(self._prove, held, chunks_of))
        futures += [self._hold(one, fresh, used) for one in self._plan(fresh)]
        self._trim()
        return futures

    def _trim(self) -> None:
        """Forget what was used up, then what was not used for longest, until the rest is within bounds."""
        while self._used_up_bytes > min(_USED_UP_BYTES_MAX, self._held_bytes_max):
            held = self._used_up.popleft()
            self._used_up_bytes -= held.plain_bytes
            self._forget(held)
        while self._held_bytes > self._held_bytes_max and len(self._held) > 1:
            self._forget(next(iter(self._held.values())))

    def _hold(
        self, one: _Range, wanted: Wanted, used: Mapping[SegmentKey, int]
    ) -> Future[dict[SegmentKey, memoryview]]:
        segments = tuple((one.pack, segment) for segment in one.segments)
        rows = self._index.packs[one.pack].footer.segments[list(one.segments)]
        future = self._pool.submit(self._fetch_range, one, wanted)
        plain_bytes = int(rows["raw"].sum())
        again = self._once_used_up.issuperset(segments)  # for a copy of something: nothing else of it will be wanted
        proven = {chunk_id for key in segments for chunk_id, _, _ in wanted[key]}
        held = _Held(segments, future, plain_bytes, 1 if again else plain_bytes, proven)
        self._held[segments] = held
        self._held_with.update(dict.fromkeys(segments, held))
        self._held_bytes += held.plain_bytes
        self._use(held, sum(used.get(key, 0) for key in segments))
        return future

    def _use(self, held: _Held, used_bytes: int) -> None:
        """Note that so much of segments is used now."""
        if held.unused_bytes > 0:
            held.unused_bytes -= used_bytes
            if held.unused_bytes <= 0:
                self._once_used_up.update(held.segments)
                self._used_up.append(held)
                self._used_up_bytes += held.plain_bytes

    def _forget(self, held: _Held) -> None:
        if self._held.get(held.segments) is not held:
            return  # forgotten before
        del self._held[held.segments]
        self._held_bytes -= held.plain_bytes
        for key in held.segments:
            if self._held_with.get(key) is held:
                del self._held_with[key]

    def _prove(self, held: _Held, wanted: Wanted) -> dict[SegmentKey, memoryview]:
        """Return segments that were fetched before, with chunks checked that were not wanted then."""
        opened = held.future.result()
        found = {key: opened[key] for key in wanted if key in opened}
        for key, raw in found.items():
            new = {chunk for chunk in wanted[key] if chunk[0] not in held.proven}
            self._check_chunks(self._index.packs[key[0]], raw, new)
            held.proven.update(chunk_id for chunk_id, _, _ in new)
        return found

    def _plan(self, wanted: Iterable[SegmentKey]) -> list[_Range]:
        ranges: list[_Range] = []
        for pack, segment in sorted(wanted):
            row = self._index.packs[pack].footer.segments[segment]
            start, end = int(row["offset"]), int(row["offset"]) + int(row["stored"])
            last = ranges[-1] if ranges else None
            near = last is not None and last.pack == pack and 0 <= start - last.end <= _GAP_BYTES
            if last is not None and near and end - last.start <= _RANGE_BYTES_MAX:
                ranges[-1] = _Range(pack, last.start, end, (*last.segments, segment))
            else:
                ranges.append(_Range(pack, start, end, (segment,)))
        return ranges

    def _fetch_range(self, one: _Range, wanted: Wanted) -> dict[SegmentKey, memoryview]:
        packed = self._index.packs[one.pack]
        name = names.pack(packed.pack_id.hex())
        data_keys, trouble = self._data_keys_of(packed, one.segments)
        opened: dict[SegmentKey, memoryview] = {}

        def open_those_left(data: bytes) -> None:
            """Open what no copy before had good; one bad segment spoils no other."""
            bad: FarshoreError | None = None
            for segment in one.segments:
                key = (one.pack, segment)
                data_key = data_keys.get(packed.footer.origins[int(packed.footer.segments[segment]["origin"])].key_id)
                if key in opened or data_key is None:
                    continue
                try:
                    opened[key] = self._open(packed, segment, memoryview(data), one.start, wanted[key], data_key)
                except FarshoreError as error:
                    bad = bad or error
            if bad is not None:
                raise bad

        if data_keys:
            length = one.end - one.start
            try:
                self.reader.get(name, open_those_left, size=length, offset=one.start, length=length)
            except FarshoreError as error:
                trouble = trouble or error
        if opened or trouble is None:
            return opened  # the files that need the others are told by name
        raise trouble

    def _data_keys_of(
        self, packed: PackedFooter, segments: Iterable[int]
    ) -> tuple[dict[bytes, DataKey], FarshoreError | None]:
        """Return the keys that segments are sealed with, and why one of them cannot be had."""
        data_keys: dict[bytes, DataKey] = {}
        trouble: FarshoreError | None = None
        for segment in segments:
            key_id = packed.footer.origins[int(packed.footer.segments[segment]["origin"])].key_id
            if key_id not in data_keys:
                try:
                    data_keys[key_id] = self._data_key(key_id)
                except FarshoreError as error:
                    trouble = trouble or error
        return data_keys, trouble

    def _open(
        self,
        packed: PackedFooter,
        segment: int,
        data: memoryview,
        start: int,
        chunks: set[tuple[ChunkId, int, int]],
        data_key: DataKey,
    ) -> memoryview:
        row = packed.footer.segments[segment]
        origin = packed.footer.origins[int(row["origin"])]
        ref = SegmentRef(origin, int(row["number"]), int(row["codec"]), int(row["raw"]))
        at = int(row["offset"]) - start
        sealed = data[at : at + int(row["stored"])]
        if len(sealed) != int(row["stored"]):
            raise ObjectCorrupt(f"pack {packed.pack_id.hex()} is cut short")
        raw = self._pages.take(ref.raw_length)
        open_segment_into(raw, sealed, ref, data_key, self._keys.repository_id)
        self._check_chunks(packed, raw, chunks)
        return raw

    def _check_chunks(self, packed: PackedFooter, raw: memoryview, chunks: Iterable[tuple[ChunkId, int, int]]) -> None:
        for chunk_id, offset, length in chunks:
            if blake3(raw[offset : offset + length], key=self._keys.chunk_key).digest() != chunk_id:
                raise ObjectCorrupt(f"a chunk of pack {packed.pack_id.hex()} does not hash to its name")

    def _data_key(self, key_id: bytes) -> DataKey:
        with self._lock:
            if key_id in self._data_keys:
                return self._data_keys[key_id]
        data_key = read_data_key(self._repository, self.reader, key_id.hex())
        with self._lock:
            self._data_keys[key_id] = data_key
        return data_key


def segment_of(location: Location) -> SegmentKey:
    """Return the key of the segment that holds a located chunk."""
    return (location.pack, location.segment)
