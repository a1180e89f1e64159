"""Which snapshots there are, in which order, and which of them a person means.

Reads listings and commit records, never a manifest. docs/reference/format.md, section 5, and decision 0012.

A run reads every commit record of its source before it begins, and its own record has a sequence above all of theirs.
So the sequence is the order in which they were committed, whatever any clock said; a time only orders records of one
sequence, which two hosts wrote side by side. The time a store gives a record is never an order, because a copy made
later is stamped later; it is a cap: nobody commits before it is written, so a record dated beyond its own stamp has a
wrong date.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from farshore import limits
from farshore.catalog.commits import ListedCommits, list_commits
from farshore.errors import SnapshotUnknown
from farshore.format.records import Commit
from farshore.model import PromisedLock, SnapshotInfo, SnapshotState, data_moment
from farshore.replicas.ask import unasked_error
from farshore.replicas.repository import Repository

SKEW = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)
LATEST = "latest"
_ID_DIGITS = frozenset("0123456789abcdef")
_PREFIX_MIN = 4
Info = TypeVar("Info", bound=SnapshotInfo)


def order_key(commit: Commit) -> tuple[int, datetime, str]:
    """Return the sort key of the commit records of one source, oldest first."""
    return commit.sequence, commit.committed_utc, commit.snapshot


def in_order(commits: Iterable[Commit]) -> list[Commit]:
    """Return records of any sources, oldest first: each source in its own order, sources among each other by time.

    A record dated later than one that follows it has the place of that one.
    """
    of_source: dict[str, list[Commit]] = {}
    for commit in commits:
        of_source.setdefault(commit.source_id, []).append(commit)
    placed: list[tuple[datetime, str, int, Commit]] = []
    for source_id, own in of_source.items():
        own.sort(key=order_key)
        moment = own[-1].committed_utc
        for at in range(len(own) - 1, -1, -1):
            moment = min(moment, own[at].committed_utc)
            placed.append((moment, source_id, at, own[at]))
    placed.sort(key=lambda one: one[:3])
    return [one[3] for one in placed]


def is_misdated(commit: Commit, stored_utc: datetime | None, now_utc: datetime) -> bool:
    """Whether a record is dated later than it can have been written.

    Args:
        stored_utc: The earliest time that a store reports for it; None where none does.
        now_utc: By this host's clock, which decides only where no store reports one.
    """
    return commit.committed_utc > (stored_utc or now_utc) + SKEW


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(SnapshotInfo):
    """A snapshot with the commit record that its listing read, so that nothing reads that again."""

    commit: Commit = field(repr=False, compare=False)


def commits_with_holders(repository: Repository, source: str | None = None) -> list[tuple[Commit, tuple[str, ...]]]:
    """Return every committed snapshot, oldest first, with the reachable replicas that list it.

    A commit record damaged at one replica is read from another that lists it.

    Raises:
        FarshoreError: No replica could be listed; an unreachable repository is not an empty one.
    """
    found = _listed(repository, source)
    return [(commit, found.holders[commit.snapshot]) for commit in in_order(found.commits.values())]


def list_snapshots(repository: Repository, source: str | None = None) -> list[Snapshot]:
    """Return the committed snapshots, oldest first. Needs a writer's keys at least."""
    found, now_utc = _listed(repository, source), repository.clock.now_utc()
    return [
        _info(
            commit,
            found.holders[commit.snapshot],
            misdated=is_misdated(commit, found.stored_utc.get(commit.snapshot), now_utc),
        )
        for commit in in_order(found.commits.values())
    ]


def resolve_snapshot(repository: Repository, selector: str) -> Snapshot:
    """Return the snapshot that text means: an id or unique prefix of one, SOURCE, SOURCE@latest or SOURCE@TIME.

    SOURCE is its last complete snapshot, SOURCE@latest its last one, complete or not. SOURCE@TIME is the newest
    complete one that began at or before an ISO time, UTC unless it says otherwise. Last is the last that was committed;
    one that is dated later than it can have been committed is named by its id alone, as long as there are others.

    Raises:
        SnapshotUnknown: None, or more than one.
    """
    snapshots = list_snapshots(repository)
    name, at, time = selector.rpartition("@")
    of_source = [one for one in snapshots if one.source == selector]
    if of_source:
        return _last_complete(selector, trusted(of_source))
    if at and time == LATEST and (of_source := [one for one in snapshots if one.source == name]):
        return trusted(of_source)[-1]
    if at:
        return _before(snapshots, name, time)
    if len(selector) >= _PREFIX_MIN and _ID_DIGITS.issuperset(selector):
        matching = [one for one in snapshots if one.snapshot_id.startswith(selector)]
        if len(matching) > 1:
            listed = ", ".join(one.snapshot_id for one in matching)
            raise SnapshotUnknown(f"{selector} begins more than one snapshot: {listed}", "Give more digits.")
        if matching:
            return matching[0]
    if selector and _ID_DIGITS.issuperset(selector) and len(selector) < _PREFIX_MIN:
        raise SnapshotUnknown(
            f"no source is named {selector}, and the beginning of an id has at least {_PREFIX_MIN} digits",
            "Give more digits of the id; 'farshore snapshots' lists them.",
        )
    sources = ", ".join(sorted({one.source for one in snapshots})) or "none"
    raise SnapshotUnknown(f"no snapshot or source is named {selector} (sources with snapshots: {sources})")


