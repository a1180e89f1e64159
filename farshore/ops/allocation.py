"""How this process takes memory while it moves much data: the heap, Arrow's memory, and the cycle collector.

Entries and rows are many, short-lived and without cycles, so the cycle collector looks less often.
"""

from __future__ import annotations

import gc

from farshore.format.arrow_memory import use_system_memory
from farshore.ops.heap import settle_heap

_GARBAGE_THRESHOLD = 20_000  # allocations that the youngest generation takes before it is looked at; 700 by default


def settle_allocation() -> None:
    """Set up this process for long work. Safe to repeat."""
    if gc.isenabled():
        first, second, third = gc.get_threshold()
        gc.set_threshold(max(first, _GARBAGE_THRESHOLD), second, third)
    settle_heap()
    use_system_memory()
