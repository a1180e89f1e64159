"""The chunk index: which pack holds a chunk, and where in it. In memory, 48 bytes a chunk. No network.

Chunk ids are sorted by their first 8 bytes, and a batch of look-ups is one vectorised binary search. Ids are outputs of
a keyed hash, so those 8 bytes are uniform and all but never equal; the other 24 are always compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.format.pack import CHUNK_DTYPE, PackedFooter
from farshore.model import ChunkId

ABSENT = -1
Array = npt.NDArray[Any]
_CHUNK_BYTES = 32


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk lies: its pack's place in `ChunkIndex.packs`, its segment's row there, its range in the segment."""

    pack: int
    segment: int
    offset: int
    length: int


class ChunkIndex:
    """Read-only look-ups over the footers it was built from. Safe from many threads once built."""

    def __init__(self, packs: Iterable[PackedFooter] = ()) -> None:
        unique = {pack.pack_id: pack for pack in packs}
        self.packs: tuple[PackedFooter, ...] = tuple(unique.values())
        tables = [pack.footer.chunks for pack in self.packs]
        counts = np.array([len(table) for table in tables], dtype=np.int64)
        chunks = np.concatenate(tables) if tables else np.zeros(0, CHUNK_DTYPE)
        pack_numbers = np.repeat(np.arange(len(tables), dtype=np.int32), counts)
        keys = _prefixes(chunks["id"])
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._chunks = chunks[order]
        self._packs = pack_numbers[order]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, ids: Sequence[ChunkId] | Array) -> Array:
        """Return for each id the row of its entry, or `ABSENT`; `ids` may be a V32 array."""
        wanted = ids if isinstance(ids, np.ndarray) else np.frombuffer(b"".join(ids), dtype=f"V{_CHUNK_BYTES}")
        rows = np.full(len(wanted), ABSENT, dtype=np.int64)
        if not len(self._keys) or not len(wanted):
            return rows
        at = np.searchsorted(self._keys, _prefixes(wanted), side="left")
        inside = at < len(self._keys)
        candidates = np.where(inside, at, 0)
        same = inside & (_wide(self._chunks["id"][candidates]) == _wide(wanted)).all(axis=1)
        rows[same] = candidates[same]
        for miss in np.flatnonzero(inside & ~same):  # two ids may share 8 bytes
            rows[miss] = self._scan(int(at[miss]), bytes(wanted[miss]))
        return rows

    def packs_of(self, rows: Array) -> Array:
        """Return the pack number of each row; `ABSENT` stays `ABSENT`."""
        packs = np.full(len(rows), ABSENT, dtype=np.int64)
        known = rows >= 0
        packs[known] = self._packs[rows[known]]
        return packs

    def locate(self, chunk_id: ChunkId) -> Location | None:
        """Return where one chunk lies, or None."""
        row = int(self.find([chunk_id])[0])
        return None if row == ABSENT else self.location(row)

    def location(self, row: int) -> Location:
        """Return where the chunk of a row lies."""
        entry = self._chunks[row]
        return Location(int(self._packs[row]), int(entry["segment"]), int(entry["offset"]), int(entry["length"]))

    def _scan(self, start: int, wanted: bytes) -> int:
        key = self._keys[start]
        at = start
        while at < len(self._keys) and self._keys[at] == key:
            if bytes(self._chunks["id"][at]) == wanted:
                return at
            at += 1
        return ABSENT


def _prefixes(ids: Array) -> Array:
    """The first 8 bytes of each id as a number; contiguous."""
    return np.ascontiguousarray(_wide(ids)[:, 0])


def _wide(ids: Array) -> Array:
    return np.ascontiguousarray(ids).view("<u8").reshape(len(ids), 4)
