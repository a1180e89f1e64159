"""Trials D5 and F1: what `farshore status` makes of a source's snapshots."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from farshore.catalog.shrinking import has_shrunken
from farshore.model import SnapshotCounts, SnapshotInfo, SnapshotState
from farshore.ops.ask.source_states import SourceState, judge_source, judge_sources

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def night(ago: int, *, complete: bool = True, misdated: bool = False, entries: int = 100) -> SnapshotInfo:
    moment = NOW - ago * DAY
    return SnapshotInfo(
        snapshot_id=f"{ago % 1000:032x}",
        source_id="2" * 32,
        source="home",
        kind="directory",
        identity="",
        started_utc=moment,
        committed_utc=moment,
        counts=SnapshotCounts(entries=entries, problems=0 if complete else 2, lacking=0 if complete else 1),
        replicas=("a",),
        state=SnapshotState.COMPLETE if complete else SnapshotState.INCOMPLETE,
        misdated=misdated,
    )


def judged(*snapshots: SnapshotInfo, allowed: timedelta | None = 2 * DAY) -> SourceState:
    return judge_source("home", snapshots, allowed, NOW)


def test_the_last_complete_snapshot_counts() -> None:
    state = judged(night(3), night(1))
    assert (state.state, state.age, state.doubtful) == ("fresh", DAY, False)


def test_an_incomplete_night_is_doubtful_and_not_overdue() -> None:
    state = judged(night(1), night(0, complete=False))
    assert (state.state, state.age, state.doubtful, state.incomplete, state.lacking) == ("fresh", DAY, True, 1, 1)
    assert state.newest_utc == NOW


def test_a_source_that_is_always_incomplete_says_so_and_not_that_it_is_old() -> None:
    assert judged(night(9), *(night(ago, complete=False) for ago in (3, 2, 1))).state == "incomplete"
    never = judged(*(night(ago, complete=False) for ago in (3, 2, 1)))
    assert (never.state, never.latest_utc, never.age, never.incomplete) == ("incomplete", None, None, 3)
    assert judged(night(9)).state == "overdue"
    assert judged().state == "overdue"


def test_without_an_allowed_age_there_is_no_verdict_and_the_doubt_stays() -> None:
    assert judged(night(9), allowed=None).state == ""
    assert judged(night(9), night(8, complete=False), allowed=None).doubtful


@pytest.mark.parametrize("allowed", [None, 2 * DAY])
def test_a_last_snapshot_of_the_future_is_reported_until_another_follows_it(allowed: timedelta | None) -> None:
    future = night(-30, misdated=True)
    state = judged(night(1), future, allowed=allowed)
    assert (state.state, state.age) == ("misdated", DAY)
    assert judged(night(1), future, night(0), allowed=allowed).state == ("fresh" if allowed else "")


def test_a_negative_age_is_never_fresh() -> None:
    assert judged(night(-30)).state == "misdated"  # nobody told that its date is wrong, so this clock is
    soon = replace(night(0), started_utc=NOW + timedelta(seconds=299))
    assert judged(soon).state == "fresh"
    assert judged(replace(soon, started_utc=NOW + timedelta(seconds=301))).state == "misdated"


def test_where_all_dates_are_wrong_the_source_is_misdated() -> None:
    assert judged(night(1, misdated=True)).state == "misdated"


def test_a_sudden_shrink_is_seen_until_the_next_backup() -> None:
    assert judged(night(2), night(1, entries=49)).shrunken
    assert not judged(night(2), night(1, entries=50)).shrunken
    assert not judged(night(2), night(1, entries=49), night(0, entries=49)).shrunken
    assert judged(night(2), night(1, entries=60, complete=False), night(0, entries=49)).shrunken  # a slow one too


def test_half_of_little_is_no_shrink() -> None:
    small, big = SnapshotCounts(entries=15, bytes_total=1000), SnapshotCounts(entries=15, bytes_total=1 << 20)
    assert not has_shrunken(SnapshotCounts(entries=1), small)
    assert has_shrunken(SnapshotCounts(entries=15, bytes_total=(1 << 19) - 1), big)
    assert not has_shrunken(SnapshotCounts(entries=15, bytes_total=1 << 19), big)
    assert not has_shrunken(SnapshotCounts(), None)


def test_each_source_is_judged_by_its_own_snapshots() -> None:
    other = replace(night(5), source="work")
    states = judge_sources([other, night(1)], {"home": 2 * DAY, "work": None, "new": DAY}, NOW)
    assert [(one.source, one.state, one.age) for one in states] == [
        ("home", "fresh", DAY), ("work", "", 5 * DAY), ("new", "overdue", None),
    ]  # fmt: skip
