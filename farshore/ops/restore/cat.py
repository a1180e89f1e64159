"""One file of a snapshot, to a stream: found, followed where it is a link, and restored like any other."""

from __future__ import annotations

import os
from typing import IO

from farshore.catalog.contents import iterate_entries
from farshore.catalog.selection import normal_path
from farshore.catalog.snapshots import Snapshot
from farshore.errors import SnapshotUnknown
from farshore.format.manifest import display_path
from farshore.model import Entry, EntryKind
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import restore_snapshot
from farshore.replicas.repository import Repository
from farshore.results import RestoreResult
from farshore.run import Run
from farshore.targets.stream.file import FileStream

_LINKS_MAX = 40  # as Linux follows


def cat_file(
    repository: Repository,
    snapshot: Snapshot,
    path: bytes,
    outlet: IO[bytes],
    *,
    replica: str | None = None,
    run: Run,
) -> RestoreResult:
    """Send the content of one file to a stream. A symlink is followed inside the snapshot; holes go out as zeros.

    Every chunk is hashed before it goes out and the whole file at its end; a small file before its first byte. Memory
    does not grow with the file.

    Raises:
        SnapshotUnknown: There is no such file.
        RestoreIncomplete: It has no good copy anywhere. Its beginning may have gone out.
        OutletClosed: The reader went away.
        TargetFailed: The stream cannot be written.
    """
    entry = find_file(repository, snapshot, path)
    return restore_snapshot(
        repository,
        snapshot,
        FileStream(outlet),
        options=RestoreOptions(below=entry.path, space=False),
        replica=replica,
        run=run,
    )


def find_file(repository: Repository, snapshot: Snapshot, path: bytes) -> Entry:
    """Return the entry of a file at a path as people write it, or of one that it leads to.

    Raises:
        SnapshotUnknown: There is none, or it is something without content; the message says what.
    """
    at = normal_path(path)
    for _ in range(_LINKS_MAX):
        entry = next(iterate_entries(repository, snapshot, at, recursive=False))
        if entry.path != at:
            raise SnapshotUnknown(f"snapshot {snapshot.snapshot_id} has no path {display_path(at)!r}")
        if entry.kind is EntryKind.HARDLINK:
            at = entry.target  # the first name, which may be that of anything
            continue
        if entry.kind is not EntryKind.SYMLINK:
            break
        if entry.target.startswith(b"/"):
            raise SnapshotUnknown(
                f"{display_path(at)} is a symlink to {display_path(entry.target)}, a path of its host",
                "Name the file it means by its path in the snapshot.",
            )
        at = _follow(entry)
    else:
        raise SnapshotUnknown(f"{display_path(normal_path(path))} is a symlink that leads round in a circle")
    if entry.kind is EntryKind.DIRECTORY:
        raise SnapshotUnknown(
            f"{display_path(at) or 'the root'} is a directory",
            "List it with 'farshore ls', or have it as an archive with 'farshore restore SNAPSHOT:/PATH --target -'.",
        )
    if entry.kind is not EntryKind.FILE:
        raise SnapshotUnknown(f"{display_path(at)} is a {entry.kind}, which has no content", "")
    return entry


def _follow(link: Entry) -> bytes:
    """Return where a relative symlink leads.

    Raises:
        SnapshotUnknown: Out of the snapshot.
    """
    above, separator, _ = link.path.rpartition(b"/")
    to = os.path.normpath(above + separator + link.target)
    if to == b".." or to.startswith(b"../"):
        raise SnapshotUnknown(
            f"{display_path(link.path)} is a symlink to {display_path(link.target)}, outside the snapshot", ""
        )
    return normal_path(to)
