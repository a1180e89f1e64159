"""The chunk index: which pack holds a chunk, and where in it. In memory, 52 bytes a chunk and 80 a pack. No network.

The tables of pack footers are the index: joined, they are kept unchanged, 44 bytes a chunk, and beside them is one
sorted number of 8 bytes a chunk: the first 4 bytes of its id, then its row. A batch of look-ups is one vectorised
binary search. Ids are outputs of a keyed hash, so of 50 million few share 4 bytes; the whole id is always compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.format.footers import Footers, join_footers
from farshore.format.pack import PackedFooter
from farshore.model import ChunkId

ABSENT = -1
Array = npt.NDArray[Any]
_ID_BYTES = 32
_ID_DTYPE = np.dtype(f"V{_ID_BYTES}")
_TAG_BITS = 32
_ROW_MASK = np.uint64((1 << _TAG_BITS) - 1)
_SHIFT = np.uint64(_TAG_BITS)
_JOINED_MAX = 1 << 20  # new ids of one table: joining takes twice their memory for a moment
_BLOCK_ROWS = 1 << 16  # rows are numbered in steps of this, so that numbering takes no memory of its own
_SORTED_FROM = 1 << 12  # a batch from here on is looked up in order: neighbors in the table share cache lines


class IdRows:
    """The rows of a table of 32-byte ids, found by id; 8 bytes a row. Read-only, and safe from many threads.

    Args:
        ids: `V32`, also as a field of a wider table; fewer than 2^32. Kept and not copied.
    """

    def __init__(self, ids: Array) -> None:
        self._ids = ids
        self._order = np.empty(len(ids), np.uint64)
        for start in range(0, len(ids), _BLOCK_ROWS):
            part = _tags(ids[start : start + _BLOCK_ROWS])
            self._order[start : start + len(part)] = (part << _SHIFT) | np.arange(start, start + len(part), dtype="u8")
        self._order.sort()

    def __len__(self) -> int:
        return len(self._order)

    @property
    def nbytes(self) -> int:
        """The memory used beside the ids, in bytes."""
        return self._order.nbytes

    def find(self, ids: Sequence[bytes] | Array) -> Array:
        """Return for each id its row, the first of equal ones, or `ABSENT`; `ids` may be a `V32` array."""
        wanted = ids if isinstance(ids, np.ndarray) else np.frombuffer(b"".join(ids), dtype=_ID_DTYPE)
        if len(wanted) >= _SORTED_FROM:
            tags = _tags(wanted)
            turn = np.argsort(tags)
            rows = np.empty(len(wanted), np.int64)
            rows[turn] = self._search(wanted[turn], tags[turn])
            return rows
        return self._search(wanted, _tags(wanted))

    def find_all(self, one: bytes) -> list[int]:
        """Return every row of an id, in their order."""
        wanted = np.frombuffer(one, _ID_DTYPE)
        tags = _tags(wanted)
        start = int(np.searchsorted(self._order, tags[0] << _SHIFT))
        end = int(np.searchsorted(self._order, tags[0] << _SHIFT | _ROW_MASK, side="right"))
        rows = (self._order[start:end] & _ROW_MASK).astype(np.int64)
        return [int(row) for row in rows if self._ids[row].tobytes() == one]

    def _search(self, wanted: Array, tags: Array) -> Array:
        rows = np.full(len(wanted), ABSENT, dtype=np.int64)
        left = np.arange(len(wanted))
        at = np.searchsorted(self._order, tags << _SHIFT)
        while True:  # once, and again for ids whose first bytes are those of another
            inside = at < len(self._order)
            left, at = left[inside], at[inside]
            order = self._order[at]
            alike = order >> _SHIFT == tags[left]
            left, at, found = left[alike], at[alike], (order[alike] & _ROW_MASK).astype(np.int64)
            if not len(left):
                return rows
            same = (_wide(self._ids[found]) == _wide(wanted[left])).all(axis=1)
            rows[left[same]] = found[same]
            left, at = left[~same], at[~same] + 1


def first_seen(rows: Array, seen: Array) -> Array:
    """Return for each row whether it is met for the first time, and note it in `seen`; `ABSENT` never is."""
    known = np.flatnonzero(rows != ABSENT)
    firsts = known[np.unique(rows[known], return_index=True)[1]]
    mask = np.zeros(len(rows), dtype=bool)
    mask[firsts] = ~seen[rows[firsts]]
    seen[rows[firsts]] = True
    return mask


class Location(NamedTuple):
    """Where a chunk is: its pack's place in `ChunkIndex.packs`, its segment's row there, its range in the segment."""

    pack: int
    segment: int
    offset: int
    length: int


class ChunkIndex:
    """Read-only look-ups over footers. Safe from many threads once built.

    Args:
        packs: Footers already joined, each pack once, or single ones.
    """

    def __init__(self, packs: Footers | Iterable[PackedFooter] = ()) -> None:
        if not isinstance(packs, Footers):
            packs = join_footers(list({pack.pack_id: pack for pack in packs}.values()))
        self.packs = packs
        self._rows = IdRows(packs.chunks["id"])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """The memory that its tables use, in bytes."""
        return self._rows.nbytes + self.packs.nbytes

    def find(self, ids: Sequence[ChunkId] | Array) -> Array:
        """Return for each id the row of its entry, or `ABSENT`; `ids` may be a `V32` array."""
        return self._rows.find(ids)

    def rows_of(self, chunk_id: ChunkId) -> list[int]:
        """Return the rows of all entries of one chunk, which several packs may have."""
        return self._rows.find_all(chunk_id)

    def packs_of(self, rows: Array) -> Array:
        """Return the pack number of each row; `ABSENT` stays `ABSENT`."""
        known = rows >= 0
        # Of the table's own type, or the search would first convert the whole table.
        packs = np.searchsorted(self.packs.chunk_starts, rows.astype("<u4"), side="right") - 1
        return np.where(known, packs, ABSENT)

    def locations(self, rows: Array) -> list[Location]:
        """Return where the chunks of rows are, none of them `ABSENT`; of many at once, at a fraction of the cost."""
        packs = np.searchsorted(self.packs.chunk_starts, rows.astype("<u4"), side="right") - 1
        entries = self.packs.chunks[rows]
        columns = (packs, entries["segment"], entries["offset"], entries["length"])
        return list(map(Location, *(column.tolist() for column in columns)))

    def segments_of(self, rows: Array) -> Array:
        """Return the row in `packs.segments` of each row's segment; none of them is `ABSENT`."""
        segments: Array = self.packs.segment_starts[self.packs_of(rows)] + self.packs.chunks["segment"][rows]
        return segments

    def locate(self, chunk_id: ChunkId) -> Location | None:
        """Return where one chunk is, or None."""
        row = int(self.find([chunk_id])[0])
        return None if row == ABSENT else self.location(row)

    def location(self, row: int) -> Location:
        """Return where the chunk of a row is."""
        entry = self.packs.chunks[row]
        pack = bisect_right(self.packs.chunk_starts, row) - 1
        return Location(pack, int(entry["segment"]), int(entry["offset"]), int(entry["length"]))


