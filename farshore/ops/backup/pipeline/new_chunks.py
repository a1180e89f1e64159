"""The ids of the chunks that a run has made, so that none is stored twice: 40 bytes each.

The newest are in a set; from time to time it is folded into sorted tables, each at least twice as large as the next
until they are full. So an id is copied a few times, and a look-up asks a few tables and one more for each million ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.index import IdRows
from farshore.model import ChunkId

_JOINED_MAX = 1 << 20  # ids of one table: joining takes twice their memory for a moment
_ID_DTYPE = np.dtype("V32")


class NewChunks:
    """A set of chunk ids that only grows. One thread."""

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
