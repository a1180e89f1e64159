"""Arrow's compute functions, loaded when the first of them is used, and its memory pool.

A first backup uses no compute function, and they cost 9 MB.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def use_system_memory() -> None:
    """Let Arrow allocate from the C library as the rest of the process does. Safe to repeat.

    Its own pool keeps freed memory for itself: some 30 MB beyond the rest of the process.
    """
    pa.set_memory_pool(pa.system_memory_pool())


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked by the import system, of every module that something is imported from
        raise AttributeError(name)
    import pyarrow.compute

    return getattr(pyarrow.compute, name)
