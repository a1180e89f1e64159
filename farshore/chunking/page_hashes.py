"""A keyed hash for each page of page-structured content. Pure, and light to load: processes do nothing but this."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from farshore import limits

HASH_BYTES = limits.PAGE_HASH_BYTES


def hash_pages(data: bytes | memoryview, page_bytes: int, page_key: bytes) -> bytes:
    """Return 16 bytes for each page of `data`, in order; the last page may be short."""
    return hash_each(split_pages(data, page_bytes), page_key)


def split_pages(data: bytes | memoryview, page_bytes: int) -> list[memoryview]:
    """Return the pages of `data`, in order; the last one may be short."""
    view = memoryview(data)
    return [view[start : start + page_bytes] for start in range(0, len(view), page_bytes)]


def hash_each(pages: Iterable[memoryview], page_key: bytes) -> bytes:
    """Return 16 bytes for each page, in order."""
    hasher = blake3(key=page_key)  # one for all: making it costs as much as hashing half a page
    reset, update, digest = hasher.reset, hasher.update, hasher.digest
    hashes: list[bytes] = []
    for page in pages:
        reset()
        update(page)
        hashes.append(digest(HASH_BYTES))
    return b"".join(hashes)
