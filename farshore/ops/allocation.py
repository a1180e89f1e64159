"""How this process takes memory while it moves much data. Measured in docs/adr/0006-speed.md.

A segment passes through several buffers of a few MiB, made in one thread and freed in another. glibc keeps an arena of
memory for each thread, and each ends up holding the most that its thread ever held at once: one arena for all holds a
tenth less. Entries and rows are many, short-lived and without cycles, so the cycle collector looks less often.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_GARBAGE_THRESHOLD = 20_000  # allocations that the youngest generation takes before it is looked at; 700 by default


def settle_allocation() -> None:
    """Set up this process for long work. Safe to repeat; does nothing where the C library is not glibc."""
    if gc.isenabled():
        first, second, third = gc.get_threshold()
        gc.set_threshold(max(first, _GARBAGE_THRESHOLD), second, third)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_ARENA_MAX, 1)
