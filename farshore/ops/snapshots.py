"""Which snapshots there are, and which of them a person means. Reads listings and commit records, never a manifest."""

from __future__ import annotations

from datetime import UTC, datetime

from farshore.errors import SnapshotUnknown
from farshore.format.records import Commit
from farshore.model import PromisedLock, SnapshotInfo
from farshore.repository.commits import list_commits
from farshore.repository.repository import Repository

_ID_DIGITS = frozenset("0123456789abcdef")
_PREFIX_MIN = 4


def read_catalog(repository: Repository, source: str | None = None) -> list[tuple[Commit, tuple[str, ...]]]:
    """Return every committed snapshot, oldest commit first, with the reachable replicas that list it.

    A commit record damaged at one replica is read from another that lists it.

    Raises:
        FarshoreError: No replica could be listed; an unreachable repository is not an empty one.
    """
    keys = repository.writing_keys()
    source_id = keys.source_id(source) if source else None
    found = list_commits(repository, source_id)
    if found.failed and len(found.failed) == len(repository.replicas):
        raise next(iter(found.failed.values()))
    pairs = [(commit, found.holders[snapshot_id]) for snapshot_id, commit in found.commits.items()]
    return sorted(pairs, key=lambda pair: (pair[0].committed_utc, pair[0].snapshot))


def list_snapshots(repository: Repository, source: str | None = None) -> list[SnapshotInfo]:
    """Return the committed snapshots, oldest commit first. Needs a writer's keys at least."""
    return [_info(commit, held) for commit, held in read_catalog(repository, source)]


def resolve_snapshot(repository: Repository, selector: str) -> SnapshotInfo:
    """Return the snapshot that text means: an id or unique prefix of one, SOURCE (its latest), or SOURCE@TIME.

    SOURCE@TIME is the newest snapshot of the source that began at or before an ISO time, UTC unless it says otherwise.

    Raises:
        SnapshotUnknown: None, or more than one.
    """
    snapshots = list_snapshots(repository)
    name, at, time = selector.rpartition("@")
    if at:
        return _before(snapshots, name, time)
    of_source = [one for one in snapshots if one.source == selector]
    if of_source:
        return of_source[-1]
    if len(selector) >= _PREFIX_MIN and _ID_DIGITS.issuperset(selector):
        matching = [one for one in snapshots if one.snapshot_id.startswith(selector)]
        if len(matching) > 1:
            listed = ", ".join(one.snapshot_id for one in matching)
            raise SnapshotUnknown(f"{selector} begins more than one snapshot: {listed}", "Give more digits.")
        if matching:
            return matching[0]
    sources = ", ".join(sorted({one.source for one in snapshots})) or "none"
    raise SnapshotUnknown(f"no snapshot or source is named {selector} (sources with snapshots: {sources})")


def find_commit(repository: Repository, snapshot: SnapshotInfo) -> Commit:
    """Return the commit record of a snapshot."""
    for commit, _ in read_catalog(repository, snapshot.source):
        if commit.snapshot == snapshot.snapshot_id:
            return commit
    raise SnapshotUnknown(f"snapshot {snapshot.snapshot_id} is not at any reachable replica")


def _before(snapshots: list[SnapshotInfo], source: str, text: str) -> SnapshotInfo:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SnapshotUnknown(
            f"{text!r} is not a time", "Write it like 2026-01-31T04:00 or 2026-01-31T04:00+02:00."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    matching = [one for one in snapshots if one.source == source and one.started_utc <= moment]
    if not matching:
        raise SnapshotUnknown(f"{source} has no snapshot from {moment:%Y-%m-%d %H:%M:%S %Z} or before")
    return max(matching, key=lambda one: one.started_utc)  # a run that took longer may commit after a newer state


def _info(commit: Commit, held: tuple[str, ...]) -> SnapshotInfo:
    return SnapshotInfo(
        snapshot_id=commit.snapshot,
        source_id=commit.source_id,
        source=commit.source,
        kind=commit.kind,
        identity=commit.identity,
        started_utc=commit.started_utc,
        committed_utc=commit.committed_utc,
        counts=commit.counts,
        replicas=held,
        facts=tuple(sorted(commit.facts.items())),
        locks=tuple(
            PromisedLock(name, commit.locks[name].mode, commit.locks[name].until_utc)
            for name in held
            if name in commit.locks
        ),
        state=commit.state,
    )
