"""A command: its words, its options, the errors it may end with, and the function that does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from farshore.cli.output import Output
from farshore.clock import Clock
from farshore.errors import (
    EXIT_WARNINGS,
    BucketNotFound,
    Bug,
    ConfigInvalid,
    ExtraMissing,
    Failure,
    FarshoreError,
    FeatureMissing,
    FingerprintUnknown,
    FormatTooNew,
    HeaderDamaged,
    KeyFileDamaged,
    KeyMissing,
    KeyRevoked,
    LogRolledBack,
    OutletClosed,
    RepositoryMismatch,
    RepositoryMissing,
    SecretUnavailable,
    StoreDenied,
    StoreUnavailable,
    WrongPassphrase,
)

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.stores.wrappers.traced import Trace

_CONTENT_BUFFER_BYTES = 1 << 20  # headers and small files are joined; larger content goes out as it is
OPENING: tuple[type[FarshoreError], ...] = (  # errors of opening a repository
    ConfigInvalid,
    SecretUnavailable,
    RepositoryMissing,
    StoreUnavailable,
    RepositoryMismatch,
    BucketNotFound,
    StoreDenied,
    WrongPassphrase,
    KeyMissing,
    KeyRevoked,
    FingerprintUnknown,
    LogRolledBack,
    HeaderDamaged,
    KeyFileDamaged,
    FormatTooNew,
    FeatureMissing,
    ExtraMissing,
)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command: its parsed options and everything it may touch."""

    arguments: argparse.Namespace
    output: Output
    environment: Mapping[str, str]
    clock: Clock
    content: TextIO | None = None  # standard output, for content in bytes; words go to `output`
    trace: Trace | None = None

    def config(self) -> Config:
        """Load the configuration and print its warnings.

        Raises:
            ConfigInvalid: There is none, it has mistakes, or it has no replica of the name that `--replica` gives.
        """
        from farshore.config import load_config

        config = load_config(self.config_path, self.environment)
        for warning in config.warnings:
            self.output.warning(warning)
        fingerprint = getattr(self.arguments, "pinned", None)
        if fingerprint:
            config = replace(config, repository=replace(config.repository, fingerprint=fingerprint))
        if self.trace:
            config = replace(config, watch=self.trace.wrap)
        replica = getattr(self.arguments, "replica", None)
        if replica is not None and replica not in config.replicas:
            close = get_close_matches(replica, config.replicas, n=1)
            meant = f"Did you mean {close[0]}? " if close else ""
            raise ConfigInvalid(
                f"no replica is called {replica!r}", f"{meant}Configured are: {', '.join(config.replicas)}."
            )
        return config

    @property
    def config_path(self) -> Path | None:
        """The file that `--config` names."""
        given = getattr(self.arguments, "config", None)
        return Path(given) if given else None

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked something."""
        return sys.stdin is not None and sys.stdin.isatty() and self.output.stderr.isatty()

    @contextmanager
    def binary_stdout(self) -> Iterator[IO[bytes]]:
        """Open standard output for content in bytes. A reader that goes away ends the command without a word."""
        if self.content is None:
            raise Bug("this command was not declared to send content")
        file = os.fdopen(os.dup(self.content.fileno()), "wb", _CONTENT_BUFFER_BYTES)
        try:
            yield file
        except OutletClosed as error:
            raise BrokenPipeError from error
        finally:
            with suppress(OSError):  # a failed write was reported when it happened
                file.close()

    def ask_secret(self, prompt: str) -> bytes:
        """Ask on the terminal, without echo.

        Raises:
            ConfigInvalid: The terminal was closed instead.
        """
        from farshore.cli.terminal import ask_hidden

        try:
            return ask_hidden(prompt, self.output.stderr)
        except (EOFError, OSError) as error:
            raise ConfigInvalid(
                "the terminal was closed before anything was typed", "Run the command again."
            ) from error

    def ask_line(self, prompt: str) -> str:
        """Ask on the terminal for a line that is no secret.

        Raises:
            ConfigInvalid: The terminal was closed instead.
        """
        from farshore.cli.terminal import ask_shown

        try:
            return ask_shown(prompt, self.output.stderr).decode("utf-8", "replace").strip()
        except (EOFError, OSError) as error:
            raise ConfigInvalid(
                "the terminal was closed before anything was typed", "Run the command again."
            ) from error

    def confirm(self, question: str) -> bool:
        """Whether a person says yes; only that word does."""
        return self.ask_line(f"{question} [yes/no] ").lower() in ("yes", "y")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `farshore`. Modules of commands import nothing heavy: the engine is loaded when they run."""

    name: str
    summary: str
    description: str
    example: str
    execute: Callable[[Invocation], int] | None = None  # None: only its children do something
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    failures: tuple[type[FarshoreError], ...] = ()
    exits: tuple[tuple[int, str], ...] = ()  # exit codes besides 0, 2 and those of `failures`
    shows_progress: bool = False
    acts: bool = False  # goes on to its end where what it prints cannot be written: that is only a report
    interrupted: str = "nothing was changed"
    sends_content: Callable[[argparse.Namespace], bool] = lambda _: False  # to standard output: words go elsewhere
    children: tuple[Command, ...] = field(default=())

    def epilog(self) -> str:
        """Return the end of the command's help: an example and its exit codes."""
        codes = {0: "done", 2: "usage: the command line was not understood", 130: "interrupted by Ctrl-C"}
        if self.acts:
            codes |= {EXIT_WARNINGS: "done, and standard output could not be written"}
        codes |= dict(self.exits)
        failures: tuple[type[Failure], ...] = (*self.failures, Bug)
        codes |= {failure.exit_code: failure.code for failure in failures}
        listed = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in sorted(codes.items()))
        example = "\n".join(f"  {line}" for line in self.example.splitlines())
        return (
            f"example:\n{example}\n\nexit codes (any other: failure; docs/reference/errors.md explains each):\n{listed}"
        )
