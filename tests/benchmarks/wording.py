"""How figures are written in tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping


def seconds(value: float | None) -> str:
    """Return a time, or nothing where there is none."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def times(ratio: float) -> str:
    """Return a ratio."""
    return f"{ratio:.1f}x" if ratio >= 0.095 else f"{ratio:.2f}x"


def requests(counts: Mapping[str, int]) -> str:
    """Return counts by verb."""
    return ", ".join(f"{count:,} {verb.upper()}" for verb, count in counts.items())


def size(count: float) -> str:
    """Return bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
