"""A key in shares: word lists for several people, some of whom open the repository together."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.keys.rotating import FAILURES
from farshore.cli.opening import able_to_read, opened_repository
from farshore.errors import EXIT_DONE, ConfigInvalid, TargetForbidden

if TYPE_CHECKING:
    from farshore.config import Config


def add_make_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--threshold", type=int, required=True, metavar="K", help="how many shares open it, at least 2")
    parser.add_argument("--shares", type=int, required=True, metavar="N", help="how many shares there are, at most 16")
    parser.add_argument("--label", default="", metavar="TEXT", help="for 'farshore key list'")


def make(invocation: Invocation) -> int:
    """Make the slots, and print the word lists one by one."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.shares import make_shares

    given, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        made = make_shares(repository, given.threshold, given.shares, label=given.label)
    for number, words in enumerate(made.word_lists, 1):
        output.raw({"type": "share", "number": number, "threshold": made.threshold, "words": words})
        output.line(f"share {number} of {given.shares}, {given.threshold} are needed:")
        output.line(f"  {words}")
        if number < given.shares and invocation.interactive and not output.json:
            invocation.ask_line("give it to its holder, then press Enter for the next one ")
    output.raw({"type": "shares", "threshold": made.threshold, "shares": given.shares, "slots": list(made.slots)})
    output.note("they are stored nowhere; a rotation of keys makes them open no later backup: make shares again then")
    return EXIT_DONE


def add_open_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("identity", metavar="FILE", help="the identity file to make; it must not exist")
    parser.add_argument(
        "--share", action="append", default=[], metavar="FILE", help="a file with one word list; asked for without it"
    )


def open_with_shares(invocation: Invocation) -> int:
    """Open the repository with shares, and make an identity that opens it from now on."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.keys import add_identity

    given, output = invocation.arguments, invocation.output
    file = Path(given.identity).expanduser()
    if file.exists():
        raise ConfigInvalid(f"{file} exists", "An identity is never overwritten; choose another path.")
    config = _with_shares(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        recipient = add_identity(repository, file)
    output.raw({"type": "identity", "path": str(file), "recipient": recipient})
    output.line(f"made {file}, an owner and a reader; name it as repository.identity")
    return EXIT_DONE


def _with_shares(invocation: Invocation, config: Config) -> Config:
    """Return a configuration that opens with shares alone."""
    given = tuple(Path(one).expanduser() for one in invocation.arguments.share) or config.repository.shares
    repository = replace(config.repository, passphrase=None, identity=None, shares=given)
    if given:
        return replace(config, repository=repository)
    if not invocation.interactive:
        raise ConfigInvalid("there are no shares", "Give each with --share FILE, or run this on a terminal.")
    word_lists: list[str] = []
    while typed := invocation.ask_secret(f"share {len(word_lists) + 1} (empty ends): ").strip():
        word_lists.append(typed.decode("utf-8", "replace"))
    return replace(config, repository=replace(repository, shares=tuple(word_lists)))


COMMANDS = (
    Command(
        name="shares",
        summary="open the repository by some of several people together",
        description="Make word lists (SLIP-0039) of which some open the repository together, or open it with them.",
        example="farshore key shares make --threshold 2 --shares 3",
        children=(
            Command(
                name="make",
                acts=True,
                summary="make word lists, some of which open everything",
                description=(
                    "Make a slot of the owner and one of a reader that K of N word lists open together, and print the "
                    "lists one by one. They are stored nowhere. Needs the owner's and a reader's keys, and the extra "
                    "farshore[shares]."
                ),
                example="farshore key shares make --threshold 2 --shares 3 --label board",
                add_arguments=add_make_arguments,
                execute=make,
                failures=FAILURES,
            ),
            Command(
                name="open",
                acts=True,
                summary="make an identity with shares",
                description=(
                    "Open the repository with shares, from files or typed, and make an identity that is owner and "
                    "reader from now on. To restore without writing anything, name the files as repository.shares."
                ),
                example="farshore key shares open identity.json --share first.txt --share second.txt",
                add_arguments=add_open_arguments,
                execute=open_with_shares,
                failures=(*FAILURES, TargetForbidden),
            ),
        ),
    ),
)