def _tags(ids: Array) -> Array:
    """The first 4 bytes of each id as a number."""
    return np.ascontiguousarray(ids).view("<u4").reshape(len(ids), _ID_BYTES // 4)[:, 0].astype(np.uint64)


def _wide(ids: Array) -> Array:
    return np.ascontiguousarray(ids).view("<u8").reshape(len(ids), _ID_BYTES // 8)


class NewChunks:
    """The ids of the chunks that a run has made, so that none is stored twice: 40 bytes each. Only grows. One thread.

    The newest are in a set; from time to time it is folded into sorted tables, each at least twice as large as the next
    until they are full. So an id is copied a few times, and a look-up asks a few tables and one more for each million.
    """

    def __init__(self, *, recent_max: int = limits.MADE_IDS_RECENT_MAX, joined_max: int = _JOINED_MAX) -> None:
        self._recent_max = recent_max
        self._joined_max = joined_max
        self._recent: set[ChunkId] = set()
        self._tables: list[npt.NDArray[np.void]] = []  # largest first
        self._rows: list[IdRows] = []

    def __len__(self) -> int:
        return len(self._recent) + sum(len(table) for table in self._tables)

    def add(self, chunk_id: ChunkId) -> bool:
        """Add an id that `known` has not found; return False where it was added since."""
        if chunk_id in self._recent:
            return False
        self._recent.add(chunk_id)
        return True

    def known(self, chunk_ids: Sequence[ChunkId]) -> npt.NDArray[np.bool_]:
        """Return for each id whether it is in."""
        recent = self._recent
        found = np.array([one in recent for one in chunk_ids], bool)
        for rows in self._rows:
            found |= rows.find(chunk_ids) >= 0
        return found

    def fold(self) -> None:
        """Move the newest into a table when they are many. Called between batches, so that `add` stays exact."""
        if len(self._recent) < self._recent_max:
            return
        folded = np.frombuffer(b"".join(self._recent), _ID_DTYPE)
        self._recent = set()
        while self._tables and len(self._tables[-1]) < min(2 * len(folded), self._joined_max - len(folded) + 1):
            self._rows.pop()
            folded = np.concatenate([self._tables.pop(), folded])
        self._tables.append(folded)
        self._rows.append(IdRows(folded))
