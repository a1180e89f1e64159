"""Process-wide allocator settings for bulk work. Measured in docs/reference/benchmarks.md.

A segment passes through several buffers of a few MiB, made in one thread and freed in another. glibc keeps an arena of
memory for each thread, and each ends up holding the most that its thread ever held at once: one arena for all holds a
tenth less. Buffers that are made and freed by the thousand stay on the heap, or the kernel would clear their pages each
time; where that leaves holes between objects that live longer, the larger ones are mapped instead.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

from farshore import limits

# Parameters of malloc.h. The two thresholds, once set, also stop glibc from raising them as it goes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_SETTINGS = (
    (_ARENA_MAX, 1),
    (_TRIM_THRESHOLD, 16 * limits.MIB),  # at the end of the heap no more than this is kept unused
)
_STATM = Path("/proc/self/statm")
_GARBAGE_THRESHOLD = 20_000  # allocations that the youngest generation takes before it is looked at; 700 by default


def tune_process_memory(mapped_bytes_min: int = limits.MAPPED_BYTES_MIN) -> None:
    """Set up this process for long work. Safe to repeat.

    Entries and rows are many, short-lived and without cycles, so the cycle collector looks less often.

    Args:
        mapped_bytes_min: As for `tune_heap`.
    """
    from farshore.format.arrow import use_system_memory

    if gc.isenabled():
        first, second, third = gc.get_threshold()
        gc.set_threshold(max(first, _GARBAGE_THRESHOLD), second, third)
    tune_heap(mapped_bytes_min)
    use_system_memory()


def tune_heap(mapped_bytes_min: int = limits.MAPPED_BYTES_MIN) -> None:
    """Set up the heap of this process for long work. Safe to repeat; leaves a C library that is not glibc as it is.

    Args:
        mapped_bytes_min: Blocks from this size on get pages of their own, which go back to the system with them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in (*_SETTINGS, (_MMAP_THRESHOLD, mapped_bytes_min)):
            mallopt(parameter, value)


def give_back_unused(above: int = limits.HEAP_TRIM_BYTES_MIN) -> None:
    """Give pages of the heap that nothing uses back to the system, if this process holds more of its own than `above`.

    Buffers of megabytes between small objects leave holes that together are as large as what is used. This costs
    milliseconds, and pages that are used again are cleared first. Safe from any thread; does nothing without glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return
    _, resident, shared, *_ = map(int, _STATM.read_text().split())
    if (resident - shared) * os.sysconf("SC_PAGE_SIZE") > above:
        trim(0)
