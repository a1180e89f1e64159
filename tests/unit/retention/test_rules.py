"""Rules of retention: what stays, why, and that judging again keeps what was kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from farshore.config import RetentionConfig
from farshore.model import SnapshotCounts, SnapshotInfo, SnapshotState
from farshore.retention.calendar import draw
from farshore.retention.rules import Verdict, Why, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNTS = SnapshotCounts(1, 1, 1, 1, 1, 1, 1, 1)


def snapshot(at: datetime, number: int = 0, *, complete: bool = True, **more: bool) -> SnapshotInfo:
    return SnapshotInfo(
        snapshot_id=f"{number:032x}", source_id="ab" * 16, source="home", kind="directory", identity="",
        started_utc=at, committed_utc=at, counts=COUNTS, replicas=("a",), sequence=number + 1,
        state=SnapshotState.COMPLETE if complete else SnapshotState.INCOMPLETE, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def every(step: timedelta, count: int, start: datetime = START) -> list[SnapshotInfo]:
    return [snapshot(start + number * step, number) for number in range(count)]


def kept(verdicts: list[Verdict]) -> list[datetime]:
    return [one.snapshot.committed_utc for one in verdicts if one.kept]


def whys(verdict: Verdict) -> set[Why]:
    return {reason.why for reason in verdict.reasons}


def test_the_last_ones_of_days_and_weeks_stay() -> None:
    found = judge(every(timedelta(hours=6), 4 * 60), RetentionConfig(keep_daily=3, keep_weekly=4))
    days = [datetime(2026, 2, 27, 18, tzinfo=UTC) + timedelta(days=day) for day in range(3)]
    sundays = [datetime(2026, 2, day, 18, tzinfo=UTC) for day in (8, 15, 22)]
    assert kept(found) == sundays + days
    assert [str(one) for one in found[-1].reasons] == ["newest", "daily 2026-03-01", "weekly 2026-W09"]


def test_days_that_have_none_do_not_count() -> None:
    """As with restic: of the last three days with a snapshot, not of the last three days."""
    snapshots = [snapshot(START + timedelta(days=day), day) for day in (0, 10, 50, 90)]
    assert [one.kept for one in judge(snapshots, RetentionConfig(keep_daily=3))] == [False, True, True, True]


def test_last_hourly_monthly_yearly_and_within() -> None:
    snapshots = every(timedelta(minutes=30), 96)
    assert len(kept(judge(snapshots, RetentionConfig(keep_last=5)))) == 5
    assert len(kept(judge(snapshots, RetentionConfig(keep_hourly=5)))) == 5
    assert len(kept(judge(snapshots, RetentionConfig(keep_within=timedelta(hours=2))))) == 5
    months = every(timedelta(days=10), 100)
    assert len(kept(judge(months, RetentionConfig(keep_monthly=12)))) == 12
    assert [one.year for one in kept(judge(months, RetentionConfig(keep_yearly=3)))] == [2026, 2027, 2028]


def test_within_counts_from_the_newest_snapshot() -> None:
    """A source that stopped years ago loses nothing by it, whatever the clock of a host says."""
    found = judge(every(timedelta(days=1), 10), RetentionConfig(keep_within=timedelta(days=3)))
    assert len(kept(found)) == 4


def test_days_begin_in_the_time_zone() -> None:
    late = datetime(2026, 6, 1, 22, 30, tzinfo=UTC)  # after midnight in Berlin
    snapshots = [snapshot(late - timedelta(hours=2), 0), snapshot(late, 1)]
    assert len(kept(judge(snapshots, RetentionConfig(keep_daily=5)))) == 1
    assert len(kept(judge(snapshots, RetentionConfig(keep_daily=5, time_zone="Europe/Berlin")))) == 2


def test_an_hour_that_comes_twice_is_two_hours() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=0).astimezone(UTC)
    snapshots = [snapshot(first, 0), snapshot(first + timedelta(hours=1), 1)]
    assert len(kept(judge(snapshots, RetentionConfig(keep_hourly=5, time_zone="Europe/Berlin")))) == 2
    assert len(kept(judge(snapshots, RetentionConfig(keep_daily=5, time_zone="Europe/Berlin")))) == 1


def test_a_complete_one_goes_before_an_incomplete_one_of_its_day() -> None:
    snapshots = [
        snapshot(START, 0), snapshot(START + timedelta(hours=1), 1, complete=False),
        snapshot(START + timedelta(days=1), 2, complete=False), snapshot(START + timedelta(days=2), 3),
    ]  # fmt: skip
    assert [one.kept for one in judge(snapshots, RetentionConfig(keep_daily=3))] == [True, False, True, True]


def test_the_last_the_last_complete_and_the_last_proven_always_stay() -> None:
    snapshots = [snapshot(START + timedelta(hours=number), number, complete=number < 7) for number in range(10)]
    proven = [snapshots[3].snapshot_id, snapshots[4].snapshot_id, snapshots[8].snapshot_id]
    found = judge(snapshots, RetentionConfig(keep_last=1), proven=proven)
    assert [number for number, one in enumerate(found) if one.kept] == [4, 6, 9]
    assert (whys(found[4]), whys(found[6])) == ({Why.PROVEN}, {Why.NEWEST})


def test_what_is_not_sound_is_never_forgotten_and_displaces_nothing() -> None:
    """A thief dates a snapshot of its own into the future: the true ones stay as they would without it."""
    snapshots = every(timedelta(days=1), 10)
    false = [
        snapshot(START + timedelta(days=36_500), 10, misdated=True),
        snapshot(START + timedelta(days=9, hours=1), 11, forked=True),
        snapshot(START + timedelta(days=9, hours=2), 12, ahead=True),
    ]
    rules = RetentionConfig(keep_last=2, keep_daily=3)
    found = judge([*snapshots, *false], rules)
    assert [one.kept for one in found[:10]] == [one.kept for one in judge(snapshots, rules)]
    assert [whys(one) for one in found[10:]] == [{Why.UNSOUND}] * 3


def test_without_a_rule_and_where_it_is_stopped_everything_stays() -> None:
    snapshots = every(timedelta(days=1), 5)
    assert all(one.kept for one in judge(snapshots, RetentionConfig()))
    stopped = judge(snapshots, RetentionConfig(keep_last=1), stopped="shrunken")
    assert all(Why.STOPPED in whys(one) for one in stopped)


RULES = st.builds(
    RetentionConfig,
    keep_last=st.integers(0, 3), keep_hourly=st.integers(0, 3), keep_daily=st.integers(0, 4),
    keep_weekly=st.integers(0, 3), keep_monthly=st.integers(0, 3), keep_yearly=st.integers(0, 2),
    keep_within=st.none() | st.timedeltas(timedelta(), timedelta(days=9)),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns"]),
)  # fmt: skip
STEPS = st.lists(st.tuples(st.timedeltas(timedelta(), timedelta(days=40)), st.booleans(), st.booleans()), max_size=40)


@given(rules=RULES, steps=STEPS)
def test_judging_again_forgets_nothing_more(rules: RetentionConfig, steps: list[tuple[timedelta, bool, bool]]) -> None:
    at, snapshots = START, []
    for number, (step, complete, misdated) in enumerate(steps):
        at += step
        snapshots.append(snapshot(at, number, complete=complete, misdated=misdated))
    first = judge(snapshots, rules)
    left = [one.snapshot for one in first if one.kept]
    assert [one.snapshot for one in judge(left, rules) if one.kept] == left
    if not rules.keeps_nothing:
        more = judge(snapshots, replace(rules, keep_daily=rules.keep_daily + 1))
        assert {one.snapshot.snapshot_id for one in more if one.kept} >= {one.snapshot_id for one in left}


def test_the_picture_has_a_line_for_each_month() -> None:
    found = judge(every(timedelta(days=1), 40), RetentionConfig(keep_daily=3, keep_weekly=3))
    assert draw(found, "UTC") == [
        "                  1         2         3 ",
        "         1234567890123456789012345678901",
        "2026-02  KfffffKKK......................",
        "2026-01  fffffffffffffffffffffffffffffff",
    ]
