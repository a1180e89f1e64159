"""What is in a snapshot, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farshore.errors import FarshoreError, ObjectNotFound, SnapshotUnknown, UserError
from farshore.format.manifest import ManifestReader, ManifestRow, sort_key
from farshore.format.records import Commit
from farshore.model import Change, Entry, EntryKind, SnapshotInfo
from farshore.ops.base_snapshot import open_manifest, read_data_key
from farshore.ops.snapshots import find_commit
from farshore.repository.repository import Replica, Repository


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
