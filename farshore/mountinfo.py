"""The mounts of this machine, as /proc/self/mountinfo lists them. The only reader of that file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line: which part of which file system is mounted where.

    `device` is the device number as text, `root` the mounted path on that file system, `point` the path here. `kind`
    and `source` are empty in a line that is cut off.
    """

    device: bytes
    root: bytes
    point: bytes
    number: int = 0
    parent: int = 0
    kind: str = ""
    source: str = ""


def read_mounts() -> list[Mount]:
    """Return all mounts, in their order: a later one may hide an earlier one.

    Raises:
        OSError: This system has no such list, or it cannot be read.
    """
    return parse_mounts(_MOUNTS.read_bytes().splitlines())


def parse_mounts(lines: Iterable[bytes]) -> list[Mount]:
    """Return the mounts of lines of mountinfo; lines cut off before the mount point are left out."""
    mounts: list[Mount] = []
    for line in lines:
        fields = line.split(b" ")
        if len(fields) < 6 or not fields[0].isdigit() or not fields[1].isdigit():
            continue
        kind = source = b""
        if b"-" in fields[6:]:  # after a number of optional fields
            kind, source = [*fields[fields.index(b"-", 6) + 1 :], b"", b""][:2]
        mounts.append(
            Mount(
                device=fields[2],
                root=_unescaped(fields[3]),
                point=_unescaped(fields[4]),
                number=int(fields[0]),
                parent=int(fields[1]),
                kind=kind.decode("ascii", "replace"),
                source=os.fsdecode(_unescaped(source)),
            )
        )
    return mounts


def _unescaped(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)