def trusted(of_source: Sequence[Info]) -> list[Info]:
    """Return the snapshots of one source whose date can be right, in their order; all where it can be of none.

    Then stores, or this host, have another time altogether, and the order in which they were committed still holds.
    """
    return [one for one in of_source if not one.misdated] or list(of_source)


def latest_snapshot_per_replica(repository: Repository) -> dict[str, dict[str, datetime]]:
    """Return the moment of the data in the newest good snapshot, by replica that could be listed, and source.

    Good is one that is complete and dated as it can have been committed.
    Needs a writer's keys at least. A replica that is not in the answer is unknown, not empty.

    Raises:
        FarshoreError: No replica could be listed.
    """
    found = list_commits(repository)
    latest: dict[str, dict[str, datetime]] = {name: {} for name in repository.replicas if name not in found.failed}
    if not latest:
        raise unasked_error({**repository.unreachable, **found.failed})
    now_utc = repository.clock.now_utc()
    for snapshot_id, commit in found.commits.items():
        data_utc = data_moment(commit.started_utc, commit.facts)
        if commit.state is not SnapshotState.COMPLETE or data_utc is None:
            continue
        if is_misdated(commit, found.stored_utc.get(snapshot_id), now_utc):
            continue
        for replica in found.holders[snapshot_id]:
            if replica in latest:
                latest[replica][commit.source] = max(data_utc, latest[replica].get(commit.source, data_utc))
    return latest


def _before(snapshots: list[Snapshot], source: str, text: str) -> Snapshot:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SnapshotUnknown(
            f"{text!r} is not a time", "Write it like 2026-01-31T04:00 or 2026-01-31T04:00+02:00."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    of_source = [one for one in snapshots if one.source == source]
    matching = [one for one in trusted(of_source) if one.started_utc <= moment]
    if not matching:
        raise SnapshotUnknown(f"{source} has no snapshot from {moment:%Y-%m-%d %H:%M:%S %Z} or before")
    # A run that took longer may commit after one that read a newer state.
    return _last_complete(source, sorted(matching, key=lambda one: one.started_utc))


def _last_complete(source: str, snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return the last complete one of these snapshots, and which later ones it was chosen over."""
    complete = [at for at, one in enumerate(snapshots) if one.complete]
    if not complete:
        last = snapshots[-1]
        raise SnapshotUnknown(
            f"{source} has no complete snapshot; the last one, {last.snapshot_id[:12]}, lacks something that the "
            "source had",
            f"To use it all the same, name it by its id, or as {source}@{LATEST}.",
        )
    later = tuple(one.snapshot_id for one in snapshots[complete[-1] + 1 :])
    return replace(snapshots[complete[-1]], passed_over=later)


def _listed(repository: Repository, source: str | None) -> ListedCommits:
    ids = repository.source_ids(source) if source else ()
    found = list_commits(repository, ids[0] if len(ids) == 1 else None)
    if source:
        found = found.only(ids)
    if found.failed and len(found.failed) == len(repository.replicas):
        raise unasked_error({**repository.unreachable, **found.failed})
    return found


def _info(commit: Commit, replicas: tuple[str, ...], *, misdated: bool) -> Snapshot:
    return Snapshot(
        snapshot_id=commit.snapshot,
        source_id=commit.source_id,
        source=commit.source,
        kind=commit.kind,
        identity=commit.identity,
        started_utc=commit.started_utc,
        committed_utc=commit.committed_utc,
        counts=commit.counts,
        replicas=replicas,
        facts=tuple(sorted(commit.facts.items())),
        locks=tuple(
            PromisedLock(name, commit.locks[name].mode, commit.locks[name].until_utc)
            for name in replicas
            if name in commit.locks
        ),
        state=commit.state,
        sequence=commit.sequence,
        parent=commit.parent,
        misdated=misdated,
        commit=commit,
    )
