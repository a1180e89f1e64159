"""A database that has several names, or a directory that the backup may not write: found whole, or refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import SourceChanged, SourceUnsupported
from farshore.sources.sqlite.place import find_rest
from tests.contract.sqlite_databases import as_another_user, at_work, rows_saved

# Runs in a mount namespace of its own: argv are the database, the other name, what to do, and where Farshore is.
IN_NAMESPACE = """
import os, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from farshore.errors import FarshoreError
from tests.contract.sqlite_databases import at_work, rows_saved
database, other = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3].startswith("read-only"):
    shown = other.parent.parent / "shown"
    shown.mkdir()
    subprocess.run(["mount", "--bind", database.parent, shown], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", shown], check=True)
    ready, done = os.pipe(), os.pipe()
    if os.fork() == 0:  # the application
        with at_work(database) as connection:
            if sys.argv[3] == "read-only, log empty":
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if sys.argv[3] != "read-only, at rest":
                os.write(ready[1], b".")
                os.read(done[0], 1)
        os.write(ready[1], b".")
        os._exit(0)
    os.read(ready[0], 1)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(database.parent)], check=True)  # the read-only view is left
    try:
        print(rows_saved(shown / "a.db", Path(sys.argv[5])), flush=True)
    finally:
        os.write(done[1], b".")
    sys.exit()
other.parent.mkdir()
other.touch()
subprocess.run(["mount", "--bind", database, other], check=True)
opened, saved = (other, database) if sys.argv[3] in ("mounted name", "outside") else (database, other)
with at_work(opened):
    if sys.argv[3] == "hidden":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(database.parent)], check=True)
    if sys.argv[3] == "outside":
        print("ready", flush=True)
        sys.stdin.read()
        sys.exit()
    try:
        print(rows_saved(saved, Path(sys.argv[5])), flush=True)
    except FarshoreError as error:
        print(error.code, flush=True)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="farshore-test-sqlite-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def in_namespace(place: Path, what: str) -> subprocess.Popen[str]:
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    (place / "app").mkdir()
    (place / "app" / "a.db").touch()
    out = place / "out"
    out.mkdir()
    root = str(Path(__file__).parents[2])
    arguments = [str(place / "app" / "a.db"), str(place / "m" / "a.db"), what, root, str(out)]
    return subprocess.Popen(
        [*unshare, sys.executable, "-c", IN_NAMESPACE, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "reported"), [("original name", "50\n"), ("mounted name", "50\n"), ("hidden", "source-unsupported\n")]
)
def test_database_mounted_as_a_single_file(place: Path, what: str, reported: str) -> None:
    """Trial D4: 50 rows at the source, none restored, rc 0."""
    process = in_namespace(place, what)
    assert process.communicate()[0] == reported


@pytest.mark.parametrize("what", ["read-only, at work", "read-only, log empty", "read-only, at rest"])
def test_directory_of_an_application_mounted_read_only(place: Path, what: str) -> None:
    """As a backup's container sees it: what nobody can write here somebody may write elsewhere."""
    assert in_namespace(place, what).communicate()[0] == "50\n"


def test_database_that_another_container_opened_by_another_name(place: Path) -> None:
    """Trial D4: neither links nor mounts can be seen from here; that it is open with no log here shows it."""
    process = in_namespace(place, "outside")
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(SourceUnsupported, match="open in WAL mode by another name") as caught:
            rows_saved(place / "app" / "a.db", place)
        assert "mount the directory" in caught.value.hint
    finally:
        process.communicate()  # sys.exit closes the database, which brings all rows into its file
    assert rows_saved(place / "app" / "a.db", place) == 50


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_hard_link_beside_the_name_in_use(place: Path, journal: str) -> None:
    """Trial D4."""
    database = place / "a.db"
    with at_work(database, journal=journal):
        os.link(database, place / "b.db")
        assert rows_saved(place / "b.db", place) == 50
        assert rows_saved(database, place) == 50
        assert not list(place.glob("b.db-*"))
    assert rows_saved(place / "b.db", place) == 50  # at rest


def test_hard_link_elsewhere_is_refused(place: Path) -> None:
    """Trial D4: the log may be beside a name that nobody sees from here."""
    (place / "elsewhere").mkdir()
    database = place / "a.db"
    with at_work(database):
        os.link(database, place / "elsewhere" / "b.db")
        with pytest.raises(SourceUnsupported, match="other names") as caught:
            rows_saved(place / "elsewhere" / "b.db", place)
        assert "name by which the application opens" in caught.value.hint
        assert rows_saved(database, place) == 50  # the name in use


