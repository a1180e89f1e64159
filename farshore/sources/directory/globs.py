r"""Patterns that choose paths: each is read as git reads a line of .gitignore, and matched in linear time.

A pattern without `/` (but at its end) matches a name at any depth; one with `/` is matched from the source's root.
`*` and `?` stay within one name, `**` spans names, `[a-z]` is a choice of bytes, `\` has the next character as it is. A
pattern that ends in `/` matches directories only. `!` revokes what an earlier pattern matched: the last match wins.
Blanks at the end and lines that begin with `#` do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from farshore.sources.glob_expressions import Line, expression, read_line


class _Run(NamedTuple):
    """Patterns that follow each other and all choose, or all revoke. Most need no expression."""

    chosen: bool
    names: frozenset[bytes]
    ends: tuple[bytes, ...]  # of names
    name: Callable[[bytes], object] | None
    paths: frozenset[bytes]
    path: Callable[[bytes], object] | None


class Globs:
    """A list of patterns. Pure, and safe from any thread."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        lines = [line for line in map(read_line, self._patterns) if line is not None]
        self._of_directories = _runs(lines)
        self._of_others = _runs([line for line in lines if not line.directories])

    def __reduce__(self) -> tuple[type[Globs], tuple[tuple[str, ...]]]:
        return Globs, (self._patterns,)

    def __bool__(self) -> bool:
        return bool(self._of_directories)

    def match(self, path: bytes, *, directory: bool) -> bool:
        """Return whether `path` (relative, not empty) is chosen."""
        last = path[path.rfind(b"/") + 1 :]
        for chosen, names, ends, name, paths, whole in self._of_directories if directory else self._of_others:
            if (
                last in names
                or last.endswith(ends)
                or (name is not None and name(last) is not None)
                or path in paths
                or (whole is not None and whole(path) is not None)
            ):
                return chosen
        return False


def _runs(lines: Sequence[Line]) -> tuple[_Run, ...]:
    """Return runs of patterns, the last one first."""
    return tuple(
        _run(list(run), chosen=not negated) for negated, run in groupby(reversed(lines), attrgetter("negated"))
    )


def _run(lines: Sequence[Line], *, chosen: bool) -> _Run:
    names = [line for line in lines if not line.rooted]
    paths = [line for line in lines if line.rooted]
    ends = {line for line in names if line.body.startswith(b"*") and line.of_end().plain}
    return _Run(
        chosen=chosen,
        names=frozenset(line.body for line in names if line.plain),
        ends=tuple(line.of_end().body for line in ends),
        name=_any_of([line for line in names if not line.plain and line not in ends]),
        paths=frozenset(line.body for line in paths if line.plain),
        path=_any_of([line for line in paths if not line.plain]),
    )


def _any_of(lines: Sequence[Line]) -> Callable[[bytes], object] | None:
    expressions = [one for one in map(expression, lines) if one is not None]
    if not expressions:
        return None
    return re.compile(b"|".join(b"(?:" + one + b")" for one in expressions), re.DOTALL).fullmatch
