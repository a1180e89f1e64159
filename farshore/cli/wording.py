"""How figures, times and names look to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farshore.model import ReplicaRequests
    from farshore.results import ReadRepaired

ID_DIGITS_SHOWN = 12  # a prefix that stays unique among many millions of snapshots
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def human_bytes(count: int) -> str:
    """Return a size by its binary unit, such as `1.5 GiB`."""
    size, unit = float(count), 0
    while abs(size) >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    shown = f"{size:.0f}" if unit == 0 or abs(size) >= 100 else f"{size:.1f}"
    if shown == str(_STEP) and unit < len(_UNITS) - 1:  # 1023.7 KiB reads 1.0 MiB
        shown, unit = "1.0", unit + 1
    return f"{shown} {_UNITS[unit]}"


def compact_bytes(count: int) -> str:
    """Return a size without a space, so that columns stay columns for cut and awk."""
    return human_bytes(count).replace(" ", "")


def utc_time(moment: datetime | None) -> str:
    """Return a moment in UTC to the second, such as `2026-11-21T05:00:00Z`, or `-`."""
    if moment is None:
        return "-"
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_time_exact(moment: datetime) -> str:
    """Return a moment in UTC to the microsecond where it has any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def age_of(moment: datetime, now_utc: datetime) -> str:
    """Return how long ago something was, by its two largest units: `12d4h`, `5m10s`."""
    from farshore.config import format_duration

    return format_duration(max(now_utc - moment, timedelta()))


def elapsed(duration: timedelta) -> str:
    """Return a duration in words: `0.8 s`, `4 min 5 s`, `2 h 10 min`."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left_s} s"
    hours, left_minutes = divmod(minutes, 60)
    return f"{hours} h {left_minutes} min"


def format_repair(one: ReadRepaired) -> str:
    """Return the line on one object that was bad at one replica."""
    if one.mended:
        return f"mended: {one.name} at {one.replica}, {one.action} with the copy of {one.source}"
    return f"not mended: {one.name} at {one.replica} ({one.action}): {shown_text(one.detail)}"


def format_requests(requests: Iterable[ReplicaRequests]) -> list[str]:
    """Return a line for each replica: requests by kind, and the bytes up and down."""
    lines: list[str] = []
    for one in requests:
        kinds = {"put": one.puts, "get": one.gets, "head": one.heads, "list": one.lists, "delete": one.deletes}
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count) or "none"
        lines.append(
            f"  requests to {one.replica}: {said}; {human_bytes(one.bytes_up)} up, {human_bytes(one.bytes_down)} down"
        )
    return lines


def shown_path(path: bytes) -> str:
    """Return a path on one line: bytes that are no UTF-8, and characters that would move the cursor, as escapes."""
    return shown_text(path.decode("utf-8", "backslashreplace"))


def shown_text(text: str) -> str:
    """Return text that a terminal shows as it is: no line ends, no control characters, no lone surrogates."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
