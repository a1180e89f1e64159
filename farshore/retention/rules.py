"""Which snapshots of one source its rules keep, and why. Pure.

Of each of the last n hours, days, weeks, months and years that have one, the newest snapshot is kept, as restic does
it, with two differences: a complete snapshot goes before an incomplete one of the same hour or day, and nothing is
judged by the clock of this host. Order is that of the signed chain; hours and days are those of `committed_utc` in the
time zone of the rules; `keep_within` counts back from the newest snapshot, so a source that stopped loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from farshore.config import RetentionConfig
from farshore.model import SnapshotInfo, dataclass


class Why(StrEnum):
    """Why a snapshot stays."""

    LAST = "last"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    WITHIN = "within"
    TAGGED = "tagged"
    NEWEST = "newest"  # the last one, and the last complete one
    PINNED = "pinned"
    HELD = "held"
    PROVEN = "proven"  # the last one that was read back whole
    UNSOUND = "unsound"  # misdated, forked or ahead: no rule judges it
    STOPPED = "stopped"  # its source is not to forget anything now
    NO_RULE = "no-rule"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a snapshot stays; `of` says which hour, day or number."""

    why: Why
    of: str = ""

    def __str__(self) -> str:
        return f"{self.why.value} {self.of}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A snapshot, and why it stays; it may be forgotten where nothing keeps it."""

    snapshot: SnapshotInfo
    reasons: tuple[Reason, ...]

    @property
    def kept(self) -> bool:
        """Whether anything keeps it."""
        return bool(self.reasons)


_PERIODS: Mapping[Why, Callable[[datetime], str]] = {
    Why.HOURLY: lambda local: local.strftime("%Y-%m-%d %H:00%z"),  # with the offset: an hour that comes twice is two
    Why.DAILY: lambda local: local.strftime("%Y-%m-%d"),
    Why.WEEKLY: lambda local: local.strftime("%G-W%V"),
    Why.MONTHLY: lambda local: local.strftime("%Y-%m"),
    Why.YEARLY: lambda local: local.strftime("%Y"),
}


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name; UTC also where the host has no table of zones."""
    return UTC if name == "UTC" else ZoneInfo(name)


def judge(
    snapshots: Sequence[SnapshotInfo],
    rules: RetentionConfig,
    *,
    proven: Iterable[str] = (),
    stopped: str = "",
    kept: Mapping[str, Sequence[Reason]] | None = None,
) -> list[Verdict]:
    """Return a verdict on each snapshot of one source, in the order given.

    Args:
        snapshots: All of the source that count, in the order of its chain, oldest first.
        rules: Those of the source. Rules that keep nothing keep everything.
        proven: Ids of snapshots that were read back whole; the last of them stays.
        kept: By snapshot id, the pins and holds that keep it.
        stopped: Why the source forgets nothing now; empty where it does.
    """
    reasons: dict[str, list[Reason]] = {one.snapshot_id: [] for one in snapshots}
    sound = [one for one in snapshots if one.sound]
    everything = [Reason(Why.STOPPED, stopped)] if stopped else []
    everything += [Reason(Why.NO_RULE)] if rules.keeps_nothing else []
    for one in snapshots:
        reasons[one.snapshot_id] += (kept or {}).get(one.snapshot_id, ())
        reasons[one.snapshot_id] += everything if one.sound else [Reason(Why.UNSOUND), *everything]
    for one, reason in (*_always(sound, set(proven)), *_by_number(sound, rules), *_by_period(sound, rules)):
        reasons[one.snapshot_id].append(reason)
    return [Verdict(one, tuple(reasons[one.snapshot_id])) for one in snapshots]


def _always(sound: Sequence[SnapshotInfo], proven: set[str]) -> Iterator[tuple[SnapshotInfo, Reason]]:
    """Yield what stays whatever the rules are."""
    complete = [one for one in sound if one.complete]
    for last in {one.snapshot_id: one for one in (*sound[-1:], *complete[-1:])}.values():
        yield last, Reason(Why.NEWEST)
    for last in [one for one in complete if one.snapshot_id in proven][-1:]:
        yield last, Reason(Why.PROVEN)


def _by_number(sound: Sequence[SnapshotInfo], rules: RetentionConfig) -> Iterator[tuple[SnapshotInfo, Reason]]:
    for at, one in enumerate(reversed(sound[-rules.keep_last :] if rules.keep_last else []), start=1):
        yield one, Reason(Why.LAST, f"{at} of {rules.keep_last}")
    for one in sound:
        if shared := set(rules.keep_tags).intersection(one.tags):
            yield one, Reason(Why.TAGGED, ", ".join(sorted(shared)))
    if rules.keep_within is not None and sound:
        since_utc = sound[-1].committed_utc - rules.keep_within
        yield from ((one, Reason(Why.WITHIN)) for one in sound if one.committed_utc >= since_utc)


def _by_period(sound: Sequence[SnapshotInfo], rules: RetentionConfig) -> Iterator[tuple[SnapshotInfo, Reason]]:
    """Yield the snapshot that is kept of each of the last periods that have one."""
    zone = zone_of(rules.time_zone)
    for why, name_of in _PERIODS.items():
        count = rules.periods[why.value]
        chosen: dict[str, SnapshotInfo] = {}
        for one in sound if count else ():
            period = name_of(one.committed_utc.astimezone(zone))
            before = chosen.pop(period, None)  # so that periods are in the order of their last snapshots
            chosen[period] = one if before is None or one.complete or not before.complete else before
        yield from ((one, Reason(why, period)) for period, one in list(chosen.items())[-count or len(chosen) :])
