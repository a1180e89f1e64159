"""Pages for buffers of megabytes that are made and freed by the thousand: packs under construction, opened segments.

On the heap they would leave holes worth more than themselves. Pages that go back to the system are cleared by the
kernel when they are used again, a seventh of the time of a first backup; so a few are kept and reused.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import threading

from farshore import limits

_LARGE_PAGE_BYTES = 2 * limits.MIB
_UNUSED_REFERENCES = 3  # to a mapping that nobody looks at: the pool's, the loop's and that of the question itself


def make_pages(length: int) -> memoryview:
    """Return memory in pages of its own; they go back to the system with the last view of them."""
    return memoryview(_map(length))[:length]


def give_back_tail(pages: memoryview, used: int) -> None:
    """Give the pages behind the first `used` bytes, of memory made here, back to the system, which clears them.

    Pages that are used again would otherwise hold the most that was ever put into them.
    """
    start = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
    if isinstance(pages.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and start < len(pages.obj):
        pages.obj.madvise(mmap.MADV_DONTNEED, start, len(pages.obj) - start)


class PagePool:
    """Pages of one size that are used again once the last view of them is gone. Safe from any thread.

    A view holds a reference to its mapping, however it was sliced or passed on, so pages without any are unused. Memory
    from the pool is not cleared: it has the bytes of its last user.

    Args:
        page_bytes: The largest length that is kept; less than half of it is not, or many small ones would hold much.
        kept_max: From here on, those in use included, unused ones go back to the system at the next call. So pages
            that are out for long cost no more than they are, however many were out at once before.
    """

    def __init__(self, *, page_bytes: int, kept_max: int) -> None:
        self._page_bytes = page_bytes
        self._kept_max = kept_max
        self._pages: list[mmap.mmap] = []  # made here, used or not
        self._lock = threading.Lock()

    def memory_of(self, length: int) -> int:
        """Return the memory of a view of this length: pages that are used again are resident as a whole."""
        return self._page_bytes if self._page_bytes // 2 <= length <= self._page_bytes else length

    def take(self, length: int) -> memoryview:
        """Return memory of this length."""
        if not self._page_bytes // 2 <= length <= self._page_bytes:
            return make_pages(length)
        with self._lock:
            unused = [pages for pages in self._pages if sys.getrefcount(pages) == _UNUSED_REFERENCES]
            if unused:
                pages = unused.pop(0)
            else:
                pages = _map(self._page_bytes)
                self._pages.append(pages)
            for spare in unused[: max(len(self._pages) - self._kept_max, 0)]:
                self._pages.remove(spare)
            return memoryview(pages)[:length]


def _map(length: int) -> mmap.mmap:
    pages = mmap.mmap(-1, max(length, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _LARGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
