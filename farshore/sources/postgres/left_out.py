"""Judge the server's warnings while it sends a backup: the files it leaves out, and whether a copy needs them. Pure.

The server leaves everything out of a base backup that is neither a regular file nor a directory: sockets, pipes, and
symbolic links that somebody made to move files to another disk. It warns in any language; the name of its function and
the quoted path are the same in all.
"""

from __future__ import annotations

import re
from enum import Enum

from farshore.errors import SourceFileLeftOut

_LEAVING_OUT = "sendDir"
# Warns of a page whose checksum it could not look at, because the file was just being made longer: WAL has that page.
NO_LOSS = ("sendFile",)
_LISTING_TABLESPACES = "do_pg_backup_start"  # warns of links in pg_tblspc that it cannot follow
_MARKS = "\"'\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u300c\u300d\u300e\u300f"  # quotation marks of all languages
_QUOTED = re.compile(rf"[{_MARKS}]\s*(\.?/[^\n]*?)\s*[{_MARKS}]")
# What a cluster cannot do without. The content of the other directories of its own is not sent in any backup.
_NEEDED = frozenset({
    "base", "global", "pg_tblspc", "pg_xact", "pg_multixact", "pg_commit_ts", "pg_twophase", "pg_logical", "pg_stat",
    "PG_VERSION",
})  # fmt: skip
_LOGS = frozenset({"log", "pg_log"})
_SOCKET = ".s.PGSQL."
LEFT_OUT_MESSAGE = "no regular file or directory, so the server does not send it; PostgreSQL itself has no such file"
_HINT = (
    "PostgreSQL backs up nothing that is behind a symbolic link of one's own. Stop the server and move the files back "
    "to this name; to have them on another disk, make a tablespace there (CREATE TABLESPACE, then ALTER DATABASE or "
    "TABLE ... SET TABLESPACE)."
)


class Meaning(Enum):
    """The meaning of a warning for the copy."""

    NO_COPY = "a file of the cluster itself is left out"
    LEFT_OUT = "something else in the data directory is left out"
    NOTHING = "nothing is missing"
    OTHER = "not about a file that is left out"


def judge_warning(function: str, said: str, *, log_directory: str = "") -> tuple[Meaning, str]:
    """Return the meaning of a warning, and the path it names, relative to the data directory where it is in it.

    Args:
        function: The server's function that warned.
        said: Its words, in any language.
        log_directory: The server's setting, where it is known.
    """
    if function == _LISTING_TABLESPACES:
        return Meaning.NO_COPY, path_in(said)
    if function != _LEAVING_OUT:
        return Meaning.OTHER, ""
    path = path_in(said)
    relative = path.removeprefix("./")
    first = relative.partition("/")[0]
    if not path or path.startswith("/") or first in _NEEDED:  # a whole path is one in a tablespace
        return Meaning.NO_COPY, relative
    if relative in _LOGS or relative == log_directory.removeprefix("./") or relative.startswith(_SOCKET):
        return Meaning.NOTHING, relative
    return Meaning.LEFT_OUT, relative


def path_in(said: str) -> str:
    """Return the path that a message quotes, or nothing."""
    found = _QUOTED.search(said)
    return found[1] if found else ""


def left_out_error(place: str, said: str, path: str) -> SourceFileLeftOut:
    """Return the error for a file of the cluster that the server leaves out."""
    if not path:
        return SourceFileLeftOut(f"{place}: the server leaves files out of the backup: {said}", _HINT)
    return SourceFileLeftOut(
        f"{place}: {path!r} is no regular file or directory (most likely a symbolic link), so the server leaves it out",
        _HINT,
    )
