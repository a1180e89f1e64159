"""Fetch the segments that the windows of a restore need: each once, in few requests, whatever the order of the rows.

A segment is fetched with its needed neighbors, in one request for up to `limits.RANGE_BYTES_MAX`. Those that no window
needs yet are kept as they are stored, and opened later. Opened ones are kept until the last extent that uses them was
written; past a bound, what is still needed of the one that was used longest ago goes to a spill file. Where there is
no disk for it, such a segment is fetched again. Decision 0016.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto

import numpy as np

from farshore import limits
from farshore.errors import Bug, ObjectCorrupt
from farshore.model import dataclass
from farshore.ops.restore.content_plan import ContentPlan, PackRange
from farshore.ops.restore.read_segments import RangeContent, SegmentReader
from farshore.ops.restore.spill import SpilledSegment, SpillFile
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet

SegmentKey = tuple[int, int]  # pack number in the index, segment row
RangeKey = tuple[int, int]  # pack number in the index, offset in the pack
Content = memoryview | SpilledSegment


_RANGE_SEGMENTS = 2  # memory for the rest of a range until it is opened or on disk


class _NoRoom(Exception):
    """The disk is full."""


class _Form(Enum):
    PACKED = auto()  # fetched, or on the way; its range has its compressed bytes then
    OPENED = auto()
    SPILLED = auto()


@dataclass(slots=True, eq=False)
class _Segment:
    """A fetched segment that is still needed."""

    key: SegmentKey
    number: int
    end: int  # the position after its last use
    opened_bytes: int  # memory it needs once it is opened
    stored_bytes: int
    fetched: Future[RangeContent]
    form: _Form = _Form.PACKED
    content: Future[Content] | None = None  # once a window wants it

    def pop_packed(self) -> bytes:
        """Return its compressed bytes, once it is fetched; only once."""
        found = self.fetched.result()
        stored = found.packed.pop(self.key[1], None)
        if stored is None:
            raise found.errors.get(self.key[1]) or ObjectCorrupt("a segment could not be read")
        return stored

    def drop_packed(self) -> None:
        """Forget its compressed bytes, if it has any."""
        if self.fetched.done() and self.fetched.exception() is None:
            self.fetched.result().packed.pop(self.key[1], None)

    @property
    def failed(self) -> bool:
        """Whether it could not be had, or not be kept; waits for one that is just being kept."""
        if self.content is not None:
            waits = self.form is _Form.SPILLED
            return (waits or self.content.done()) and self.content.exception() is not None
        if not self.fetched.done():
            return False
        return self.fetched.exception() is not None or self.key[1] not in self.fetched.result().packed


class _Shelf:
    """Segments of one form, the longest unused first, and their memory."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._sizes: OrderedDict[SegmentKey, int] = OrderedDict()

    def put(self, key: SegmentKey, size: int) -> None:
        self._bytes += size - self._sizes.pop(key, 0)
        self._sizes[key] = size

    def touch(self, key: SegmentKey) -> None:
        if key in self._sizes:
            self._sizes.move_to_end(key)

    def drop(self, key: SegmentKey) -> None:
        self._bytes -= self._sizes.pop(key, 0)

    def excess(self, more_bytes: int) -> Iterator[SegmentKey]:
        """Yield what may leave, as long as what was not dropped meanwhile is above the bound with `more_bytes`."""
        for key in list(self._sizes):
            if self._bytes + more_bytes <= self._bytes_max:
                return
            yield key


@dataclass(frozen=True, slots=True)
class SegmentMemory:
    """The bounds of a fetcher's memory, in bytes."""

    opened_bytes_max: int = limits.OPENED_SEGMENTS_BYTES  # of opened segments, those of two windows included
    packed_bytes_max: int = limits.PACKED_SEGMENTS_BYTES  # of segments that were fetched and are not yet opened


DEFAULT_MEMORY = SegmentMemory()


