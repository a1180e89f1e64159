"""What snapshots there are, what is in them, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from farshore.errors import FarshoreError, ObjectNotFound, SnapshotUnknown, UserError
from farshore.format.manifest import ManifestReader, ManifestRow, sort_key
from farshore.format.names import SnapshotObject
from farshore.format.records import Commit
from farshore.model import Change, Entry, EntryKind, SnapshotInfo
from farshore.ops.base_snapshot import open_manifest, read_data_key
from farshore.repository.holdings import list_commit_names, read_commits
from farshore.repository.repository import Replica, Repository

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
    holders: dict[SnapshotObject, list[str]] = {}
    commits: dict[str, Commit] = {}
    failed: list[FarshoreError] = []
    for name, replica in repository.replicas.items():
        try:
            listed = list_commit_names(replica, source_id)
            unread = [item for item in listed if item.snapshot_id not in commits]
            read, _ = read_commits(repository, replica, unread)
        except FarshoreError as error:
            failed.append(error)
            continue
        for item in listed:
            holders.setdefault(item, []).append(name)
        commits.update({commit.snapshot: commit for commit in read})
    if failed and len(failed) == len(repository.replicas):
        raise failed[0]
    found = [(commits[item.snapshot_id], tuple(held)) for item, held in holders.items() if item.snapshot_id in commits]
    return sorted(found, key=lambda pair: (pair[0].committed_utc, pair[0].snapshot))


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


def open_snapshot(repository: Repository, commit: Commit, replicas: Iterable[Replica]) -> ManifestReader:
    """Return the manifest from the first replica that has a good copy; needs a reader's keys.

    Raises:
        FarshoreError: The first reason, when no replica has one.
    """
    repository.reading_keys()
    first: FarshoreError | None = None
    for replica in replicas:
        try:
            return open_manifest(repository, replica, commit, read_data_key(repository, replica, commit.data_key))
        except UserError:
            raise
        except FarshoreError as error:
            first = first or error
    raise first or ObjectNotFound(f"no replica holds the manifest of {commit.snapshot}")


def iterate_rows(repository: Repository, snapshot: SnapshotInfo) -> Iterator[ManifestRow]:
    """Yield the rows of a snapshot's manifest in manifest order."""
    commit = find_commit(repository, snapshot)
    yield from open_snapshot(repository, commit, holders_of(repository, snapshot)).rows()


def holders_of(repository: Repository, snapshot: SnapshotInfo) -> list[Replica]:
    """Return the reachable replicas, those that list the snapshot first."""
    listed = [repository.replicas[name] for name in snapshot.replicas if name in repository.replicas]
    return listed + [replica for replica in repository.replicas.values() if replica not in listed]


def iterate_entries(repository: Repository, snapshot: SnapshotInfo, path: bytes = b"") -> Iterator[Entry]:
    """Yield the entries at and below a path, in manifest order.

    Raises:
        SnapshotUnknown: The snapshot has no such path.
    """
    wanted = path.strip(b"/")
    found = False
    for row in iterate_rows(repository, snapshot):
        if not wanted or row.entry.path == wanted or row.entry.path.startswith(wanted + b"/"):
            found = True
            yield row.entry
    if not found:
        shown = wanted.decode("utf-8", "backslashreplace")
        raise SnapshotUnknown(
            f"snapshot {snapshot.snapshot_id} has no path {shown!r}", "Show its top level with 'farshore ls SNAPSHOT'."
        )


def diff_snapshots(repository: Repository, before: SnapshotInfo, after: SnapshotInfo) -> Iterator[Change]:
    """Yield what differs, in manifest order: a merge of two sorted streams in constant memory."""
    old, new = iterate_rows(repository, before), iterate_rows(repository, after)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        left_key = sort_key(left.entry.path) if left else None
        right_key = sort_key(right.entry.path) if right else None
        if right is None or (left_key is not None and right_key is not None and left_key < right_key):
            if left is not None:
                yield Change(left.entry.path, "removed", left.entry.kind, left.entry.size, 0)
            left = next(old, None)
        elif left is None or (left_key is not None and right_key is not None and left_key > right_key):
            yield Change(right.entry.path, "added", right.entry.kind, 0, right.entry.size)
            right = next(new, None)
        else:
            change = _compare(left, right)
            if change:
                yield Change(right.entry.path, change, right.entry.kind, left.entry.size, right.entry.size)
            left, right = next(old, None), next(new, None)


def _compare(left: ManifestRow, right: ManifestRow) -> str:
    a, b = left.entry, right.entry
    content = (left.content_hash, a.target, a.rdev) != (right.content_hash, b.target, b.rdev)
    if a.kind is not b.kind or content:
        return "modified"
    time = a.mtime_ns != b.mtime_ns and a.kind is not EntryKind.DIRECTORY  # a directory's time follows its content
    owner = (a.mode, a.uid, a.gid, a.xattrs) != (b.mode, b.uid, b.gid, b.xattrs)
    return "metadata" if time or owner else ""


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
    )
