"""No entry of a manifest without its directory, even where a source leaves one out. Pure.

Entries are in manifest order, where the entry right before another is its directory, or something in that directory. So
comparing with the path before is enough, and costs nothing that could be measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from farshore.errors import Bug
from farshore.model import Entry, EntryKind

_MODE = 0o700


class Parents:
    """Finds the directories missing among the entries of a manifest as they are written."""

    def __init__(self) -> None:
        self._last = b""
        self._last_is_directory = True  # of the root, which a source of a single file has none of
        self._inside = b""  # the directory in which the last entry is

    def step(self, path: bytes, *, directory: bool) -> Sequence[bytes]:
        """Add the next entry; return the directories above it that are missing before it, the outer ones first.

        Raises:
            Bug: The entry with the name of its directory is no directory.
        """
        inside = path[: max(path.rfind(b"/"), 0)]
        missing = () if inside == self._inside or not inside else self._look(path, inside)
        self._last, self._last_is_directory, self._inside = path, directory, inside
        return missing

    def jump(self, path: bytes, *, directory: bool) -> None:
        """Skip to an entry; those since the last step are known to be complete."""
        self._last, self._last_is_directory = path, directory
        self._inside = path[: max(path.rfind(b"/"), 0)]

    def _look(self, path: bytes, inside: bytes) -> Sequence[bytes]:
        if inside == self._last:
            if not self._last_is_directory:
                raise Bug(f"{inside!r} is no directory, and the source has {path!r} in it")
            return ()
        if self._last.startswith(inside + b"/"):
            return ()
        names = inside.split(b"/")
        above = [b"/".join(names[:count]) for count in range(1, len(names) + 1)]
        return [one for one in above if one != self._last and not self._last.startswith(one + b"/")]


def made_directory(path: bytes, inside: Entry) -> Entry:
    """Return a directory that the source left out, with the owner of the entry inside it, and closed to others."""
    return Entry(
        path=path,
        kind=EntryKind.DIRECTORY,
        mode=_MODE,
        uid=inside.uid,
        gid=inside.gid,
        user=inside.user,
        group=inside.group,
        mtime_ns=inside.mtime_ns,
    )
