"""Durations as people write them: `90s`, `15m`, `24h`, `7d`, `2w`, and sums such as `1h30m`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,6}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` says.

    Raises:
        ValueError: It is no duration, or nothing at all; the message says what one looks like.
    """
    compact = text.strip().lower().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"not a duration: {text!r} (write 90s, 15m, 24h, 7d or 1h30m)")
    total_s = sum(int(count) * _UNITS_S[unit] for count, unit in _PART.findall(compact))
    if total_s == 0:
        raise ValueError(f"a duration must be longer than nothing: {text!r}")
    return timedelta(seconds=total_s)


def format_duration(duration: timedelta) -> str:
    """Return `duration` as `parse_duration` reads it, by its two largest units below a week; `0s` below a second."""
    left_s = int(duration.total_seconds())
    parts: list[str] = []
    for unit in "dhms":
        unit_s = _UNITS_S[unit]
        count, left_s = divmod(left_s, unit_s)
        if count and len(parts) < 2:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
