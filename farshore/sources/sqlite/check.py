"""SQLite's own verdict on a database: can it be read, is it whole, which version. No file is written here.

`integrity_check` and not `quick_check`: only the former compares every index with its table.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

from farshore.errors import FarshoreError, SourceCorrupt, SourceDenied, SourceUnavailable, SourceUnsupported
from farshore.host_resources import try_open_files, what_is_exhausted
from farshore.model import dataclass

_MAGIC = b"SQLite format 3\0"
_FIRST_PAGE_BYTES = 512  # of every page size the beginning
_RESERVED_OFFSET, _ZEROS, _NODE_OFFSET, _NODES = 20, slice(72, 92), 100, b"\x02\x05\x0a\x0d"
_ENCRYPTED_HINT = (
    "An encrypted database cannot be checked; back up its directory, or a decrypted copy made by its owner."
)
_WRITE_VERSION_OFFSET = 18
_WRITE_VERSION_WAL = 2
_FINDINGS_MAX = 1_000_000  # asked of integrity_check, so that broken constraints never crowd out damage behind them
_FINDINGS_QUOTED = 3
_KEY_VIOLATIONS_COUNTED_MAX = 100_000
# Findings about what the application promised of its values; the file itself is whole.
_CONSTRAINT_PREFIXES = ("NULL value in ", "CHECK constraint failed in ", "non-", "TEXT value in ", "NUMERIC value in ")
_CONSTRAINT_EXCEPTIONS = ("non-unique entry in index",)

_DENIED = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_HOT_JOURNAL_HINT = (
    "Open it once with its application or with the sqlite3 program, which rolls the unfinished transaction back; "
    "a backup never writes to its source."
)
_LOCKED_HINT = "Another process holds a lock on it for long; back up when that has ended."
SPACE_HINT = "Free space in the directory for temporary files, or set TMPDIR to one with more."
_UNKNOWN_HINT = "The SQLite library in use lacks something this database needs, so its integrity cannot be checked."


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Facts of a database, for the commit record and for planning the copy."""

    page_bytes: int
    pages: int
    encoding: str
    user_version: int
    application_id: int
    schema_objects: int
    schema_sha256: str

    def as_text(self) -> dict[str, str]:
        """Return the facts as a commit record keeps them."""
        return {
            "sqlite_version": sqlite3.sqlite_version,
            "page_bytes": str(self.page_bytes),
            "page_count": str(self.pages),
            "encoding": self.encoding,
            "user_version": str(self.user_version),
            "application_id": str(self.application_id),
            "schema_objects": str(self.schema_objects),
            "schema_sha256": self.schema_sha256,
        }


