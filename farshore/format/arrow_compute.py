"""Arrow's compute functions, loaded when the first of them is used: a first backup uses none, and they take 9 MB."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return getattr(pyarrow.compute, name)
