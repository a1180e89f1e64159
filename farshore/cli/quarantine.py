"""`farshore quarantine`: which packs no backup reuses because a verify found them bad, and how one leaves it."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, KeyMissing, ObjectNotFound, QuorumNotReached
from farshore.plural import count_of


def add_lift_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("packs", nargs="+", metavar="PACK", help="its id, or a beginning of it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for people who read it later")


def add_list_arguments(_: argparse.ArgumentParser) -> None:
    """Declare no option."""


def show(invocation: Invocation) -> int:
    """List the packs in quarantine."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.verify.quarantine import list_quarantine

    output = invocation.output
    with opened_repository(invocation, invocation.config(), need=Need.NONE, writes=Writes.NONE) as repository:
        found = list_quarantine(repository)
        whole = not repository.unasked
    for one in found:
        output.record("quarantined", one)
    if not found:
        output.note("no pack is in quarantine")
    else:
        rows = [(one.pack[:ID_DIGITS_SHOWN], utc_time(one.since_utc), shown_text("; ".join(one.reasons)))
                for one in found]  # fmt: skip
        output.table(("pack", "since", "why"), rows, wraps=frozenset({"why"}))
        output.note(f"{count_of(len(found), 'pack')} in quarantine; 'farshore quarantine lift PACK' takes one out")
    return EXIT_DONE if whole else EXIT_WARNINGS


def lift(invocation: Invocation) -> int:
    """Lift the quarantine of packs."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.verify.quarantine import lift_quarantine
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.MOST, writes=Writes.ALL) as repository:
        found = lift_quarantine(repository, arguments.packs, reason=arguments.reason, run=Run.start(invocation.clock))
    output.record("lifted", found)
    output.lines(f"{one[:ID_DIGITS_SHOWN]}: out of quarantine" for one in found.packs)
    for name, reason in found.failed.items():
        output.warning(f"{name} lacks the verdict: {shown_text(reason)}. It counts there too; heal brings it")
    return EXIT_WARNINGS if found.failed else EXIT_DONE


COMMAND = Command(
    name="quarantine",
    summary="packs that no backup reuses, because they lie",
    description="List the packs that a verify found to be not what their index says, or take one out of quarantine.",
    example="farshore quarantine list",
    children=(
        Command(
            name="list",
            summary="list the packs in quarantine, since when and why",
            description=(
                "List the packs that no backup reuses, since when and why. Snapshots that need one restore as they "
                "did: what a chunk of it should be is looked for in other packs, too. 'farshore verify --read-data' "
                "names these snapshots. Needs no key."
            ),
            example="farshore quarantine list --json",
            add_arguments=add_list_arguments,
            execute=show,
            failures=OPENING,
            exits=((EXIT_WARNINGS, "a replica could not be asked"),),
        ),
        Command(
            name="lift",
            acts=True,
            summary="take packs out of quarantine",
            description=(
                "Let backups reuse packs again that were called bad by mistake, for instance by a machine with bad "
                "memory. Nothing else changes, and a 'farshore verify --read-data' that finds one bad puts it back. "
                "Needs a key that may read and verify, or maintain."
            ),
            example="farshore quarantine lift 3f2a --reason 'bad memory at the verifier'",
            add_arguments=add_lift_arguments,
            execute=lift,
            failures=(*OPENING, KeyMissing, ObjectNotFound, QuorumNotReached),
            exits=((EXIT_WARNINGS, "done, and a replica lacks the verdict"),),
            interrupted="run it again: it is safe to repeat",
        ),
    ),
)
