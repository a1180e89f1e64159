"""Whether what was restored is what was backed up, byte for byte."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_PIECE_BYTES = 1024 * 1024
DIFFERENCES_MAX = 10  # enough to see what kind of difference it is


def differences(source: Path, restored: Path, *, metadata: bool, time_step_ns: int = 1) -> list[str]:
    """Return how two directories differ, at most `DIFFERENCES_MAX` lines; nothing when they are equal.

    Args:
        metadata: Compare permissions and times of files too.
        time_step_ns: Times are equal when they fall into the same step.
    """
    found: list[str] = []
    for line in _walk(os.fsencode(source), os.fsencode(restored), b"", metadata, time_step_ns):
        found.append(line)
        if len(found) == DIFFERENCES_MAX:
            break
    return found


def _walk(source: bytes, restored: bytes, path: bytes, metadata: bool, time_step_ns: int) -> Iterator[str]:
    ours, theirs = set(os.listdir(source)), set(os.listdir(restored))
    yield from (f"not restored: {os.fsdecode(path + name)}" for name in sorted(ours - theirs))
    yield from (f"not in the source: {os.fsdecode(path + name)}" for name in sorted(theirs - ours))
    for name in sorted(ours & theirs):
        one, other = os.path.join(source, name), os.path.join(restored, name)
        before, after = os.lstat(one), os.lstat(other)
        shown = os.fsdecode(path + name)
        if stat.S_IFMT(before.st_mode) != stat.S_IFMT(after.st_mode):
            yield f"another kind of file: {shown}"
        elif stat.S_ISDIR(before.st_mode):
            yield from _walk(one, other, path + name + b"/", metadata, time_step_ns)
        elif stat.S_ISLNK(before.st_mode):
            if os.readlink(one) != os.readlink(other):
                yield f"the link leads elsewhere: {shown}"
        else:
            if before.st_size != after.st_size or not _same_content(one, other):
                yield f"other content: {shown}"
            if metadata and before.st_mode != after.st_mode:
                yield f"other permissions: {shown}"
            if metadata and before.st_mtime_ns // time_step_ns != after.st_mtime_ns // time_step_ns:
                yield f"another time: {shown}"


def _same_content(one: bytes, other: bytes) -> bool:
    with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
        while True:
            piece = first.read(_PIECE_BYTES)
            if piece != second.read(_PIECE_BYTES):
                return False
            if not piece:
                return True
