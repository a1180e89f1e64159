"""How long a cron schedule can leave between two runs: the snapshot before a loss may be that old. How often it runs.

Pure.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise

from farshore.model import dataclass

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # minute, hour, day of month, month, day of week
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:(\*|\d+)(?:-(\d+))?)(?:/(\d+))?")
_FIRST_DAY = date(2024, 1, 1)
MONTH_DAYS = 365.25 / 12
_DAYS_COUNTED = 2922  # eight years exactly, so that a yearly run counts eight times
_DAYS_LOOKED_AT = 8 * 366  # a 29th of February is every four years, and a given day of the week is no rarer here


@dataclass(frozen=True, slots=True)
class _Runs:
    """When a schedule runs within the days looked at."""

    minutes_of_day: tuple[int, ...]  # in order
    days: tuple[int, ...]  # in order, counted from the first


@lru_cache(maxsize=1024)  # each loss asks again for every source
def longest_gap(schedule: str) -> timedelta | None:
    """Return the longest time between two runs of a cron schedule; None for one that this cannot read or never runs.

    `L` and `#` are for the scheduler alone. The clock's change between summer and winter is left out.
    """
    runs = _runs(schedule)
    if runs is None or len(runs.days) < 2:
        return None
    times = runs.minutes_of_day
    within = max((later - earlier for earlier, later in pairwise(times)), default=0)
    across_days = max(later - earlier for earlier, later in pairwise(runs.days))
    across = across_days * 24 * 60 - times[-1] + times[0]
    return timedelta(minutes=max(within, across))


@lru_cache(maxsize=1024)
def runs_per_month(schedule: str) -> float | None:
    """Return how often a cron schedule runs in an average month; None for one that this cannot read."""
    runs = _runs(schedule)
    if runs is None:
        return None
    days = sum(day < _DAYS_COUNTED for day in runs.days)
    return days * len(runs.minutes_of_day) * MONTH_DAYS / _DAYS_COUNTED


def _runs(schedule: str) -> _Runs | None:
    fields = _NAMED.get(schedule, schedule).lower().split()
    if len(fields) != len(_RANGES):
        return None
    fields[3] = _numbered(fields[3], _MONTHS, 1)
    fields[4] = _numbered(fields[4], _DAYS, 0)
    sets = [_values(field, *limits) for field, limits in zip(fields, _RANGES, strict=True)]
    if any(found is None for found in sets):
        return None
    minutes, hours, days, months, weekdays = (found or frozenset() for found in sets)
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    either = fields[2][0] not in "*?" and fields[4][0] not in "*?"  # cron: with both given, either makes a run
    ran: list[int] = []
    for number in range(_DAYS_LOOKED_AT):
        day = _FIRST_DAY + timedelta(days=number)
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (in_month or in_week if either else in_month and in_week):
            ran.append(number)
    return _Runs(tuple(times), tuple(ran))


def _numbered(field: str, words: tuple[str, ...], first: int) -> str:
    for number, word in enumerate(words, start=first):
        field = field.replace(word, str(number))
    return field


def _values(field: str, lowest: int, highest: int) -> frozenset[int] | None:
    """Return the numbers that one field means, or None where it is not understood."""
    found: set[int] = set()
    for part in field.replace("?", "*").split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        start, end, step = match.groups()
        if start == "*":
            first, last = lowest, highest
        else:
            first = int(start)
            last = int(end) if end else highest if step else first
        if last < first:
            return None
        found.update(range(first, last + 1, int(step or 1) or 1))
    if highest == 7 and 7 in found:  # Sunday has two numbers
        found.add(0)
    return frozenset(found)
