"""A picture of the snapshots that rules keep, in SVG: a row for each month, a square for each day. Pure.

A square has the color of the rule that keeps a snapshot of the day the longest, and its reasons as a tooltip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from xml.sax.saxutils import escape

from farshore.retention.rules import Verdict, Why, zone_of

_DAYS = 31
_CELL, _GAP, _LEFT, _TOP = 16, 2, 74, 58
_GOING, _EMPTY, _OTHER = "#c9ced6", "#f3f4f6", "#6b7280"
_COLORS = {  # the longest first
    Why.HELD: "#9d174d", Why.PINNED: "#db2777", Why.TAGGED: "#7c3aed", Why.YEARLY: "#1e3a8a", Why.MONTHLY: "#2563eb",
    Why.WEEKLY: "#0891b2", Why.DAILY: "#15803d", Why.HOURLY: "#65a30d", Why.WITHIN: "#ca8a04", Why.LAST: "#ea580c",
}  # fmt: skip


def draw_svg(verdicts: Iterable[Verdict], time_zone: str, title: str) -> str:
    """Return the picture, the newest month first; the same for the same verdicts.

    Args:
        time_zone: The one in which days begin.
        title: A line above it.
    """
    zone = zone_of(time_zone)
    days: dict[date, list[Verdict]] = {}
    for one in verdicts:
        days.setdefault(one.snapshot.committed_utc.astimezone(zone).date(), []).append(one)
    months = sorted({(day.year, day.month) for day in days}, reverse=True)
    whys = {reason.why for of_day in days.values() for one in of_day for reason in one.reasons}
    shown = [why for why in _COLORS if why in whys]
    width = _LEFT + _DAYS * (_CELL + _GAP) + 10
    height = _TOP + len(months) * (_CELL + _GAP) + 34
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20" font-size="13" font-weight="bold" fill="#111827">{escape(title)}</text>',
    ]
    parts += [_text(_x(day) + _CELL / 2, _TOP - 8, str(day), anchor="middle") for day in range(1, _DAYS + 1)]
    plain: dict[str, list[str]] = {}  # squares without a tooltip, most of them: one path for each color
    for row, (year, month) in enumerate(months):
        top = _TOP + row * (_CELL + _GAP)
        parts.append(_text(10, top + 12, f"{year:04}-{month:02}"))
        for day in range(1, _DAYS + 1):
            color, said = _day(days, year, month, day)
            if said:
                parts.append(_square(_x(day), top, color, said))
            elif color:
                plain.setdefault(color, []).append(f"M{_x(day):g} {top:g}h{_CELL}v{_CELL}h-{_CELL}z")
    parts += [f'<path fill="{color}" d="{"".join(squares)}"/>' for color, squares in plain.items()]
    parts += _legend(shown, height - 14)
    return "\n".join([*parts, "</svg>", ""])


def _day(days: dict[date, list[Verdict]], year: int, month: int, day: int) -> tuple[str, str]:
    """Return color and tooltip of a day; no color where the month has no such day, no tooltip where none stays."""
    try:
        this = date(year, month, day)
    except ValueError:
        return "", ""
    of_day = days.get(this, [])
    kept = [one for one in of_day if one.kept]
    whys = {reason.why for one in kept for reason in one.reasons}
    color = next((color for why, color in _COLORS.items() if why in whys), _OTHER if kept else _GOING)
    reasons = sorted({str(reason) for one in kept for reason in one.reasons})
    said = f"{this}: {len(kept)} of {len(of_day)} stay ({', '.join(reasons)})" if kept else ""
    return (color, said) if of_day else (_EMPTY, "")


def _legend(shown: Sequence[Why], top: float) -> list[str]:
    parts, left = [], float(_LEFT)
    items = [*((why.value, _COLORS[why]) for why in shown), ("forgotten", _GOING), ("no snapshot", _EMPTY)]
    for name, color in items:
        parts += [_square(left, top - 10, color, name, size=11), _text(left + 15, top, name)]
        left += 22 + 6.2 * len(name)
    return parts


def _x(day: int) -> float:
    return _LEFT + (day - 1) * (_CELL + _GAP)


def _square(left: float, top: float, color: str, said: str, size: int = _CELL) -> str:
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{size}" height="{size}" rx="2" fill="{color}">'
        f"<title>{escape(said)}</title></rect>"
    )


def _text(left: float, top: float, said: str, *, anchor: str = "start") -> str:
    return f'<text x="{left:g}" y="{top:g}" text-anchor="{anchor}" fill="#374151">{escape(said)}</text>'
