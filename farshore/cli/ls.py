"""`farshore ls`: the contents of a snapshot."""

from __future__ import annotations

import argparse
import os
import stat
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import SNAPSHOT_HELP, add_include_refused, choose_snapshot
from farshore.cli.opening import able_to_read, opened_snapshots
from farshore.cli.wording import shown_path
from farshore.errors import EXIT_DONE, ObjectCorrupt, ObjectNotFound, SnapshotUnknown

if TYPE_CHECKING:
    from farshore.model import Entry

_KIND_LETTERS = {
    "file": "-",
    "directory": "d",
    "symlink": "l",
    "hardlink": "-",
    "fifo": "p",
    "socket": "s",
    "character-device": "c",
    "block-device": "b",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help=SNAPSHOT_HELP)
    parser.add_argument("path", nargs="?", default="", metavar="PATH", help="below this path of the snapshot")
    parser.add_argument("-l", "--long", action="store_true", help="mode, owner, size and time of each entry")
    parser.add_argument("-R", "--recursive", action="store_true", help="everything below, not only the next level")
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")
    add_include_refused(parser)


def execute(invocation: Invocation) -> int:
    """List entries in the order of the manifest."""
    from farshore.catalog.contents import iterate_entries
    from farshore.catalog.selection import normal_path

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    under = normal_path(os.fsencode(arguments.path))
    with opened_snapshots(invocation, config) as repository:
        snapshot = choose_snapshot(output, repository, arguments.snapshot, include_refused=arguments.include_refused)
        entries = iterate_entries(repository, snapshot, under, recursive=arguments.recursive)
        first = next(entries, None)
        if first is None and under:
            raise SnapshotUnknown(
                f"snapshot {snapshot.snapshot_id[:12]} of {snapshot.source} has no path {arguments.path!r}",
                f"See what it has with 'farshore ls {arguments.snapshot}'.",
            )
        for entry in chain([first] if first else [], entries):
            if is_listed(entry, under, recursive=arguments.recursive):
                output.record("entry", entry)
                output.line(long_line(entry) if arguments.long else shown_path(entry.path) or ".")
    return EXIT_DONE


def is_listed(entry: Entry, under: bytes, *, recursive: bool) -> bool:
    """Return whether `entry` belongs in the listing of `under`: a directory's inside, or a file itself."""
    if recursive:
        return True
    if entry.path == under:
        return entry.kind != "directory"
    inside = entry.path[len(under) :].lstrip(b"/") if under else entry.path
    return b"/" not in inside


def long_line(entry: Entry) -> str:
    """Return an entry the way `ls -l` shows it, time in UTC."""
    mode = stat.filemode(entry.mode)[1:]
    owner, group = entry.user or str(entry.uid), entry.group or str(entry.gid)
    when = datetime.fromtimestamp(entry.mtime_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    size = f"{os.major(entry.rdev)},{os.minor(entry.rdev)}" if entry.kind.endswith("-device") else str(entry.size)
    path = shown_path(entry.path) or "."
    line = f"{_KIND_LETTERS[entry.kind]}{mode}  {owner:<8}  {group:<8}  {size:>12}  {when}  {path}"
    if entry.kind == "symlink":
        return f"{line} -> {shown_path(entry.target)}"
    return f"{line} = {shown_path(entry.target)}" if entry.kind == "hardlink" else line


COMMAND = Command(
    name="ls",
    summary="list the entries of a snapshot",
    description=(
        "List what a snapshot holds at a path, one entry a line, in UTC and as UTF-8; bytes that are no UTF-8, and "
        "control characters, are shown as escapes (--json has the exact bytes)."
    ),
    example="farshore ls home etc --long\nfarshore ls home@2026-11-20 --recursive | grep passwd",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, ObjectNotFound, ObjectCorrupt),
)
