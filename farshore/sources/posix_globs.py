r"""Patterns that choose paths, with the rules of .gitignore.

A pattern without `/` (but at its end) matches a name at any depth; one with `/` is matched from the source's root.
`*` and `?` stay within one name, `**` spans names, `[a-z]` is a choice, `\` takes the next character as it is. A
pattern that ends in `/` matches directories only. `!` takes back what an earlier pattern matched: the last match wins.
Names that are not UTF-8 match through surrogate escapes, so `*` matches any byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

_ANY_PARENTS = "(?:[^/]+/)*"
_ANYTHING_INSIDE = "(?=[^/]).+"
_NAME_FOLLOWS = "(?=[^/])"  # a `*` alone must not match the empty name after a trailing slash


class Globs:
    """A list of patterns. Pure, and safe from any thread."""

    def __init__(self, patterns: Sequence[str]) -> None:
        rules = [(p.startswith("!"), _expression(p.removeprefix("!"))) for p in patterns if p.strip("!/")]
        runs = groupby(rules, key=lambda rule: rule[0])
        joined = [(negated, "|".join(f"(?:{e})" for _, e in run)) for negated, run in runs]
        self._runs = [(negated, re.compile(e, re.DOTALL)) for negated, e in reversed(joined)]

    def __bool__(self) -> bool:
        return bool(self._runs)

    def match(self, path: bytes, *, directory: bool) -> bool:
        """Return whether `path` (relative, not empty) is chosen."""
        subject = path.decode("utf-8", "surrogateescape") + ("/" if directory else "")
        for negated, expression in self._runs:
            if expression.fullmatch(subject):
                return not negated
        return False


def _expression(pattern: str) -> str:
    """Translate one pattern; the subject of a directory ends in a slash."""
    directories_only = pattern.endswith("/") and not pattern.endswith("\\/")
    body = pattern.rstrip("/") if directories_only else pattern
    anchored = "/" in body
    names = body.removeprefix("/").split("/")
    parts = [] if anchored else [_ANY_PARENTS]
    for position, name in enumerate(names):
        last = position == len(names) - 1
        if name == "**" and anchored:
            parts.append(_ANYTHING_INSIDE if last else _ANY_PARENTS)
        else:
            parts.append(_NAME_FOLLOWS + "".join(_characters(name)) + ("" if last else "/"))
    return "".join(parts) + ("/" if directories_only else "/?")


def _characters(name: str) -> Iterator[str]:
    position = 0
    while position < len(name):
        character = name[position]
        position += 1
        if character == "*":
            yield "[^/]*"
        elif character == "?":
            yield "[^/]"
        elif character == "\\" and position < len(name):
            yield re.escape(name[position])
            position += 1
        elif character == "[" and (end := _choice_end(name, position)) > 0:
            yield _choice(name[position:end])
            position = end + 1
        else:
            yield re.escape(character)


def _choice_end(name: str, start: int) -> int:
    """Return where the `]` of a choice stands, or 0 when it is not closed and `[` stands for itself."""
    position = start + 1 if name[start : start + 1] in ("!", "^") else start
    position += 1  # a `]` that comes first is one of the characters
    while position < len(name):
        if name[position] == "\\":
            position += 1
        elif name[position] == "]":
            return position
        position += 1
    return 0


def _choice(body: str) -> str:
    negated = body[0] in "!^"
    inner = body[1:] if negated else body
    out: list[str] = []
    position = 0
    while position < len(inner):
        character = inner[position]
        if character == "\\" and position + 1 < len(inner):
            position += 1
            out.append(re.escape(inner[position]))
        else:
            out.append("-" if character == "-" else re.escape(character))
        position += 1
    text = "".join(out)
    if text.endswith("-") and not text.endswith("\\-"):
        text = text[:-1] + "\\-"
    if text.startswith("-"):
        text = "\\" + text
    return f"(?!/)[{'^' if negated else ''}{text}]"
