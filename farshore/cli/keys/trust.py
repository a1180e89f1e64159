"""Pins of this host and of an identity file: the fingerprint, and the newest entry of the owner log."""

from __future__ import annotations

import argparse
from pathlib import Path

from farshore.cli import OPENING, Command, Invocation
from farshore.errors import EXIT_DONE, ConfigInvalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fingerprint", metavar="FINGERPRINT", help="hex digits or words, as 'farshore init' printed it")
    parser.add_argument("--identity", metavar="FILE", help="write it into this identity file, too")
    parser.add_argument(
        "--older-log",
        action="store_true",
        help="go on with an owner log that is older than what this host has seen: later revocations count no more",
    )
    parser.add_argument(
        "--entry", default="", metavar="HASH", help="of a divided log: an entry of the branch that this host follows"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def trust(invocation: Invocation) -> int:
    """Pin."""
    from farshore.ops.setup.pins import trust as pin

    given, output, config = invocation.arguments, invocation.output, invocation.config()
    if (given.older_log or given.entry) and not given.yes:
        output.note("what only newer or other entries revoke, this host accepts again")
        if not (invocation.interactive and invocation.confirm("Go on with this log?")):
            raise ConfigInvalid("nothing was changed", "Answer yes, or give --yes.")
    done = pin(
        config,
        given.fingerprint,
        identity=Path(given.identity).expanduser() if given.identity else None,
        older_log=given.older_log,
        entry=given.entry,
        clock=invocation.clock,
    )
    output.record("trust", done)
    output.line(f"this host holds to {done.fingerprint}")
    output.line(f"  in words: {done.fingerprint_words}")
    output.line(f"  and to entry {done.entry} of the owner log ({done.entry_hash[:16]})")
    if done.identity:
        output.line(f"  {done.identity} holds to the fingerprint, too")
    return EXIT_DONE


COMMANDS = (
    Command(
        name="trust",
        acts=True,
        summary="hold this host to a fingerprint",
        description=(
            "Remember on this host which repository is the right one, and which entry of the owner log is the newest. "
            "Writes nothing at the replicas, needs no key."
        ),
        example="farshore key trust lusab-babad-gutih-tugad-mudof-sakat-gajuh-nokat --identity safe.json",
        add_arguments=add_arguments,
        execute=trust,
        failures=OPENING,
    ),
)