def check_header(path: Path) -> None:
    """Check that the file begins as an SQLite database does.

    Raises:
        SourceCorrupt: It is empty, or begins with zeros.
        SourceUnsupported: It is something else, or encrypted; the two look the same.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        page = file.read(_FIRST_PAGE_BYTES)
    head = page[: len(_MAGIC)]
    if not head:
        raise SourceCorrupt(
            f"the database {path} is empty: not one byte",
            "SQLite takes an empty file for a new database, and a lost database looks the same. Put back what was "
            "there; if it is really new, create its first table before backing it up.",
        )
    if head == bytes(len(head)):
        raise SourceCorrupt(f"the database {path} begins with zeros")
    if head != _MAGIC:
        raise SourceUnsupported(
            f"{path} is not an SQLite 3 database, or it is encrypted",
            _ENCRYPTED_HINT,
        )
    if _is_encrypted_behind_header(page):
        raise SourceUnsupported(f"{path} is encrypted behind a header that is plain text", _ENCRYPTED_HINT)


def _is_encrypted_behind_header(page: bytes) -> bool:
    """Return whether a first page is one of SQLCipher with a plain header: all of it is noise from byte 32 on.

    In a database of SQLite's own, 20 bytes of the header are zeros, and the first page is a node of a B-tree.
    """
    if len(page) < _FIRST_PAGE_BYTES or not page[_RESERVED_OFFSET]:  # each page has room for its seal
        return False
    return any(page[_ZEROS]) and page[_NODE_OFFSET] not in _NODES


def read_journal_mode(path: Path) -> str:
    """Return `wal` or `rollback`, as the header says; which kind of rollback journal is a matter of each connection."""
    with path.open("rb") as file:
        head = file.read(_WRITE_VERSION_OFFSET + 1)
    return "wal" if head[_WRITE_VERSION_OFFSET] == _WRITE_VERSION_WAL else "rollback"


def read_facts(connection: sqlite3.Connection) -> DatabaseFacts:
    """Return the facts of an open database. Inside a read transaction they all belong to one moment."""
    digest = hashlib.sha256()
    count = 0
    statement = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name, tbl_name"
    for row in connection.execute(statement):
        digest.update(json.dumps(row).encode())
        count += 1
    return DatabaseFacts(
        page_bytes=_number(connection, "page_size"),
        pages=_number(connection, "page_count"),
        encoding=_text(connection, "encoding"),
        user_version=_number(connection, "user_version"),
        application_id=_number(connection, "application_id"),
        schema_objects=count,
        schema_sha256=digest.hexdigest(),
    )


def check_integrity(connection: sqlite3.Connection, name: str) -> dict[str, str]:
    """Read the whole database and return the findings as facts.

    Broken constraints and foreign keys are facts, not damage: the application's rules do not hold, but the file is
    whole, and refusing to back it up would help nobody.

    Raises:
        SourceCorrupt: A page, a tree or an index is wrong.
        sqlite3.Error: It could not be checked to its end.
    """
    constraints = 0
    damage: list[str] = []
    for (finding,) in connection.execute(f"PRAGMA integrity_check({_FINDINGS_MAX})"):
        if finding == "ok":
            continue
        if finding.startswith(_CONSTRAINT_PREFIXES) and not finding.startswith(_CONSTRAINT_EXCEPTIONS):
            constraints += 1
        elif len(damage) < _FINDINGS_QUOTED:
            damage.append(finding.strip().replace("\n", " "))
    if damage:
        raise SourceCorrupt(f"the database {name} is damaged: {'; '.join(damage)}")
    return {
        "integrity_check": "ok",
        "constraint_violations": str(constraints),
        "foreign_key_violations": _count_key_violations(connection),
    }


def translate_error(error: sqlite3.Error, path: Path) -> FarshoreError:
    """Return our error for one of SQLite, about the source at `path` or about this process."""
    return _exhausted(error) or _translated(error, path)


def _exhausted(error: sqlite3.Error) -> FarshoreError | None:
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary == sqlite3.SQLITE_NOMEM:
        return what_is_exhausted(MemoryError())
    return try_open_files() if primary == sqlite3.SQLITE_CANTOPEN else None


def _translated(error: sqlite3.Error, path: Path) -> FarshoreError:
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = extended & 0xFF
    said = f"the database {path} cannot be read: {error}"
    if primary in _PASSING:
        return SourceUnavailable(f"the database {path} is locked by another process", _LOCKED_HINT)
    if primary == sqlite3.SQLITE_CORRUPT:
        return SourceCorrupt(f"the database {path} is damaged: {error}")
    if primary == sqlite3.SQLITE_NOTADB:
        return SourceUnsupported(f"{path} is not an SQLite 3 database, or it is encrypted")
    if primary == sqlite3.SQLITE_READONLY or extended == sqlite3.SQLITE_CANTOPEN_DIRTYWAL:
        return SourceUnavailable(f"the database {path} was left in the middle of a transaction", _HOT_JOURNAL_HINT)
    if primary == sqlite3.SQLITE_FULL:
        return SourceUnavailable(f"the copy of {path} does not fit: {error}", SPACE_HINT)
    if primary in _DENIED:
        return SourceDenied(said)
    if primary == sqlite3.SQLITE_ERROR:
        return SourceUnsupported(said, _UNKNOWN_HINT)
    return SourceUnavailable(said)


def is_shut_out(error: sqlite3.Error) -> bool:
    """Return whether SQLite could not make, or write, a file that it needs beside the database."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return extended & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def _count_key_violations(connection: sqlite3.Connection) -> str:
    """Return how many rows point at a row that is not there, or why that is not known."""
    try:
        count = 0
        for _ in connection.execute("PRAGMA foreign_key_check"):
            count += 1
            if count == _KEY_VIOLATIONS_COUNTED_MAX:
                return f"{count} or more"
    except sqlite3.Error as error:  # a foreign key that names a missing column cannot be checked; the file is whole
        return f"unknown: {error}"
    return str(count)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(_text(connection, pragma))


def _text(connection: sqlite3.Connection, pragma: str) -> str:
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return str(value)
