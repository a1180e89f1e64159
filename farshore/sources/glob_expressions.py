r"""One line of a .gitignore as a regular expression over bytes that matches in linear time, as git reads the line.

Git tries names byte by byte, so `?` and `[...]` match one byte. A wildcard here never gives back bytes it matched:

    *a*b      inside a name, each piece is sought from left to right and stays where it is first found
    a/**/b/   likewise, the names between two `**` are sought together, name by name

The first place is as good as any later one, because the next piece may skip on from there. So each byte of a name is
compared with each byte of a pattern at most about once: `re` has no backtracking left to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

_WILD = frozenset(b"*?[\\")
_SLASH = ord("/")
_ANY_BYTE = b"[^/]"
_SKIP_NAMES = b"(?:[^/]*+/)%s"


class Line(NamedTuple):
    """A parsed pattern. `body` has no `!` before it and no `/` behind it that only asks for a directory."""

    body: bytes
    negated: bool
    directories: bool  # it chooses nothing but directories
    rooted: bool  # it is compared with the whole path, not with the last name

    @property
    def plain(self) -> bool:
        """Whether there is no wildcard, escape or choice in it."""
        return _WILD.isdisjoint(self.body)

    def of_end(self) -> Line:
        """Return the pattern without its first byte."""
        return self._replace(body=self.body[1:])


class _Mark(Enum):
    STAR = 0  # any bytes of one name
    SLASH = 1
    DIRECTORIES = 2  # `**/`: any number of names
    DIRECTORY_AND_MORE = 3  # `**\/`: at least one
    REST = 4  # `**` at the end


_SKIPS = {_Mark.DIRECTORIES: _SKIP_NAMES % b"*?", _Mark.DIRECTORY_AND_MORE: _SKIP_NAMES % b"+?"}
_Token = bytes | _Mark  # bytes: an expression for one byte


def read_line(text: str) -> Line | None:
    """Return a parsed pattern; None for a line that git skips (nothing in it, a comment)."""
    line = text.encode("utf-8", "surrogateescape").removesuffix(b"\r")
    if not line or line.startswith(b"#"):
        return None
    line = _without_trailing_blanks(line)
    negated = line.startswith(b"!")
    body = line[negated:]
    directories = body.endswith(b"/")
    body = body[: len(body) - directories]
    return Line(body.removeprefix(b"/"), negated, directories, b"/" in body) if body else None


def why_void(text: str) -> str:
    """Return why a pattern matches nothing, with what to write instead; empty where it may match."""
    line = read_line(text)
    if line is None:
        return "is a comment; write \\# for a name that begins so" if text.startswith("#") else "is empty"
    if _tokens(line.body, rooted=line.rooted) is None:
        return "matches nothing: a [ in it is not closed (write \\[ for the character itself), or a \\ ends it"
    return ""


def expression(line: Line) -> bytes | None:
    """Return an expression that is true of a whole path (or, of a line that is not rooted, a name); None if of none."""
    tokens = _tokens(line.body, rooted=line.rooted)
    if tokens is None:
        return None
    parts: list[bytes] = []
    leg: list[_Token] = []
    skip = b""
    for token in tokens:
        if isinstance(token, _Mark) and token in _SKIPS:
            parts.append(_leg(skip, leg))
            leg, skip = [], _SKIPS[token]
        else:
            leg.append(token)
    end = b""
    if leg and leg[-1] is _Mark.REST:
        leg.pop()
        end = b".*+"
    elif skip:
        leg.append(rb"\Z")  # or the first place might not be the last
    parts.append(_leg(skip, leg))
    return b"".join(parts) + end


def _leg(skip: bytes, tokens: list[_Token]) -> bytes:
    """Return the expression for some names that follow each other, sought from the first place that `skip` allows."""
    names: list[list[_Token]] = [[]]
    for token in tokens:
        if token is _Mark.SLASH:
            names.append([])
        else:
            names[-1].append(token)
    text = b"/".join(map(_name, names))
    return b"(?>" + skip + text + b")" if skip else text


def _name(tokens: list[_Token]) -> bytes:
    pieces = [b""]
    for token in tokens:
        if token is _Mark.STAR:
            pieces.append(b"")
        elif isinstance(token, bytes):
            pieces[-1] += token
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    found = b"".join(b"(?>[^/]*?" + piece + b")" for piece in middle if piece)
    return first + found + (b"(?>[^/]*" + last + b"(?![^/]))" if last else b"[^/]*+")


def _tokens(body: bytes, *, rooted: bool) -> list[_Token] | None:
    tokens: list[_Token] = []
    fixed = next((at for at, byte in enumerate(body) if byte in _WILD), len(body))  # git compares it apart
    at = 0
    while at < len(body):
        byte = body[at]
        start, at = at, at + 1
        if byte == ord("*"):
            while body[at : at + 1] == b"*":
                at += 1
            begins_name = start == fixed or body[start - 1] == _SLASH
            mark, at = _star(body, at, spans=rooted and at - start > 1 and begins_name)
            tokens.append(mark)
        elif byte == ord("?"):
            tokens.append(_ANY_BYTE)
        elif byte == ord("["):
            choice, at = _choice(body, at)
            if not choice:
                return None
            tokens.append(_one_of(choice))
        else:
            if byte == ord("\\"):
                if at == len(body):
                    return None
                byte, at = body[at], at + 1
            tokens.append(_Mark.SLASH if byte == _SLASH else re.escape(bytes((byte,))))
    return None if b"\0" in body else tokens


def _star(body: bytes, at: int, *, spans: bool) -> tuple[_Mark, int]:
    """Return the meaning of stars that end before `at`, and where to read on."""
    if spans and at == len(body):
        return _Mark.REST, at
    if spans and body[at] == _SLASH:
        return _Mark.DIRECTORIES, at + 1
    if spans and body[at : at + 2] == b"\\/":
        return _Mark.DIRECTORY_AND_MORE, at + 2
    return _Mark.STAR, at


def _choice(body: bytes, at: int) -> tuple[set[int], int]:
    """Return the bytes of the choice that begins at `at`, behind its `[`, and where it ends; none if it is not sound.

    None, too, where it is not closed or names a class that there is not: nothing matches such a pattern.
    """
    nothing: set[int] = set()
    negated = body[at : at + 1] in (b"!", b"^")
    at += negated
    chosen: set[int] = set()
    before = -1  # the byte that a range would begin with
    first = True
    while first or body[at : at + 1] != b"]":
        first = False
        if at >= len(body):
            return nothing, at
        byte = body[at]
        if byte == ord("[") and body[at + 1 : at + 2] == b":" and (close := body.find(b"]", at + 2)) != at + 2:
            if close < 0:
                return nothing, at
            if body[close - 1] == ord(":"):
                named = _CLASSES.get(body[at + 2 : close - 1])
                if named is None:
                    return nothing, at
                chosen |= named
                before, at = -1, close + 1
                continue
        is_range = byte == ord("-") and before >= 0 and body[at + 1 : at + 2] not in (b"", b"]")
        at += is_range
        if body[at] == ord("\\"):
            at += 1
            if at >= len(body):
                return nothing, at
        if is_range:
            chosen |= set(range(before, body[at] + 1))
            before = -1
        else:
            chosen.add(body[at])
            before = body[at]
        at += 1
    chosen = set(range(256)) - chosen if negated else chosen
    return chosen - {0, _SLASH}, at + 1


def _one_of(choice: set[int]) -> bytes:
    return b"[" + b"".join(rb"\x%02x-\x%02x" % run for run in _runs(choice)) + b"]"


def _runs(choice: set[int]) -> Iterator[tuple[int, int]]:
    ordered = sorted(choice)
    start = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at] != ordered[at - 1] + 1:
            yield ordered[start], ordered[at - 1]
            start = at


def _without_trailing_blanks(line: bytes) -> bytes:
    r"""Return a line without the blanks at its end; a `\` before one keeps it."""
    end = len(line.rstrip(b" "))
    slashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + slashes % 2] if end < len(line) else line


_LOWER = set(range(ord("a"), ord("z") + 1))
_UPPER = set(range(ord("A"), ord("Z") + 1))
_DIGIT = set(range(ord("0"), ord("9") + 1))
_GRAPH = set(range(0x21, 0x7F))
_ALPHA = _LOWER | _UPPER
_CLASSES = {
    b"alnum": _ALPHA | _DIGIT,
    b"alpha": _ALPHA,
    b"blank": set(b" \t"),
    b"cntrl": {*range(0x20), 0x7F},
    b"digit": _DIGIT,
    b"graph": _GRAPH,
    b"lower": _LOWER,
    b"print": _GRAPH | {0x20},
    b"punct": _GRAPH - _ALPHA - _DIGIT,
    b"space": set(b" \t\n\r"),
    b"upper": _UPPER,
    b"xdigit": _DIGIT | set(b"abcdefABCDEF"),
}
