"""How holes cut a block of page-structured content: holes, whole pages, and data that shares a page with one.

Pure. Only whole pages are hashed and compared with those of the last snapshot. Bytes that share a page with a hole are
new each time, because a page that reads the same may be a hole one day and zeros the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

Gap = tuple[int, int]  # from, to, in bytes of the block


class Part(Enum):
    """The kind of a span of a block."""

    HOLE = 0
    PAGES = 1  # whole ones; the last one of a file may be short
    BESIDE = 2  # data that shares a page with a hole


class BlockSpan(NamedTuple):
    """Bytes [start, end) of a block."""

    part: Part
    start: int
    end: int


def cut_block(length: int, page_bytes: int, gaps: Sequence[Gap]) -> Iterator[BlockSpan]:
    """Yield the spans of a block from first byte to last.

    Args:
        gaps: In order; none is empty and none touches the next.
    """
    at = 0
    for start, end in gaps:
        yield from _cut_data(at, start, page_bytes, start - start % page_bytes)
        yield BlockSpan(Part.HOLE, start, end)
        at = end
    yield from _cut_data(at, length, page_bytes, length)


def largest(gaps: list[Gap], most: int) -> list[Gap]:
    """Return the `most` largest gaps, or all if there are fewer, in order."""
    if len(gaps) <= most:
        return gaps
    return sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[:most])


def _cut_data(start: int, end: int, page_bytes: int, pages_end: int) -> Iterator[BlockSpan]:
    pages_start = min(start + -start % page_bytes, end)
    pages_end = max(pages_start, pages_end)
    if start < pages_start:
        yield BlockSpan(Part.BESIDE, start, pages_start)
    if pages_start < pages_end:
        yield BlockSpan(Part.PAGES, pages_start, pages_end)
    if pages_end < end:
        yield BlockSpan(Part.BESIDE, pages_end, end)
