"""Databases and tablespaces of the catalog, compared with the files that arrived: evidence beside the warnings.

Read by SQL before the stream and after it, so that a database made or dropped meanwhile counts as no loss. A role that
may only replicate cannot run SQL; then the server's warnings are all there is (see `left_out.py`).
"""

from __future__ import annotations

import re
from dataclasses import field

from farshore.errors import SourceFileLeftOut
from farshore.model import dataclass
from farshore.sources.postgres.connection import Server

_TABLESPACES = "SELECT oid::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')"
# An interrupted DROP DATABASE leaves a row with this limit, and perhaps no directory.
_DATABASES = "SELECT oid::text || ' ' || dattablespace::text FROM pg_database WHERE datconnlimit <> -2"
_DEFAULT_TABLESPACE = "1663"
_VERSION_FILE = re.compile(rb"(?:base|pg_tblspc/(\d+)/PG_[^/]+)/(\d+)/PG_VERSION")
_HINT = (
    "Look at that directory on the server: it must be a directory with the database in it, no symbolic link. To have a "
    "database on another disk, use ALTER DATABASE ... SET TABLESPACE."
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Databases and tablespaces at one moment; None where this role may not read them."""

    tablespaces: frozenset[str] | None = None
    databases: frozenset[str] | None = None  # "oid tablespace"


def read_catalog(server: Server) -> Catalog:
    """Ask the server. Never raises."""
    answers = server.ask([_TABLESPACES, _DATABASES])
    found = (answers.get(sql) for sql in (_TABLESPACES, _DATABASES))
    return Catalog(*(None if answer is None else frozenset(answer) for answer in found))


@dataclass(slots=True)
class DatabasesSeen:
    """The databases in the stream. Each has a file of its version in its directory."""

    _seen: set[str] = field(default_factory=set)

    def add(self, path: bytes) -> None:
        """Note the path of a file that arrived."""
        found = _VERSION_FILE.fullmatch(path) if path.endswith(b"PG_VERSION") else None
        if found:
            self._seen.add(f"{found[2].decode()} {(found[1] or _DEFAULT_TABLESPACE.encode()).decode()}")

    def check(self, before: Catalog, after: Catalog) -> None:
        """Check that every database that existed before and after the stream has arrived.

        Raises:
            SourceFileLeftOut: One has not.
        """
        if before.databases is None or after.databases is None:
            return
        missing = sorted((before.databases & after.databases) - self._seen)
        if missing:
            oid, _, tablespace = missing[0].partition(" ")
            place = f"base/{oid}" if tablespace == _DEFAULT_TABLESPACE else f"pg_tblspc/{tablespace}/.../{oid}"
            more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise SourceFileLeftOut(f"the server sent nothing of the database in {place}{more}", _HINT)
