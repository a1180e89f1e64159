"""Whether each source has a good snapshot that is young enough. Pure but for `recorded_states`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from farshore.access.query import run_query
from farshore.audit import questions
from farshore.catalog.shrinking import has_shrunken
from farshore.catalog.snapshots import trusted
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import TABLE_ERRORS
from farshore.model import SnapshotInfo, SourceId, dataclass
from farshore.trust.order import SKEW


@dataclass(frozen=True, slots=True)
class SourceState:
    """One source: its last complete snapshot, and what is the matter with those after it.

    A time is when reading the source began: the snapshot shows no later state.
    """

    source: str
    latest_utc: datetime | None = None  # of the last complete snapshot
    data_utc: datetime | None = None  # up to when that has the data: before `latest_utc` for a standby that is behind
    age: timedelta | None = None  # of the data; None if there is no snapshot, or its age is unknown
    allowed: timedelta | None = None
    newest_utc: datetime | None = None  # of the last snapshot, complete or not
    incomplete: int = 0  # snapshots after the last complete one
    lacking: int = 0  # problems that leave something out of the last one
    shrunken: bool = False  # the last one has less than half of the last complete one before it
    misdated: bool = False  # the last one is dated later than its replicas received it, or than now

    @property
    def behind(self) -> bool:
        """Whether the source was itself a copy, and older than its snapshot."""
        return self.data_utc is not None and self.data_utc != self.latest_utc

    @property
    def overdue(self) -> bool:
        """Whether the last complete snapshot is older than allowed, or there is none."""
        return self.allowed is not None and (self.age is None or self.age > self.allowed)

    @property
    def state(self) -> str:
        """One word: misdated, unknown, incomplete (overdue although backups are made), overdue, fresh, or nothing."""
        if self.misdated:
            return "misdated"
        if self.latest_utc is not None and self.age is None:
            return "unknown"
        if self.overdue:
            return "incomplete" if self.incomplete else "overdue"
        return "fresh" if self.allowed else ""

    @property
    def doubtful(self) -> bool:
        """Whether the last snapshot is one that a person should look at."""
        return self.shrunken or self.incomplete > 0


def judge_source(
    source: str, snapshots: Sequence[SnapshotInfo], allowed: timedelta | None, now_utc: datetime
) -> SourceState:
    """Return the state of a source.

    Args:
        snapshots: Its own, in order, oldest first.
    """
    if not snapshots:
        return SourceState(source, allowed=allowed)
    last, sound = snapshots[-1], trusted(snapshots)
    complete = [at for at, one in enumerate(sound) if one.complete]
    latest = max((sound[at] for at in complete), key=lambda one: one.started_utc, default=None)
    data_utc = latest.data_utc if latest else None
    age = None if data_utc is None else now_utc - data_utc
    before = next((one.counts for one in reversed(sound[:-1]) if one.complete), None)
    return SourceState(
        source,
        latest_utc=latest.started_utc if latest else None,
        data_utc=data_utc,
        age=age,
        allowed=allowed,
        newest_utc=sound[-1].started_utc,
        incomplete=len(sound) - 1 - complete[-1] if complete else len(sound),
        lacking=0 if sound[-1].complete else sound[-1].counts.lacking or sound[-1].counts.problems,
        shrunken=has_shrunken(sound[-1].counts, before),
        misdated=last.misdated or (age is not None and age < -SKEW),
    )


def judge_sources(
    snapshots: Iterable[SnapshotInfo],
    allowed: Mapping[str, timedelta | None],
    now_utc: datetime,
    hosts: Mapping[SourceId, str] | None = None,
) -> list[SourceState]:
    """Return the state of each source that `allowed` names, from the snapshots of all, in order.

    Where several hosts have a source of one name, each is judged and named HOST:NAME: else a host could make another
    one's look fresh.

    Args:
        hosts: The host of a source.
    """
    named: dict[str, list[SnapshotInfo]] = {name: [] for name in allowed}
    for one in snapshots:
        if one.source in named:
            named[one.source].append(one)
    return [
        judge_source(label, own, allowed[name], now_utc)
        for name, found in named.items()
        for label, own in _by_source(found, hosts or {}).items() or [(name, [])]
    ]


def _by_source(found: Iterable[SnapshotInfo], hosts: Mapping[SourceId, str]) -> dict[str, list[SnapshotInfo]]:
    """Return the snapshots of one name by source: by the name, or where several have it, with the host or id."""
    of_id: dict[SourceId, list[SnapshotInfo]] = {}
    for one in found:
        of_id.setdefault(one.source_id, []).append(one)
    if len(of_id) == 1:
        return {own[0].source: own for own in of_id.values()}
    said = [hosts.get(source_id, "") for source_id in of_id]
    labels = {one: hosts.get(one, "") if said.count(hosts.get(one, "")) == 1 else one for one in of_id}
    return {f"{labels[one] or one}:{own[0].source}": own for one, own in of_id.items()}


def recorded_states(config: Config, reached: Collection[str], clock: Clock) -> list[SourceState]:
    """Return the state of each source from the audit tables, without a key; none where they have none.

    Args:
        reached: Replicas to ask, the first that answers. Of several sources of one name each is named ID:NAME.
    """
    for replica in reached:
        try:
            rows = run_query(config, questions.SOURCE_STATES, replica=replica, clock=clock).rows
        except TABLE_ERRORS:
            continue
        known = [row for row in rows if row[0] in config.sources]
        several = {name for name, count in Counter(row[0] for row in known).items() if count > 1}
        return [_recorded(row, clock.now_utc(), several) for row in known]
    return []


def _recorded(row: Sequence[object], now_utc: datetime, several: Collection[object]) -> SourceState:
    source, source_id, good, newest, state, lacking, problems, shrunken = row
    latest_utc = good if isinstance(good, datetime) else None
    incomplete = state == "incomplete"
    age = None if latest_utc is None else now_utc - latest_utc
    return SourceState(
        f"{source_id}:{source}" if source in several else str(source),
        latest_utc=latest_utc,
        data_utc=latest_utc,
        age=age,
        newest_utc=newest if isinstance(newest, datetime) else None,
        incomplete=int(incomplete),
        lacking=int(str(lacking or problems or 0)) if incomplete else 0,
        shrunken=bool(shrunken),
        misdated=age is not None and age < -SKEW,
    )
