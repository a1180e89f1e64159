"""The program with one rule of the protocol taken out: each must be found broken by some history.

Each mutant replaces one function, and nothing else. `--find-mutants` looks for the first seed that finds each, and
writes the table of README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from farshore.replicas.lease_holder import LeaseHolder


@dataclass(frozen=True)
class Mutant:
    """A rule that is taken out: the place of a function, its name, and what stands in for it."""

    rule: str
    place: Any
    name: str
    stand_in: Callable[..., Any]


def _decides_nothing(self: LeaseHolder, replica: str, commit: bytes = b"", copies: object = ()) -> None:
    """Let the commit be put as if the end had been won."""


MUTANTS: dict[str, Mutant] = {
    "commits-without-end": Mutant("W6: a commit is put without a decision", LeaseHolder, "commit", _decides_nothing),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Take one rule out of the program, for a block; none for None."""
    if name is None:
        yield
        return
    mutant = MUTANTS[name]
    before = getattr(mutant.place, mutant.name)
    setattr(mutant.place, mutant.name, mutant.stand_in)
    try:
        yield
    finally:
        setattr(mutant.place, mutant.name, before)