class SegmentFetcher:
    """Gives windows their segments. `fetch` and `memory_of` from one thread, with windows in the order of the plan.

    Args:
        keys: A reader's, of the domain and epoch of the snapshot.
        spill: Where opened content goes that memory cannot hold until it is needed; None to fetch it again.
    """

    def __init__(
        self,
        *,
        repository: Repository,
        plan: ContentPlan,
        reader: ReplicaReader,
        keys: KeySet,
        spill: SpillFile | None = None,
        memory: SegmentMemory = DEFAULT_MEMORY,
    ) -> None:
        self._plan = plan
        self.reader = reader
        self._segments = SegmentReader(repository=repository, plan=plan, reader=reader, keys=keys)
        self._spill = spill
        self._pool = ThreadPoolExecutor(limits.FETCH_THREADS, thread_name_prefix="fetch")
        self._known: dict[SegmentKey, _Segment] = {}
        self._ends: list[tuple[int, SegmentKey]] = []  # a heap
        self._opened = _Shelf(memory.opened_bytes_max)
        self._packed = _Shelf(memory.packed_bytes_max)
        self._asked = np.zeros(len(plan.index.packs.segments), dtype=bool)
        self._window_start = 0

    def close(self) -> None:
        """Stop the pool, and forget what was kept aside. Safe to repeat."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._spill is not None:
            self._spill.close()

    def memory_of(self, key: SegmentKey, ranges: set[RangeKey]) -> int:
        """Return the memory of one more segment in a window, in units of a segment.

        Args:
            ranges: Those that the window has fetched already; one that is fetched for this segment is added.
        """
        segment = self._known.get(key)
        if segment is not None and not segment.failed:
            return 1 if segment.form is _Form.PACKED else 0
        whole = self._plan.range_around(*key)
        range_key = (whole.pack, whole.start)
        if range_key in ranges:
            return 1
        ranges.add(range_key)
        return 1 + _RANGE_SEGMENTS

    def fetch(self, keys: Iterable[SegmentKey], start: int) -> dict[SegmentKey, Future[Content]]:
        """Start fetching and opening what the window that begins at position `start` needs.

        Each future gives the segment, or raises when no replica has a good copy of it. That is good until the next
        window but one is asked for.
        """
        needed = frozenset(keys)
        self._forget_consumed(self._window_start)  # of the window that is written next
        for key in needed:
            known = self._known.get(key)
            if known is not None and known.failed:
                self._forget(known)
        ranges = self._missing_ranges(needed)
        self._make_room_for(needed, ranges, start)
        for one in ranges:
            self._fetch_range(one, needed)
        contents: dict[SegmentKey, Future[Content]] = {}
        for key in needed:
            segment = self._known[key]
            self._opened.touch(key)
            contents[key] = segment.content or self._open(segment)
        self._window_start = start
        self._spill_excess(start)
        return contents

    def _missing_ranges(self, needed: Collection[SegmentKey]) -> list[PackRange]:
        """Return the ranges to fetch: whole ones, or of one segment where its neighbors were fetched before."""
        ranges: list[PackRange] = []
        found: set[SegmentKey] = set()
        for key in sorted(needed):
            if key in self._known or key in found:
                continue
            whole = self._plan.range_around(*key)
            fresh = not any(self._asked[self._plan.number(key[0], segment)] for segment in whole.segments)
            ranges.append(whole if fresh else self._plan.range_of_one(*key))
            found.update((whole.pack, row) for row in ranges[-1].segments)
        return ranges

    def _make_room_for(self, needed: Collection[SegmentKey], ranges: Iterable[PackRange], since: int) -> None:
        """Spill now what new segments would push out: its memory serves them, as the pool does this first."""
        opened = packed = 0
        for key in needed:
            known = self._known.get(key)
            if known is not None and known.form is _Form.PACKED:
                opened += known.opened_bytes
                packed -= known.stored_bytes
        for one in ranges:
            for row, (raw, stored) in zip(one.segments, self._plan.sizes_of(one), strict=True):
                if (one.pack, row) in needed:
                    opened += self._segments.memory_of(raw)
                else:
                    packed += stored
        self._spill_excess(since, opened=opened, packed=packed, spared=needed)

    def _fetch_range(self, one: PackRange, needed: Collection[SegmentKey]) -> None:
        """Fetch a range, and open what is needed of it now."""
        fetched: Future[RangeContent] = Future()
        wanted: list[_Segment] = []
        for row, (raw, stored) in zip(one.segments, self._plan.sizes_of(one), strict=True):
            key = (one.pack, row)
            number = self._plan.number(one.pack, row)
            end = self._plan.end_of(number)
            if not end:
                raise Bug("a segment is needed that was not planned")
            memory = self._segments.memory_of(raw)
            segment = self._known[key] = _Segment(key, number, end, memory, stored, fetched)
            self._asked[number] = True
            heapq.heappush(self._ends, (end, key))
            if key in needed:
                segment.content = Future()
                wanted.append(segment)
                self._keep_opened(segment)
            else:
                self._packed.put(key, stored)
        self._pool.submit(self._read, one, fetched, wanted)

    def _read(self, one: PackRange, fetched: Future[RangeContent], wanted: list[_Segment]) -> None:
        """Read a range and answer those who wait for it; in the pool."""
        try:
            found = self._segments.read(one, {segment.key[1] for segment in wanted})
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            for segment in wanted:
                _settle(segment.content, error=error)
            fetched.set_exception(error)
            return
        for segment in wanted:
            row = segment.key[1]
            trouble = found.errors.get(row) or ObjectCorrupt("a segment could not be read")
            _settle(segment.content, found.opened.pop(row, None), trouble)
        fetched.set_result(found)

    def _open(self, segment: _Segment) -> Future[Content]:
        """Open a segment that was fetched with a neighbor, once it is there."""
        content: Future[Content] = Future()

        def unpack() -> None:
            try:
                content.set_result(self._segments.unpack(*segment.key, segment.pop_packed()))
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                content.set_exception(error)

        self._packed.drop(segment.key)
        self._keep_opened(segment)
        segment.content = content
        self._when_fetched(segment, unpack)
        return content

    def _when_fetched(self, segment: _Segment, work: Callable[[], None]) -> None:
        """Have the pool do some work once a range is there; a thread of the pool must not wait for another."""
        waiting = [(work, segment.content)]

        def submit(_: Future[RangeContent]) -> None:
            ready, content = waiting.pop()  # the range keeps this function, which must not keep what was opened
            try:
                self._pool.submit(ready)
            except RuntimeError as error:  # it is closed: nobody waits any more
                _settle(content, error=error)

        segment.fetched.add_done_callback(submit)

    def _keep_opened(self, segment: _Segment) -> None:
        segment.form = _Form.OPENED
        self._opened.put(segment.key, segment.opened_bytes)

    def _spill_excess(
        self, since: int, *, opened: int = 0, packed: int = 0, spared: Collection[SegmentKey] = ()
    ) -> None:
        """Keep on disk what memory cannot: of opened segments, and of those that wait to be opened.

        Windows that were given an opened one keep it until they are written. Segments under way are left
        alone, as a thread of the pool must not wait for another.

        Args:
            opened, packed: Bytes about to be added.
            spared: Segments that stay in memory.
        """
        for key in self._opened.excess(opened):
            segment = self._known[key]
            if key not in spared and segment.content is not None and segment.content.done():
                self._opened.drop(key)
                self._keep_aside(segment, since)
        for key in self._packed.excess(packed):
            if key not in spared and self._known[key].fetched.done():
                self._packed.drop(key)
                self._keep_aside(self._known[key], since)

    def _keep_aside(self, segment: _Segment, since: int) -> None:
        """Write what is used of a segment from position `since` on to the spill file; forget it where that is full."""
        spill = self._spill
        if spill is None or spill.full or segment.failed:
            self._forget(segment)
            return
        opened, content = segment.content, Future[Content]()
        segment.content, segment.form = content, _Form.SPILLED

        def write() -> None:
            try:
                raw = opened.result() if opened else self._segments.unpack(*segment.key, segment.pop_packed())
                if not isinstance(raw, memoryview):
                    raise Bug("a segment was kept aside twice")
                kept = spill.write(_runs(self._plan, segment.key, since), raw)
                if kept is not None:
                    content.set_result(kept)
                else:
                    content.set_exception(_NoRoom())  # not raised: its traceback would keep the segment
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                content.set_exception(error)

        self._pool.submit(write)

    def _forget_consumed(self, position: int) -> None:
        """Let go of segments that are fully consumed: no extent from `position` on uses them."""
        while self._ends and self._ends[0][0] <= position:
            _, key = heapq.heappop(self._ends)
            segment = self._known.get(key)
            if segment is not None and segment.end <= position:
                self._forget(segment)

    def _forget(self, segment: _Segment) -> None:
        del self._known[segment.key]
        self._opened.drop(segment.key)
        self._packed.drop(segment.key)
        if segment.content is None:
            segment.drop_packed()
        elif segment.form is _Form.SPILLED and segment.content.exception() is None:  # it is being written at most
            kept = segment.content.result()
            if isinstance(kept, SpilledSegment):
                kept.forget()


def _runs(plan: ContentPlan, key: SegmentKey, since: int) -> list[tuple[int, int]]:
    """Return the ranges (start, end) of a segment that are used at position `since` or later."""
    chunks = plan.chunks_of(*key, since)
    runs: list[tuple[int, int]] = []
    for start, length in sorted(zip(chunks["offset"].tolist(), chunks["length"].tolist(), strict=True)):
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], start + length)
        else:
            runs.append((start, start + length))
    return runs


def _settle(future: Future[Content] | None, content: Content | None = None, error: BaseException | None = None) -> None:
    if future is None or future.done():
        return
    if content is not None:
        future.set_result(content)
    else:
        future.set_exception(error or Bug("a range was read without an answer"))
