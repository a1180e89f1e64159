"""The entries of a snapshot, and the differences between two."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from farshore import limits
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import Snapshot
from farshore.catalog.verified_objects import open_manifest
from farshore.errors import CACHED_READ_ERRORS, SnapshotUnknown
from farshore.format.choosing import Choice, Subtree
from farshore.format.commit import CommitHead
from farshore.format.differing import diff_manifests
from farshore.format.entries import ENTRY_COLUMNS, table_to_entries
from farshore.format.manifest import ManifestReader, ManifestRow
from farshore.model import Change, Entry
from farshore.replicas.reader import ReplicaReader, open_reader
from farshore.replicas.repository import Repository


def open_snapshot(
    repository: Repository, commit: CommitHead, reader: ReplicaReader, *, wanted: Choice | None = None
) -> ManifestReader:
    """Return the manifest from whichever replicas have a good copy; needs a reader's keys.

    Args:
        wanted: The rows that are: where they are in few blocks, only these are read of runs that this host has not.

    Raises:
        FarshoreError: No replica has one.
    """
    if wanted is None or sum(ref.bytes for ref in commit.needs) <= limits.NEEDS_WHOLE_BYTES_MAX:
        with contextlib.suppress(*CACHED_READ_ERRORS):  # which are reported where the content is read
            read_needs(repository, reader, commit)  # names the data keys; without, what is listed is tried
    return open_manifest(repository, reader, commit, wanted=wanted)


def iterate_rows(repository: Repository, snapshot: Snapshot) -> Iterator[ManifestRow]:
    """Yield the rows of a snapshot's manifest in manifest order. For tests: no command asks for whole rows."""
    yield from open_snapshot(repository, snapshot.commit, reader_of(repository, snapshot)).rows()


def reader_of(repository: Repository, snapshot: Snapshot) -> ReplicaReader:
    """Return a reader of all reachable replicas, those that list the snapshot first."""
    return open_reader(repository, listed=snapshot.replicas)


def iterate_entries(
    repository: Repository, snapshot: Snapshot, path: bytes = b"", *, recursive: bool = True
) -> Iterator[Entry]:
    """Yield the entry at a path and those below it, in manifest order; row groups that hold none are not read.

    Args:
        recursive: Everything below; else only direct children.

    Raises:
        SnapshotUnknown: The snapshot has no such path.
    """
    wanted = path.strip(b"/")
    choice = Subtree(wanted, recursive=recursive)
    manifest = open_snapshot(
        repository, snapshot.commit, reader_of(repository, snapshot), wanted=choice if wanted else None
    )
    found = False
    for table in manifest.tables(ENTRY_COLUMNS, choice):
        found = True
        yield from table_to_entries(table)
    if not found:
        shown = wanted.decode("utf-8", "backslashreplace")
        raise SnapshotUnknown(
            f"snapshot {snapshot.snapshot_id} has no path {shown!r}", "Show its top level with 'farshore ls SNAPSHOT'."
        )


def diff_snapshots(repository: Repository, before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """Yield the differences, in manifest order, in memory that does not grow with the snapshots."""
    old, new = (open_snapshot(repository, one.commit, reader_of(repository, one)) for one in (before, after))
    yield from diff_manifests(old, new)
