"""Find the files of an installed package without importing it: some of them do work, or warn, when imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_directory(name: str) -> Path | None:
    """Return the directory of a top-level package of this environment, or None when it is not installed."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
