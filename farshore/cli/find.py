"""`farshore find`: when paths were added, changed and removed, over all snapshots."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.diff import SIGNS
from farshore.cli.opening import able_to_read, opened_snapshots
from farshore.cli.wording import human_bytes, shown_path, shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, CredentialCannotRead, FarshoreError, SnapshotUnknown, StoreFull
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.format.commit import Commit
    from farshore.model import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "pattern", metavar="PATTERN", help="as in .gitignore: a name anywhere, or with / a path from the root"
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="search this source alone; else all")
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")


def execute(invocation: Invocation) -> int:
    """Print each change as it is found, then the snapshots that could not be read."""
    from farshore.ops.ask.find import find_changes

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    unread: list[tuple[Commit, FarshoreError]] = []
    found = 0
    with opened_snapshots(invocation, config, source=arguments.source) as repository:
        for finding in find_changes(
            repository,
            arguments.pattern,
            source=arguments.source,
            unread=lambda commit, error: unread.append((commit, error)),
        ):
            found += 1
            output.record("finding", finding)
            output.line(format_finding(finding))
    for commit, error in unread:
        output.warning(
            f"snapshot {commit.snapshot[:12]} of {commit.source}, committed {utc_time(commit.committed_utc)}, "
            f"could not be read: {shown_text(error.message)}",
            code="snapshot-unread",
        )
    if found:
        output.note(f"{count_of(found, 'change')} of what matches {shown_text(arguments.pattern)}")
    elif not unread:
        where = f"of {arguments.source} " if arguments.source else ""
        raise SnapshotUnknown(
            f"no snapshot {where}has anything that matches {arguments.pattern}",
            "A pattern with / is matched from the root: '**/' before it finds it anywhere.",
        )
    return EXIT_WARNINGS if unread else EXIT_DONE


def format_finding(finding: Finding) -> str:
    """Return a line: when, in which snapshot of what, what happened, how large it is now or was, and the path."""
    from farshore.model import ChangeKind, SnapshotState

    removed = finding.change is ChangeKind.REMOVED
    size = finding.bytes_before if removed else finding.bytes_after
    shown = human_bytes(size) if finding.kind == "file" else finding.kind
    doubt = "  (the snapshot is incomplete)" if removed and finding.state is SnapshotState.INCOMPLETE else ""
    return (
        f"{utc_time(finding.committed_utc)}  {finding.snapshot_id[:12]}  {finding.source}  {SIGNS[finding.change]}  "
        f"{shown:>9}  {shown_path(finding.path)}{doubt}"
    )


COMMAND = Command(
    name="find",
    summary="show when paths were added, changed and removed, over all snapshots",
    description=(
        "Compare the snapshots of a source, or of every source, one after the other, and show for each path that the "
        "pattern matches in which snapshot it is new (+), changed in content (M) or in metadata alone (m), or gone "
        "(-). What is gone is in the snapshot before: 'farshore cat' and 'farshore restore' bring it back from there. "
        "Reads each manifest once. Needs the passphrase or an identity."
    ),
    example="farshore find letter.odt\nfarshore find '/etc/**/*.conf' server --json",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, CredentialCannotRead, StoreFull),
    exits=((EXIT_WARNINGS, "done, and some snapshots could not be read"),),
)
