"""The longest gap of a schedule, against a plain walk over its minutes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farshore.plan.schedules import MONTH_DAYS, longest_gap, runs_per_month

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("schedule", "gap"),
    [
        ("@hourly", timedelta(hours=1)),
        ("@daily", DAY),
        ("@midnight", DAY),
        ("@weekly", 7 * DAY),
        ("@monthly", 31 * DAY),
        ("@yearly", 366 * DAY),
        ("30 2 * * *", DAY),
        ("*/15 * * * *", timedelta(minutes=15)),
        ("0 */5 * * *", timedelta(hours=5)),  # 20:00 to 00:00 is four: the longest counts
        ("0 9-17 * * *", timedelta(hours=16)),
        ("0 2 * * MON-FRI", 3 * DAY),
        ("0 2 * * 1,4", 4 * DAY),
        ("0 2 * * 0", 7 * DAY),
        ("0 2 * * 7", 7 * DAY),
        ("0 2 * * 5-7", 5 * DAY),
        ("0 2 1 jan,jul *", 184 * DAY),
        ("0 2 1 * 1", 7 * DAY),  # the first of the month, and every Monday
        ("0 2 29 2 *", 1461 * DAY),
        ("5,50 4 * * ?", timedelta(days=1) - timedelta(minutes=45)),
        ("59 23 * * *", DAY),
    ],
)
def test_the_longest_gap(schedule: str, gap: timedelta) -> None:
    assert longest_gap(schedule) == gap


@pytest.mark.parametrize("schedule", ["0 2 L * *", "0 2 * * 1#2", "0 2 30 2 *", "daily", "", "0 2 * *"])
def test_what_it_cannot_read_or_never_runs_has_no_gap(schedule: str) -> None:
    assert longest_gap(schedule) is None


@pytest.mark.parametrize(
    ("schedule", "days_a_week", "times_a_day"),
    [("@daily", 7, 1), ("@hourly", 7, 24), ("*/15 * * * *", 7, 96), ("0 2,14 * * MON-FRI", 5, 2), ("@weekly", 1, 1)],
)
def test_runs_of_a_month_are_counted(schedule: str, days_a_week: int, times_a_day: int) -> None:
    assert runs_per_month(schedule) == pytest.approx(days_a_week / 7 * times_a_day * MONTH_DAYS, rel=0.01)


def test_runs_of_a_month_are_one_where_it_is_monthly_and_unknown_where_it_cannot_be_read() -> None:
    assert runs_per_month("@monthly") == pytest.approx(1, rel=0.01)
    assert runs_per_month("@yearly") == pytest.approx(1 / 12, rel=0.01)
    assert runs_per_month("0 0 L * *") is None
    assert runs_per_month("") is None