def test_hot_journal_beside_another_name_is_seen(place: Path) -> None:
    """Trial D4: by the other name SQLite would take a half-written transaction for data."""
    database = place / "a.db"
    with at_work(database, rows=5000, journal="delete") as connection:
        os.link(database, place / "b.db")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE items SET id = id + 100000")
        journal = (place / "a.db-journal").read_bytes()
        half = database.read_bytes()
        connection.execute("ROLLBACK")
    database.write_bytes(half)
    (place / "a.db-journal").write_bytes(journal)
    reported = as_another_user(place / "own", lambda: rows_saved(place / "b.db", place / "own"))
    assert "middle of a transaction" in reported


def test_two_logs_of_one_database_are_refused(place: Path) -> None:
    database = place / "a.db"
    with at_work(database):
        os.link(database, place / "b.db")
        (place / "b.db-wal").write_bytes(b"something")
        with pytest.raises(SourceUnsupported, match="a log of their own"):
            rows_saved(database, place)


def test_symbolic_link_is_followed_to_the_log(place: Path) -> None:
    database = place / "a.db"
    (place / "links").mkdir()
    (place / "links" / "b.db").symlink_to(database)
    with at_work(database):
        assert rows_saved(place / "links" / "b.db", place) == 50


@contextlib.contextmanager
def closed_directory(place: Path) -> Iterator[Path]:
    """A directory with a database in WAL mode, in which the other user may read and not write."""
    directory = place / "app"
    directory.mkdir()
    with at_work(directory / "a.db"):
        pass
    assert sorted(path.name for path in directory.iterdir()) == ["a.db"]
    directory.chmod(0o555)
    try:
        yield directory
    finally:
        directory.chmod(0o755)


def test_database_at_rest_where_the_backup_may_not_write(place: Path) -> None:
    """Trial D7: reported as left in the middle of a transaction."""
    with closed_directory(place) as directory:
        before = (directory / "a.db").read_bytes()
        own = place / "own"
        assert as_another_user(own, lambda: rows_saved(directory / "a.db", own)) == "50"
        assert sorted(path.name for path in directory.iterdir()) == ["a.db"]
        assert (directory / "a.db").read_bytes() == before


def test_log_that_waits_where_the_backup_may_not_write(place: Path) -> None:
    """Trial D7: then the log is needed, and it says who may not write what."""
    with closed_directory(place) as directory:
        directory.chmod(0o755)
        with at_work(directory / "a.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("INSERT INTO items VALUES (NULL)")
            log = (directory / "a.db-wal").read_bytes()
        (directory / "a.db-wal").write_bytes(log)  # as a crash leaves it
        directory.chmod(0o555)
        own = place / "own"
        reported = as_another_user(own, lambda: rows_saved(directory / "a.db", own))
        assert reported.startswith("source-denied: ")
        assert "a.db-wal holds what was committed last" in reported
        assert str(directory) in reported
        (directory / "a.db-wal").chmod(0)
        reported = as_another_user(own, lambda: rows_saved(directory / "a.db", own))
        assert reported.startswith(f"source-denied: {directory / 'a.db-wal'} holds what was committed last")
        directory.chmod(0o755)
        (directory / "a.db-wal").unlink()


def test_database_that_is_opened_while_it_is_copied(place: Path) -> None:
    """Trial D7: what is read without a lock counts only if nobody came meanwhile."""
    with closed_directory(place) as directory:
        directory.chmod(0o755)
        with contextlib.closing(sqlite3.connect(directory / "a.db")) as connection:
            connection.execute("SELECT * FROM items").fetchone()
            own = place / "own"
            reported = as_another_user(own, lambda: find_rest(directory / "a.db"))
            assert reported == "None"
        rest = find_rest(directory / "a.db")
        assert rest is not None
        rest.check()
        os.utime(directory / "a.db", (1, 1))
        with pytest.raises(SourceChanged):
            rest.check()


def test_encrypted_database_with_a_plain_header_is_no_damage(place: Path) -> None:
    """Trial D10: SQLCipher leaves the first 32 bytes as they are, if asked; reported as damage to be repaired."""
    database = place / "a.db"
    with at_work(database, journal="delete"):
        pass
    pages = bytearray(database.read_bytes())
    pages[20] = 80  # each page has room for its seal
    pages[32:] = bytes(os.urandom(len(pages) - 32))
    pages[100] = 0x77
    database.write_bytes(pages)
    with pytest.raises(SourceUnsupported, match="encrypted behind a header"):
        rows_saved(database, place)
