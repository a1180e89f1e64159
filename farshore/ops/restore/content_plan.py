"""The plan of a restore, made before anything is fetched: which chunks rows need, until when, in which requests. Pure.

One pass over the extents of the rows, in their order, notes for every chunk the last extent that uses it. From that
follow the segments to fetch, the ranges to fetch them in, when a segment may be let go, and what of it is used later.
The plan is 4 bytes a chunk and 5 a segment beside the index. Decision 0016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.extents import EXTENT_BYTES, view_extents
from farshore.index import ABSENT, ChunkIndex
from farshore.model import dataclass

Array = npt.NDArray[Any]
_POSITION_MAX = (1 << 32) - 2  # extents beyond share the last position: their segments are kept until the end
_BLOCK_ROWS = 1 << 18  # chunks numbered at once: a few MB of numbers
_GAP_BYTES_MAX = 256 * limits.KIB  # reading this much for nothing is cheaper than another request
_GAP_SHARE = 32  # and no more than one byte for each 32 that are needed
_BATCH_BYTES = 4096 * EXTENT_BYTES  # of extents, looked up at once
_ID_WORDS = 4


@dataclass(frozen=True, slots=True)
class PackRange:
    """Needed segments of one pack, by row, that one request reads; `start` and `end` are offsets in the pack."""

    pack: int
    start: int
    end: int
    segments: tuple[int, ...]


class ContentPlan:
    """When each chunk of an index is used for the last time. Positions count extents, holes too, from 0.

    Safe from many threads once built.
    """

    def __init__(self, index: ChunkIndex) -> None:
        self.index = index
        packs = index.packs
        self.content_bytes = 0
        self._chunk_end = np.zeros(len(packs.chunks), np.uint32)  # the position after its last use; 0 for no use
        self._segment_end = np.zeros(len(packs.segments), np.uint32)

    def use(self, rows: Array, start: int) -> None:
        """Note that extents from position `start` on use the chunks of these rows; `ABSENT` is no use."""
        used = np.flatnonzero(rows != ABSENT)
        ends = np.minimum(start + used, _POSITION_MAX).astype(np.uint32) + np.uint32(1)
        np.maximum.at(self._chunk_end, rows[used], ends)

    def finish(self) -> None:
        """Sum up by segment; nothing is used any more."""
        packs = self.index.packs
        for start in range(0, len(self._chunk_end), _BLOCK_ROWS):
            ends = self._chunk_end[start : start + _BLOCK_ROWS]
            used = np.flatnonzero(ends)
            owners = np.searchsorted(packs.chunk_starts, (used + start).astype("<u4"), side="right") - 1
            segments = packs.segment_starts[owners].astype(np.int64) + packs.chunks["segment"][start + used]
            np.maximum.at(self._segment_end, segments, ends[used])

    def number(self, pack: int, segment: int) -> int:
        """Return the number of a segment among those of all packs."""
        return int(self.index.packs.segment_starts[pack]) + segment

    def end_of(self, number: int) -> int:
        """Return the position after the last use of a segment; 0 if it is not used."""
        return int(self._segment_end[number])

    def covers(self, rows: Array, start: int) -> bool:
        """Return whether extents from position `start` on, that use the chunks of these rows, are all in the plan."""
        used = np.flatnonzero(rows != ABSENT)
        return bool((self._chunk_end[rows[used]] > np.minimum(start + used, _POSITION_MAX)).all())

    def chunks_of(self, pack: int, segment: int, since: int = 0) -> Array:
        """Return the chunks (`CHUNK_DTYPE`) of a segment that are used at position `since` or later."""
        packs = self.index.packs
        first, last = int(packs.chunk_starts[pack]), int(packs.chunk_starts[pack + 1])
        chunks = packs.chunks[first:last]
        chosen: Array = chunks[(chunks["segment"] == segment) & (self._chunk_end[first:last] > since)]
        return chosen

    @property
    def segments_needed(self) -> int:
        """How many segments hold a needed chunk. For tests: a restore goes through `ranges`."""
        return int(np.count_nonzero(self._segment_end))

    @property
    def stored_bytes(self) -> int:
        """The stored length of the segments that hold a needed chunk: the least that has to be fetched."""
        return int(self.index.packs.segments["stored"][self._segment_end > 0].sum(dtype=np.int64))

    def ranges(self) -> Iterator[PackRange]:
        """Yield every range that has to be read."""
        for pack in range(len(self.index.packs)):
            yield from self.ranges_of(pack)

    def range_around(self, pack: int, segment: int) -> PackRange:
        """Return the range in which a segment is read; of one that no extent uses, its own."""
        return next(
            (one for one in self.ranges_of(pack) if segment in one.segments), self.range_of_one(pack, segment)
        )  # fmt: skip

    def range_of_one(self, pack: int, segment: int) -> PackRange:
        """Return the range of one segment."""
        row = self._table(pack)[segment]
        return PackRange(pack, int(row["offset"]), int(row["offset"]) + int(row["stored"]), (segment,))

    def sizes_of(self, one: PackRange) -> list[tuple[int, int]]:
        """Return the raw and the stored length of each segment of a range."""
        rows = self._table(one.pack)[list(one.segments)]
        return list(zip(rows["raw"].tolist(), rows["stored"].tolist(), strict=True))

    def ranges_of(self, pack: int) -> list[PackRange]:
        """Return the ranges of one pack in which its needed segments are read: neighbors together, up to a length."""
        first = int(self.index.packs.segment_starts[pack])
        table = self._table(pack)
        needed = np.flatnonzero(self._segment_end[first : first + len(table)])
        starts = table["offset"][needed].tolist()
        lengths = table["stored"][needed].tolist()
        return cut_ranges(pack, needed.tolist(), starts, lengths)

    def _table(self, pack: int) -> Array:
        packs = self.index.packs
        return packs.segments[int(packs.segment_starts[pack]) : int(packs.segment_starts[pack + 1])]


def cut_ranges(pack: int, segments: list[int], starts: list[int], lengths: list[int]) -> list[PackRange]:
    """Return the ranges that read segments at these offsets; a gap is read where it is a small share of the range."""
    ranges: list[PackRange] = []
    wanted = 0
    for segment, start, length in zip(segments, starts, lengths, strict=True):
        last = ranges[-1] if ranges else None
        end = start + length
        if last is not None and start >= last.end and end - last.start <= limits.RANGE_BYTES_MAX:
            gaps = end - last.start - wanted - length
            if gaps * _GAP_SHARE <= wanted + length and start - last.end <= _GAP_BYTES_MAX:
                ranges[-1] = PackRange(pack, last.start, end, (*last.segments, segment))
                wanted += length
                continue
        ranges.append(PackRange(pack, start, end, (segment,)))
        wanted = length
    return ranges


def plan_content(needs: Iterable[bytes | memoryview | Array], index: ChunkIndex) -> ContentPlan:
    """Return the plan of what rows need.

    Args:
        needs: In the order of the rows, encoded extents of one or more files at a time, or the chunks (`V32`) of them.

    Raises:
        ObjectCorrupt: Extents are cut short.
    """
    plan = ContentPlan(index)
    position = 0
    for chunks, lengths in _batches(needs):
        for start in range(0, len(chunks), _BLOCK_ROWS):
            rows = find_rows(chunks[start : start + _BLOCK_ROWS], index)
            plan.use(rows, position)
            found = rows != ABSENT
            if lengths is None:
                used = index.packs.chunks["length"][rows[found]]
            else:
                used = lengths[start : start + _BLOCK_ROWS][found]
            plan.content_bytes += int(used.sum(dtype=np.int64))
            position += len(rows)
    plan.finish()
    return plan


def _batches(needs: Iterable[bytes | memoryview | Array]) -> Iterator[tuple[Array, Array | None]]:
    """Yield chunks, and where extents have them the bytes used of each; of many small files at once."""
    waiting: list[bytes | memoryview] = []
    waiting_bytes = 0
    for item in needs:
        if isinstance(item, np.ndarray):
            yield item, None
            continue
        if len(item) % EXTENT_BYTES:
            raise ObjectCorrupt("an entry's extents are cut short")
        waiting.append(item)
        waiting_bytes += len(item)
        if waiting_bytes >= _BATCH_BYTES:
            yield _columns(b"".join(waiting))
            waiting, waiting_bytes = [], 0
    if waiting_bytes:
        yield _columns(b"".join(waiting))


def _columns(extents: bytes) -> tuple[Array, Array]:
    table = view_extents(extents)
    return np.ascontiguousarray(table["chunk"]), table["length"]


def find_rows(chunks: Array, index: ChunkIndex) -> Array:
    """Return the rows of chunks in an index; `ABSENT` for holes, whatever the index says, and where there is none."""
    if not len(chunks):
        return np.zeros(0, np.int64)
    rows = index.find(chunks)
    rows[~chunks.view("<u8").reshape(len(chunks), _ID_WORDS).any(axis=1)] = ABSENT
    return rows
