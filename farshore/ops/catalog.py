"""What is in a snapshot, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farshore.errors import FarshoreError, ObjectNotFound, SnapshotUnknown, UserError
from farshore.format.choosing import Subtree
from farshore.format.differing import diff_manifests
from farshore.format.entries import ENTRY_COLUMNS, table_to_entries
from farshore.format.manifest import ManifestReader, ManifestRow
from farshore.format.records import Commit
from farshore.model import Change, Entry, SnapshotInfo
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


def iterate_entries(
    repository: Repository, snapshot: SnapshotInfo, path: bytes = b"", *, recursive: bool = True
) -> Iterator[Entry]:
    """Yield the entry at a path and those below it, in manifest order; row groups that hold none are not read.

    Args:
        recursive: Everything below; else only what is right below.

    Raises:
        SnapshotUnknown: The snapshot has no such path.
    """
    wanted = path.strip(b"/")
    commit = find_commit(repository, snapshot)
    manifest = open_snapshot(repository, commit, holders_of(repository, snapshot))
    found = False
    for table in manifest.tables(ENTRY_COLUMNS, Subtree(wanted, recursive=recursive)):
        found = True
        yield from table_to_entries(table)
    if not found:
        shown = wanted.decode("utf-8", "backslashreplace")
        raise SnapshotUnknown(
            f"snapshot {snapshot.snapshot_id} has no path {shown!r}", "Show its top level with 'farshore ls SNAPSHOT'."
        )


def diff_snapshots(repository: Repository, before: SnapshotInfo, after: SnapshotInfo) -> Iterator[Change]:
    """Yield what differs, in manifest order, in memory that does not grow with the snapshots."""
    old, new = (
        open_snapshot(repository, find_commit(repository, one), holders_of(repository, one)) for one in (before, after)
    )
    yield from diff_manifests(old, new)
