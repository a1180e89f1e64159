"""Where Arrow takes its memory from."""

from __future__ import annotations

import pyarrow as pa


def use_system_memory() -> None:
    """Let Arrow allocate from the C library as the rest of the process does. Safe to repeat.

    Its own pool keeps what it has freed for itself, some 30 MB beside what the rest keeps.
    """
    pa.set_memory_pool(pa.system_memory_pool())
