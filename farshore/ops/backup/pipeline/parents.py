"""No entry of a manifest without its directory: whatever a source gives, or forgets to give. Pure.

Entries come in manifest order, where what is right before an entry is its directory, or something in that directory. So
one look at the path before tells, and costs nothing that could be measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from farshore.errors import Bug
from farshore.model import Entry, EntryKind

_MODE = 0o700


class Parents:
    """Looks at entries, or at stretches of entries that were looked at before, as they go into a manifest."""

    def __init__(self) -> None:
        self._last = b""
        self._last_is_directory = True  # of the root, which a source of a single file has none of
        self._inside = b""  # the directory in which the last entry is

    def step(self, path: bytes, *, directory: bool) -> Sequence[bytes]:
        """Take the next entry; return the directories above it that should have come before, the outer ones first.

        Raises:
            Bug: What came by the name of its directory is none.
        """
        inside = path[: max(path.rfind(b"/"), 0)]
        missing = () if inside == self._inside or not inside else self._look(path, inside)
        self._last, self._last_is_directory, self._inside = path, directory, inside
        return missing

    def jump(self, path: bytes, *, directory: bool) -> None:
        """Go on behind an entry, to which those from the last step are known to be whole."""
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
    """Return a directory that the source did not tell of, owned by the owner of what is in it, and closed to others."""
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
