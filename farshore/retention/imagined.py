"""Snapshots that nobody made, one after the other at even distances, to see what rules would keep of them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from farshore.config import RetentionConfig
from farshore.model import SnapshotCounts, SnapshotInfo
from farshore.retention.rules import Verdict, judge

EVERY_MIN = timedelta(minutes=5)
SPAN = timedelta(days=3 * 366)  # three years: what a picture can show


def imagine(rules: RetentionConfig, every: timedelta, end_utc: datetime) -> list[Verdict]:
    """Return verdicts on snapshots of three years, the last of them at `end_utc`.

    Args:
        every: The time from one to the next, at least `EVERY_MIN`.
    """
    count = SPAN // max(every, EVERY_MIN)
    moments = [end_utc - every * at for at in range(count)]
    return judge([_made(number, moment) for number, moment in enumerate(reversed(moments), start=1)], rules)


def _made(number: int, moment: datetime) -> SnapshotInfo:
    return SnapshotInfo(
        snapshot_id=f"{number:032x}", source_id="", source="", kind="", identity="", started_utc=moment,
        committed_utc=moment, counts=SnapshotCounts(), replicas=(), sequence=number,
    )  # fmt: skip
