"""Mistakes in a configuration, gathered so that a person corrects them in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from farshore.errors import ConfigInvalid

_SHOWN_MAX = 20  # a wholly wrong file is told by its first mistakes


@dataclass(slots=True)
class Findings:
    """What is wrong so far, in the order found."""

    found: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, message: str, hint: str | None) -> None:
        """Note one mistake; `hint` None leaves the hint of the error's class."""
        self.found.append((message, hint))

    def settle(self) -> None:
        """Raise `ConfigInvalid` with everything found, or do nothing."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise ConfigInvalid(*self.found[0])
        lines = [f"{message} ({_as_clause(hint)})" if hint else message for message, hint in self.found[:_SHOWN_MAX]]
        raise ConfigInvalid("\n  ".join([f"{len(self.found)} mistakes in the configuration", *lines]))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def _as_clause(hint: str) -> str:
    return hint[:1].lower() + hint[1:].rstrip(".")
