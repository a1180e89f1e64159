"""The commands of `farshore`, by name. The module of the one that is named is loaded; for help all of them are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from farshore.cli.command import Command

NAMES = (  # each is a module beside this one, in the order of the help
    "init",
    "backup",
    "snapshots",
    "ls",
    "cat",
    "find",
    "diff",
    "restore",
    "warm",
    "verify",
    "heal",
    "sql",
    "status",
    "plan",
    "replica",
    "lock",
    "cost",
    "key",
    "config",
    "completion",
    "version",
)
_SHOWS_ALL = "completion"  # its script names every command and option


def load_commands(names: Sequence[str] = NAMES) -> tuple[Command, ...]:
    """Load the modules of commands, and return what they declare."""
    declared: list[Command] = [import_module(f"farshore.cli.{name}").COMMAND for name in names]
    return tuple(declared)


def commands_for(words: Sequence[str]) -> tuple[Command, ...]:
    """Return the one command that a command line names; all of them where it names none, or asks for help before it."""
    rest = iter(words)
    for word in rest:
        if word in NAMES and word != _SHOWS_ALL:
            return load_commands([word])
        if word == "--config":
            next(rest, None)
        elif not word.startswith("-") or word in ("-h", "--help", "--"):
            break
    return load_commands()
