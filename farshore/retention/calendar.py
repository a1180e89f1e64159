"""A picture of the snapshots that rules keep: a line for each month, a column for each day. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from farshore.retention.rules import Verdict, zone_of

KEPT, GOING, NOTHING = "K", "f", "."
_DAYS = 31


def draw(verdicts: Iterable[Verdict], time_zone: str) -> list[str]:
    """Return lines of equal length, the newest month first: `K` where a snapshot of the day stays, `f` where none does.

    Args:
        time_zone: The one in which days begin.
    """
    zone = zone_of(time_zone)
    days: dict[date, bool] = {}
    for one in verdicts:
        day = one.snapshot.committed_utc.astimezone(zone).date()
        days[day] = days.get(day, False) or one.kept
    tens = "".join(str(day // 10) if day % 10 == 0 else " " for day in range(1, _DAYS + 1))
    ones = "".join(str(day % 10) for day in range(1, _DAYS + 1))
    lines = [f"         {tens}", f"         {ones}"]
    for year, month in sorted({(day.year, day.month) for day in days}, reverse=True):
        of_month = {day.day: kept for day, kept in days.items() if (day.year, day.month) == (year, month)}
        marks = (NOTHING if day not in of_month else KEPT if of_month[day] else GOING for day in range(1, _DAYS + 1))
        lines.append(f"{year:04}-{month:02}  {''.join(marks)}")
    return lines
