"""`farshore cat`: one file of a snapshot, to standard output."""

from __future__ import annotations

import argparse
import os

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import SNAPSHOT_HELP, choose_snapshot
from farshore.cli.opening import able_to_read, opened_snapshots
from farshore.cli.run_report import warn_of_bad_copies, warn_unrecorded
from farshore.errors import (
    EXIT_DONE,
    CredentialCannotRead,
    ObjectArchived,
    ObjectCorrupt,
    ObjectNotFound,
    RestoreIncomplete,
    SnapshotUnknown,
    TargetFailed,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help=SNAPSHOT_HELP)
    parser.add_argument("path", metavar="PATH", help="of the file, from the snapshot's root as 'farshore ls' shows it")
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")


def execute(invocation: Invocation) -> int:
    """Send the file; everything else goes to standard error."""
    from farshore.access.open_replica import Writes
    from farshore.ops.restore.cat import cat_file
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    with opened_snapshots(invocation, config, writes=Writes.REPAIRS) as repository:
        snapshot = choose_snapshot(output, repository, arguments.snapshot)
        with invocation.binary_stdout() as outlet:
            result = cat_file(
                repository,
                snapshot,
                os.fsencode(arguments.path),
                outlet,
                replica=arguments.replica,
                run=Run.start(invocation.clock),
            )
    warn_of_bad_copies(output, result.fell_over)
    warn_unrecorded(output, result.unrecorded)
    return EXIT_DONE  # the bytes sent are right, and a pipeline must be able to rely on that


COMMAND = Command(
    name="cat",
    summary="send one file of a snapshot to standard output",
    description=(
        "Send the content of one file to standard output, of any kind of source; holes as zeros, a symlink followed "
        "inside the snapshot. Every chunk is hashed before it is sent and the file at its end: unless the exit code is "
        "0, what was sent may be only a part of it. Warnings go to standard error and leave the exit code as it is. "
        "Needs the passphrase or an identity."
    ),
    example="farshore cat home docs/letter.txt\nfarshore cat ledger@2026-11-20 ledger.db >ledger.db",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        SnapshotUnknown,
        TargetFailed,
        CredentialCannotRead,
        ObjectNotFound,
        ObjectArchived,
        ObjectCorrupt,
        RestoreIncomplete,
    ),
    exits=((141, "the reader of standard output went away"),),
    sends_content=lambda _: True,
    interrupted="only a part of the file was sent",
)
