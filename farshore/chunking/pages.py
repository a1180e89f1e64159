"""Page-structured content: which pages of a block changed, and how to splice old and new extents. Pure.

Databases and disk images rewrite pages in place. A keyed hash per page (see `page_hashes`) shows which ones differ from
the last snapshot, so that one page in a hundred rewritten at random stores about one hundredth, where chunks of a
megabyte would store most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from farshore.chunking.page_hashes import HASH_BYTES
from farshore.model import HOLE, Extent


def changed_runs(before: bytes, after: bytes) -> list[tuple[int, int, bool]]:
    """Return runs (first page, end page, changed) that cover all pages of `after`; pages unknown before are changed."""
    count = len(after) // HASH_BYTES
    if before[: len(after)] == after:
        return [(0, count, False)] if count else []
    known = min(count, len(before) // HASH_BYTES)
    changed = np.ones(count, dtype=bool)
    changed[:known] = (_words(before, known) != _words(after, known)).any(axis=1)
    edges = [0, *(np.flatnonzero(changed[1:] != changed[:-1]) + 1).tolist(), count]
    return [(start, end, bool(changed[start])) for start, end in pairwise(edges)]


def _words(hashes: bytes, count: int) -> npt.NDArray[np.uint64]:
    """Return the hashes of the first `count` pages as rows of two numbers."""
    return np.frombuffer(hashes, "<u8", 2 * count).reshape(count, 2)


@dataclass(slots=True)
class ExtentCursor:
    """Reads ranges out of an entry's earlier extents, forwards only, so a whole file is spliced in one pass."""

    extents: Sequence[Extent]
    _index: int = 0
    _start: int = 0  # file offset of the extent at `_index`

    def read(self, start: int, end: int) -> list[Extent]:
        """Return extents for file bytes [start, end); `start` never goes back. Shorter where the old file ends."""
        found: list[Extent] = []
        while self._index < len(self.extents) and start < end:
            extent = self.extents[self._index]
            extent_end = self._start + extent.length
            if extent_end <= start:
                self._start = extent_end
                self._index += 1
                continue
            stop = min(end, extent_end)
            skip = 0 if extent.chunk == HOLE else start - self._start
            found.append(Extent(extent.chunk, extent.offset + skip, stop - start))
            start = stop
        return found


def append_extent(extents: list[Extent], extent: Extent) -> None:
    """Append, joining an extent that continues the last one."""
    if extents:
        last = extents[-1]
        continues = extent.chunk == HOLE or extent.offset == last.offset + last.length
        if last.chunk == extent.chunk and continues:
            extents[-1] = Extent(last.chunk, last.offset, last.length + extent.length)
            return
    extents.append(extent)
