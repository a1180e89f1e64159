"""`farshore hold`: keep snapshots as evidence until somebody lifts the hold."""

from __future__ import annotations

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.keeping import add_keeping, execute_keeping
from farshore.errors import EXIT_WARNINGS, ApprovalMissing, QuorumNotReached, SnapshotUnknown, StateUnknown


def execute(invocation: Invocation) -> int:
    """Hold snapshots, list holds, or lift them."""
    from farshore.format.note import Keep

    return execute_keeping(invocation, Keep.HOLD, None)


COMMAND = Command(
    name="hold",
    summary="keep snapshots as evidence (legal hold)",
    description=(
        "Hold snapshots: a hold has no end, and neither 'farshore retain' nor 'farshore forget' nor a deletion takes "
        "what it keeps until it is lifted with --remove. Holds and why they were put are read by whoever opens the "
        "repository; the reason is sealed. Needs a key with the right to maintain."
    ),
    example="farshore hold home@2026-03-31 --reason 'case 4711'\nfarshore hold --remove 3f2a --reason 'settled'",
    add_arguments=add_keeping,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, ApprovalMissing, StateUnknown, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica lacks notes"),),
    acts=True,
    interrupted="run it again: what is held already stays held",
)
