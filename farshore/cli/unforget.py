"""`farshore unforget`: let a forgotten snapshot count again."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, shown_text
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, LeaseLost, QuorumNotReached, SnapshotUnknown, StateUnknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="its id, or a prefix; 'farshore forget --list' shows them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for people who read it later")


def execute(invocation: Invocation) -> int:
    """Counter the tombstones of a snapshot."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.retain.unforget import unforget_snapshot
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.MOST, writes=Writes.ALL) as repository:
        found = unforget_snapshot(
            repository, arguments.snapshot, reason=arguments.reason or "by hand", run=Run.start(invocation.clock)
        )
    output.record("unforgotten", found)
    output.line(f"{found.snapshot[:ID_DIGITS_SHOWN]}: counts again")
    for name, reason in found.failed.items():
        output.warning(f"{name} does not know of it yet: {shown_text(reason)}. It counts there too; heal brings it")
    return EXIT_WARNINGS if found.failed else EXIT_DONE


COMMAND = Command(
    name="unforget",
    summary="let a forgotten snapshot count again",
    description=(
        "Undo 'farshore forget', as long as no plan to delete condemns what the snapshot needs. Needs a key with "
        "the right to maintain."
    ),
    example="farshore unforget 3f2a",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, StateUnknown, LeaseLost, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica does not know of it yet"),),
    acts=True,
    interrupted="run it again: it is safe to repeat",
)
