"""Where things are in a PostgreSQL data directory: pure rules about paths, which are bytes.

A tablespace outside the data directory arrives as an archive of its own and is stored as a real directory
`pg_tblspc/<oid>/`, so that a restored data directory is complete by itself. PostgreSQL accepts directories there only
with `allow_in_place_tablespaces`, so that line is added to `postgresql.auto.conf` of such a snapshot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from farshore.errors import SourceCorrupt

AUTO_CONF = b"postgresql.auto.conf"
MANIFEST = b"backup_manifest"
TABLESPACES = b"pg_tblspc"
STRAY_MESSAGE = "a symbolic link whose name is no tablespace's number: PostgreSQL does not use it, and it is left out"
# They give the server a role, and are no data: with them a copy of a standby would start as a standby of the same
# primary. pg_verifybackup does not miss them.
SIGNALS = frozenset({b"standby.signal", b"recovery.signal"})
IN_PLACE_SETTING = (
    b"\n# In this copy tablespaces are directories inside pg_tblspc, not links to other places.\n"
    b"allow_in_place_tablespaces = 'on'\n"
)

_RELATION = re.compile(
    rb"(?:global|base/\d+|pg_tblspc/\d+/PG_[^/]+/\d+)/"  # where relations live
    rb"\d+(?:_(?:fsm|vm|init))?(?:\.\d+)?"  # relation number, fork, segment
)
_TABLESPACE_LINK = re.compile(rb"pg_tblspc/(\d+)")
_TABLESPACE_ARCHIVE = re.compile(r"(\d+)\.tar")


def clean_path(name: bytes) -> bytes:
    """Return a member's name as a path relative to the data directory.

    Raises:
        SourceCorrupt: It would lead out of the directory.
    """
    path = name.removeprefix(b"./").rstrip(b"/")
    if any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise SourceCorrupt(f"the server sent a file with an impossible name: {name!r}")
    return path


def page_bytes_of(path: bytes, block_bytes: int) -> int:
    """Return `block_bytes` for a file of a relation, 0 for any other."""
    return block_bytes if _RELATION.fullmatch(path) else 0


def tablespace_of_link(path: bytes) -> str:
    """Return the OID of the tablespace whose link this path is, or nothing."""
    found = _TABLESPACE_LINK.fullmatch(path)
    return found[1].decode("ascii") if found else ""


def is_stray(path: bytes) -> bool:
    """Return whether a link is among those of tablespaces, and is none: the server sends it all the same."""
    return path.startswith(TABLESPACES + b"/") and not tablespace_of_link(path)


def archive_prefix(archive: str) -> bytes:
    """Return the prefix for the names of an archive's members, from the archive's own name.

    Raises:
        SourceCorrupt: It is neither the main archive nor that of a tablespace.
    """
    if archive == "base.tar":
        return b""
    found = _TABLESPACE_ARCHIVE.fullmatch(archive)
    if not found:
        raise SourceCorrupt(f"the server sent an archive with an impossible name: {archive!r}")
    return b"%s/%s/" % (TABLESPACES, found[1].encode("ascii"))


@dataclass(slots=True)
class Parents:
    """The directories that the paths of a stream need, and those of them that it held."""

    _needed: set[bytes] = field(default_factory=set)
    _seen: set[bytes] = field(default_factory=lambda: {b""})
    _last: bytes = b""

    def add(self, path: bytes, *, directory: bool) -> None:
        """Note an entry."""
        if directory:
            self._seen.add(path)
        parent = path.rpartition(b"/")[0]
        if parent == self._last:
            return
        self._last = parent
        while parent and parent not in self._needed:
            self._needed.add(parent)
            parent = parent.rpartition(b"/")[0]

    def missing(self) -> list[bytes]:
        """Return the directories that are needed and did not arrive, outer ones first."""
        return sorted(self._needed - self._seen)
