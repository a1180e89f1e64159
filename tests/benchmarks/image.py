"""A database-like image of 8 KiB pages, and the pages that one in a hundred is rewritten with. Deterministic.

A page is a header with line pointers, then rows with growing ids and times, random tokens and words, then free space,
as a heap page of a relational database has them. No two pages are alike but the empty ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

PAGE_BYTES = 8192
CHANGED_PERCENT = 1
_SLOT_BYTES = 128
_SLOTS = PAGE_BYTES // _SLOT_BYTES  # the first is the header, the others are rows
_WORDS = 8
_VOCABULARY = 4096
_BLOCK_PAGES = 4096  # made at once: 32 MiB, and memory stays below half a gigabyte
_EMPTY_SHARE = 0.02  # pages that were allocated and never filled
_ROWS_MIN = 50  # pages are full to 80 to 100 %
_EPOCH = 1_700_000_000_000_000

_HEADER = np.dtype(
    [("lsn", "<u8"), ("checksum", "<u4"), ("page", "<u4"), ("lower", "<u2"), ("upper", "<u2"), ("pointers", "<u2", 54)]
)
_ROW = np.dtype(
    [
        ("id", "<u8"),
        ("transaction", "<u4"),
        ("flags", "<u4"),
        ("stamp", "<u8"),
        ("amount", "<u4"),
        ("state", "<u4"),
        ("token", "<u8", 4),
        ("words", "S8", _WORDS),
    ]
)


def image_blocks(pages: int, seed: int) -> Iterator[memoryview]:
    """Yield an image of `pages` pages in blocks."""
    for start in range(0, pages, _BLOCK_PAGES):
        numbers = np.arange(start, min(start + _BLOCK_PAGES, pages), dtype=np.uint32)
        yield make_pages(numbers, seed, start)


def changed_pages(pages: int, seed: int) -> tuple[npt.NDArray[np.int64], bytes]:
    """Return the positions (ascending) of the pages that change, and their new content one after the other."""
    count = max(1, pages * CHANGED_PERCENT // 100)
    positions = np.sort(_source(seed, 1).choice(pages, count, replace=False))
    parts = [
        make_pages(positions[start : start + _BLOCK_PAGES].astype(np.uint32), seed + 1, start)
        for start in range(0, count, _BLOCK_PAGES)
    ]
    return positions, b"".join(parts)


def make_pages(numbers: npt.NDArray[np.uint32], seed: int, stream: int) -> memoryview:
    """Return one page for each page number. The same arguments give the same bytes."""
    random = _source(seed, 2, stream)
    count = len(numbers)
    slots = np.zeros((count, _SLOTS, _SLOT_BYTES), dtype=np.uint8)
    rows = slots[:, 1:].view(_ROW)[..., 0]
    shape = rows.shape
    ordinal = numbers[:, None].astype(np.uint64) * np.uint64(shape[1]) + np.arange(shape[1], dtype=np.uint64)
    rows["id"] = ordinal
    rows["transaction"] = (ordinal // np.uint64(7)).astype(np.uint32)
    rows["flags"] = 0x0902
    rows["stamp"] = _EPOCH + ordinal * np.uint64(1_000) + random.integers(0, 1_000, shape, dtype=np.uint64)
    rows["amount"] = random.integers(0, 100_000, shape, dtype=np.uint32)
    rows["state"] = random.integers(0, 4, shape, dtype=np.uint8)
    rows["token"] = random.integers(0, 2**64, (*shape, 4), dtype=np.uint64)
    chosen = random.random((*shape, _WORDS), dtype=np.float32) ** 2 * _VOCABULARY  # some words are more common
    rows["words"] = _vocabulary(seed)[chosen.astype(np.int32)]
    filled = random.integers(_ROWS_MIN, _SLOTS, count)
    slots[:, 1:][np.arange(shape[1]) >= filled[:, None]] = 0
    _write_headers(slots[:, 0].view(_HEADER)[..., 0], numbers, filled, random)
    slots[random.random(count) < _EMPTY_SHARE] = 0
    return slots.data.cast("B")


def _write_headers(
    headers: npt.NDArray[Any],
    numbers: npt.NDArray[np.uint32],
    filled: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> None:
    headers["lsn"] = numbers.astype(np.uint64) * np.uint64(PAGE_BYTES) + random.integers(
        0, PAGE_BYTES, len(numbers), dtype=np.uint64
    )
    headers["checksum"] = random.integers(0, 2**32, len(numbers), dtype=np.uint32)
    headers["page"] = numbers
    headers["lower"] = 20 + 2 * filled
    headers["upper"] = (filled + 1) * _SLOT_BYTES
    headers["pointers"] = np.arange(1, 55) * _SLOT_BYTES


def _vocabulary(seed: int) -> npt.NDArray[np.bytes_]:
    random = _source(seed, 3)
    letters = random.choice(np.frombuffer(b"aaabcdeeefghiiklmnnooprssttuvwz", dtype="S1"), (_VOCABULARY, 8))
    lengths = random.integers(2, 8, _VOCABULARY)
    letters[np.arange(8) >= lengths[:, None]] = b" "
    return letters.view("S8")[:, 0]


def _source(*seeds: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(seeds)))
