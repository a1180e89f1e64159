"""`farshore pin`: keep snapshots whatever the rules say, for a time or until the pin is removed."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.keeping import add_keeping, end_of_pin, execute_keeping
from farshore.errors import EXIT_WARNINGS, QuorumNotReached, SnapshotUnknown, StateUnknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_keeping(parser)
    parser.add_argument("--until", metavar="TIME", help="the end: a date or time, or a duration such as 90d")


def execute(invocation: Invocation) -> int:
    """Pin snapshots, list pins, or remove them."""
    from farshore.format.note import Keep

    until = invocation.arguments.until
    return execute_keeping(invocation, Keep.PIN, end_of_pin(until, invocation.clock.now_utc()) if until else None)


COMMAND = Command(
    name="pin",
    summary="keep snapshots whatever the rules say",
    description=(
        "Pin snapshots: neither 'farshore retain' nor 'farshore forget' nor a deletion takes them, until the pin "
        "ends or is removed. A pin ends once a snapshot was committed after its --until, so no clock that is wrong "
        "ends one. Needs a key with the right to maintain."
    ),
    example="farshore pin 3f2a --reason 'before the migration' --until 2027-12-31\nfarshore pin --list",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, StateUnknown, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica lacks notes"),),
    acts=True,
    interrupted="run it again: what is pinned already stays pinned",
)
