"""Command lines: the commands by name, and the parser of the one that is named; for help all of them are loaded."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from farshore.cli import Command
from farshore.errors import EXIT_USAGE

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
    "quarantine",
    "heal",
    "retain",
    "forget",
    "unforget",
    "rewrite",
    "pin",
    "hold",
    "tag",
    "approve",
    "du",
    "prune",
    "sql",
    "audit",
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
HELP_WIDTH = 100
_CHOICE = re.compile(r"argument (?P<what>.*?): invalid choice: '(?P<given>.*?)' \(choose from (?P<known>.*)\)")
_UNKNOWN_OPTION = re.compile(r"unrecognized arguments: (?P<given>--\S+)")
_RENAMED = {  # commands by the names that they had
    "add-passphrase": "'farshore key passphrase add'",
    "add-recipient": "'farshore key recipient add'",
}


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
        if word in ("--config", "--fingerprint", "--trace"):
            next(rest, None)
        elif not word.startswith("-") or word in ("-h", "--help", "--"):
            break
    return load_commands()


class UsageMistake(Exception):
    """The command line was not understood."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageMistake` instead of ending the process, and never guesses at shortened options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})
        self._is_intermixing = False
        self._words: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        """Parse, with options and names in any order: argparse alone refuses `ls home --long etc`."""
        if self._subparsers is not None or self._is_intermixing:
            return super().parse_known_args(args, namespace)
        self._is_intermixing = True
        self._words = tuple(args or ())
        try:
            parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixing = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, []

    def error(self, message: str) -> NoReturn:
        """Raise the mistake, naming the nearest choice where there is one."""
        hint = f"See '{self.prog} --help'."
        if found := _CHOICE.fullmatch(message):
            known = re.findall(r"[\w-]+", found["known"])
            close = difflib.get_close_matches(found["given"], known, n=1)
            message = f"there is no {found['what'].lower()} {found['given']!r}"
            close = [_RENAMED[found["given"]]] if found["given"] in _RENAMED else close
            hint = f"Did you mean {close[0]}? {hint}" if close else f"Choose from {', '.join(known)}. {hint}"
        elif found := _UNKNOWN_OPTION.match(message):
            known = [option for action in self._actions for option in action.option_strings]
            close = difflib.get_close_matches(found["given"].partition("=")[0], known, n=1)
            hint = f"Did you mean {close[0]}? {hint}" if close else hint
        elif misspelt := self._misspelt():
            word, meant = misspelt
            message, hint = f"unrecognized arguments: {word}", f"Did you mean {meant}? {hint}"
        raise UsageMistake(f"{self.prog}: {message}", hint)

    def _misspelt(self) -> tuple[str, str] | None:
        """Return an option that there is not, and the nearest: a required one is missed before it is looked at."""
        known = [option for action in self._actions for option in action.option_strings]
        for word in self._words:
            name = word.partition("=")[0]
            close = difflib.get_close_matches(name, known, n=1) if name.startswith("--") else []
            if close and name not in (*known, "--"):
                return name, close[0]
        return None


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=HELP_WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap prose; leave examples and lists of exit codes as they are."""
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)  # noqa: SLF001 - the one hook there is


def build_parser(commands: Sequence[Command]) -> Parser:
    """Return the parser of the whole command line. `arguments.command` is the command that was chosen."""
    root = Parser(
        prog="farshore",
        description="Replicated, encrypted, provable backups: one read, many shores.",
        epilog=(
            "farshore.toml is looked for in: --config, $FARSHORE_CONFIG, ./farshore.toml,\n"
            "~/.config/farshore/farshore.toml, /etc/farshore/farshore.toml.\n"
            "Each command shows its own options, an example and its exit codes: farshore COMMAND --help."
        ),
        formatter_class=_Formatter,
    )
    _add_shared(root, is_root=True)
    root.add_argument("--version", action="store_true", help="print the version and end")
    root.set_defaults(command=None, root=root, parser=root)
    _add_commands(root, root, commands, title="commands")
    return root


def _add_commands(root: Parser, parent: Parser, commands: Sequence[Command], title: str) -> None:
    group = parent.add_subparsers(title=title, metavar="COMMAND", parser_class=Parser)
    for command in commands:
        parser = group.add_parser(
            command.name,
            help=command.summary,
            description=command.description,
            epilog=command.epilog(),
            formatter_class=_Formatter,
        )
        if command.add_arguments:
            command.add_arguments(parser)
        _add_shared(parser, is_root=False, shows_progress=command.shows_progress)
        parser.set_defaults(command=command if command.execute else None, root=root, parser=parser)
        if command.children:
            _add_commands(root, parser, command.children, title="commands")


def _add_shared(parser: argparse.ArgumentParser, *, is_root: bool, shows_progress: bool = False) -> None:
    """Add options of every command, before or after its name. Only the root sets defaults, so both places count."""
    shared = parser.add_argument_group("everywhere")

    def default(*, value: object) -> Any:
        return value if is_root else argparse.SUPPRESS

    shared.add_argument("--config", default=default(value=None), metavar="FILE", help="the farshore.toml to use")
    shared.add_argument(
        "--fingerprint",
        dest="pinned",
        default=default(value=None),
        metavar="WORDS",
        help="of the repository, as 'farshore init' printed it: nothing else is believed",
    )
    shared.add_argument(
        "--json", action="store_true", default=default(value=False), help="print records, one JSON object a line"
    )
    shared.add_argument("--quiet", action="store_true", default=default(value=False), help="no progress, no notes")
    shared.add_argument(
        "--trace", default=default(value=None), metavar="FILE", help="write a line for each request to the replicas"
    )
    if shows_progress:
        shared.add_argument("--progress", action="store_true", help="with --json: progress as records too")
