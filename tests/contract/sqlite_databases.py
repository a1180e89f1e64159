"""What the tests of the SQLite source by its names share: a database at work, and a look by another user."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from farshore.clock import SystemClock
from farshore.errors import FarshoreError
from farshore.sources.base import Data
from farshore.sources.sqlite.source import SqliteSource

ANOTHER_USER = 65534


@contextlib.contextmanager
def at_work(database: Path, rows: int = 50, journal: str = "wal") -> Iterator[sqlite3.Connection]:
    """Hold a database open whose last rows are in the log beside the name by which it was opened."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY)")
        if journal == "wal":
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO items VALUES (NULL)", [()] * rows)
        connection.execute("COMMIT")
        yield connection


def rows_saved(database: Path, place: Path, *, busy_s: float = 5.0) -> int:
    """Take a database, and count the rows of what was taken."""
    source = SqliteSource(name="ledger", path=database, clock=SystemClock(), busy_s=busy_s)
    with source.capture() as capture:
        (item,) = capture.items()
        assert item.entry.path == os.fsencode(database.name)
        with item.open() as content:
            data = b"".join(piece.data for piece in content.pieces() if isinstance(piece, Data))
            content.settled()
        capture.finish()
    copy = Path(tempfile.mkdtemp(dir=place)) / "copy.db"
    copy.write_bytes(data)
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("SELECT count(*) FROM items").fetchone()[0])


def as_another_user(place: Path, action: Callable[[], object]) -> str:
    """Run something in another process as a user who owns nothing; return what it gave, or the error's code and words.

    Where the tests do not run as root, it is the same user: then what is not to be written must be closed to all.
    """
    place.mkdir(exist_ok=True)
    place.chmod(0o777)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(ANOTHER_USER)
                os.setuid(ANOTHER_USER)
            tempfile.tempdir = str(place)
            reported = str(action())
        except FarshoreError as error:
            reported = f"{error.code}: {error.message}; {error.hint}"
        except BaseException as error:  # noqa: BLE001 - the parent fails by these words
            reported = repr(error)
        os.write(writing, reported.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        reported = pipe.read()
    os.waitpid(child, 0)
    return reported
