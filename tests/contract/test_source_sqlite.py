"""The SQLite source against real databases, real writers and real locks held by other processes."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import (
    FarshoreError,
    SourceCorrupt,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
    SourceUnsupported,
)
from farshore.model import Entry, EntryKind
from farshore.sources.base import Data, Source
from farshore.sources.sqlite.source import SqliteSource

PAGE_BYTES = 4096

# Runs in another process, says "ready" once it has begun, and ends when its input is closed.
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
connection.execute("UPDATE items SET body = body WHERE id = 1")
print("ready", flush=True)
sys.stdin.read()
"""
# Moves one unit between two rows for ever, so that the sum of all rows is the same after every transaction.
WRITER = """
import random, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
print("ready", flush=True)
count = connection.execute("SELECT count(*) FROM items").fetchone()[0]
while True:
    a, b = random.randrange(1, count + 1), random.randrange(1, count + 1)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE items SET units = units - 1 WHERE id = ?", (a,))
    connection.execute("UPDATE items SET units = units + 1 WHERE id = ?", (b,))
    connection.execute("COMMIT")
    time.sleep(0.002)
"""
# Leaves a transaction half written: pages are on disk, the journal is hot, the process is gone.
CRASHER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA cache_spill = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE items SET body = zeroblob(200)")
os.kill(os.getpid(), 9)
"""
# A whole capture in a process that is killed while it holds the copy.
KILLED = """
import os, sys
from pathlib import Path
from farshore.clock import SystemClock
from farshore.sources.sqlite.source import SqliteSource
with SqliteSource(name="ledger", path=Path(sys.argv[1]), clock=SystemClock()).capture():
    os.kill(os.getpid(), 9)
"""


@contextlib.contextmanager
def beside(script: str, database: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script in another process from when it is ready until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def make_database(path: Path, *, rows: int = 2000, journal: str = "wal") -> Path:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, units INTEGER NOT NULL, body BLOB)")
        connection.execute("CREATE INDEX items_units ON items (units, id)")
        connection.execute("BEGIN")
        source = random.Random(7)
        connection.executemany(
            "INSERT INTO items (units, body) VALUES (?, ?)", ((i % 97, source.randbytes(200)) for i in range(rows))
        )
        connection.execute("COMMIT")
    return path


def sqlite_source(path: Path, *, busy_s: float = 5.0) -> SqliteSource:
    return SqliteSource(name="ledger", path=path, clock=SystemClock(), busy_s=busy_s)


def take(source: Source) -> tuple[Entry, bytes, dict[str, str]]:
    """Walk a capture as the engine does and return the one file of it."""
    with source.capture() as capture:
        (item,) = list(capture.items())
        with item.open() as content:
            pieces = list(content.pieces())
            entry = content.settled()
        facts = capture.finish()
        assert capture.problems() == []
    data = b"".join(piece.data for piece in pieces if isinstance(piece, Data))
    assert entry == item.entry
    assert entry.size == len(data)
    return entry, data, facts


def rows_of(database: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT * FROM items ORDER BY id").fetchall()


def pages_of(data: bytes) -> list[bytes]:
    return [data[start : start + PAGE_BYTES] for start in range(0, len(data), PAGE_BYTES)]


@pytest.fixture(autouse=True)
def _temporary_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies go to a place of this test's own, so that what is left over can be seen."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))


@pytest.mark.parametrize("journal", ["wal", "delete", "truncate", "persist"])
def test_copy_opens_and_equals_the_original_row_for_row(tmp_path: Path, journal: str) -> None:
    database = make_database(tmp_path / "ledger.db", journal=journal)
    database.chmod(0o640)
    sqlite_source(database).check()
    entry, data, facts = take(sqlite_source(database))
    assert (entry.path, entry.kind, entry.mode) == (b"ledger.db", EntryKind.FILE, 0o640)
    assert (entry.uid, entry.gid) == (os.getuid(), os.getgid())
    assert entry.mtime_ns == database.stat().st_mtime_ns
    assert entry.page_bytes == PAGE_BYTES
    assert (entry.inode, entry.ctime_ns) == (0, 0)
    restored = tmp_path / "restored.db"
    restored.write_bytes(data)
    assert rows_of(restored) == rows_of(database)
    assert facts["journal_mode"] == ("wal" if journal == "wal" else "rollback")
    assert facts["integrity_check"] == "ok"
    assert facts["page_count"] == str(len(data) // PAGE_BYTES)
    assert facts["foreign_key_violations"] == "0"


def test_committed_rows_that_are_only_in_the_wal_are_in_the_copy(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=10)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as keeper:
        keeper.execute("PRAGMA wal_autocheckpoint = 0")
        keeper.execute("INSERT INTO items (units, body) VALUES (1, x'ff')")
        assert (tmp_path / "ledger.db-wal").stat().st_size > 0
        _, data, _ = take(sqlite_source(database))
    restored = tmp_path / "restored.db"
    restored.write_bytes(data)
    assert len(rows_of(restored)) == 11


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_copy_under_a_writer_is_quick_and_of_one_moment(tmp_path: Path, journal: str) -> None:
    database = make_database(tmp_path / "ledger.db", rows=20_000, journal=journal)
    total = sum(int(str(row[1])) for row in rows_of(database))
    clock = SystemClock()
    with beside(WRITER, database):
        started_s = clock.monotonic_s()
        copies = [take(sqlite_source(database, busy_s=30.0))[1] for _ in range(3)]
        took_s = clock.monotonic_s() - started_s
    for number, data in enumerate(copies):
        restored = tmp_path / f"restored{number}.db"
        restored.write_bytes(data)
        assert sum(int(str(row[1])) for row in rows_of(restored)) == total
    assert len(set(copies)) > 1  # the writer did write meanwhile
    assert took_s < 20.0  # three copies of 5 MB; copying page-wise would start again at every commit


def test_pages_keep_their_places_so_one_percent_stays_one_percent(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=20_000)
    before = pages_of(take(sqlite_source(database))[1])
    changed = len(before) // 100
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        ids = random.Random(3).sample(range(1, 20_001), changed)
        connection.executemany("UPDATE items SET body = zeroblob(200) WHERE id = ?", [(i,) for i in ids])
    after = pages_of(take(sqlite_source(database))[1])
    assert len(after) == len(before)
    different = sum(a != b for a, b in zip(before, after, strict=True))
    assert 0 < different <= changed + 2  # the pages of the rows, and the header


def test_copies_of_the_same_state_are_the_same_bytes(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db")
    assert take(sqlite_source(database))[1] == take(sqlite_source(database))[1]


def test_source_is_not_written(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", journal="delete")
    before = (database.read_bytes(), database.stat().st_mtime_ns, sorted(p.name for p in tmp_path.iterdir()))
    take(sqlite_source(database))
    assert (database.read_bytes(), database.stat().st_mtime_ns, sorted(p.name for p in tmp_path.iterdir())) == before


def test_name_that_is_not_text_is_kept(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a \xff?#%.db"))
    make_database(tmp_path / "plain.db", journal="delete").rename(odd)
    assert take(sqlite_source(odd))[0].path == b"a \xff?#%.db"


def test_broken_foreign_keys_and_constraints_are_facts(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE owners (item INTEGER REFERENCES items (id), age INTEGER CHECK (age > 0))")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO owners VALUES (99, 1), (98, 1), (1, -5)")
    _, _, facts = take(sqlite_source(database))
    assert facts["foreign_key_violations"] == "2"
    assert facts["constraint_violations"] == "1"


def test_database_without_a_table_is_a_database(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 7")
    facts = take(sqlite_source(database))[2]
    assert (facts["schema_objects"], facts["user_version"], facts["page_count"]) == ("0", "7", "1")


def test_what_only_the_application_can_compare_cannot_be_checked(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5, journal="delete")
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.create_collation("house", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE names (name TEXT COLLATE house)")
        connection.execute("INSERT INTO names VALUES ('b'), ('a')")
        connection.execute("CREATE INDEX names_name ON names (name)")
    with pytest.raises(SourceUnsupported, match="house"):
        take(sqlite_source(database))


def damage_a_leaf(database: Path) -> None:
    """Overwrite the middle of a page of the table."""
    with database.open("r+b") as file:
        file.seek(30 * PAGE_BYTES)
        file.write(b"\x0d" + bytes(7) + b"\xff" * 2000)


def change_an_index_entry(database: Path) -> None:
    """Make an index hold another value than its table: `quick_check` does not look for that."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.executemany("INSERT INTO words VALUES (?)", [("needle-1",), ("needle-5",), ("needle-9",)])
        connection.execute("CREATE INDEX words_word ON words (word)")
    data = database.read_bytes()
    assert data.count(b"needle-5") == 2  # in the table, and behind it in the index
    with database.open("r+b") as file:
        file.seek(data.rindex(b"needle-5"))
        file.write(b"needle-6")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


def cut_the_end(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(20 * PAGE_BYTES)


def cut_within_the_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(60)


def empty(database: Path) -> None:
    database.write_bytes(b"")


def zero_the_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(bytes(PAGE_BYTES))


@pytest.mark.parametrize("damage", [damage_a_leaf, change_an_index_entry, cut_the_end, empty, zero_the_header])
def test_damage_is_found_and_nothing_is_offered(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    database = make_database(tmp_path / "ledger.db", journal="delete")
    damage(database)
    with pytest.raises(SourceCorrupt), sqlite_source(database).capture():
        pytest.fail("a damaged database was offered")
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("content", [os.urandom(8192), b"hello", b"SQLite format 3"])
def test_what_is_no_database_is_unsupported(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "ledger.db"
    database.write_bytes(content)
    for start in (sqlite_source(database).check, lambda: take(sqlite_source(database))):
        with pytest.raises(SourceUnsupported, match="not an SQLite 3 database, or it is encrypted"):
            start()


def test_header_alone_is_an_error(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", journal="delete")
    cut_within_the_header(database)
    with pytest.raises((SourceCorrupt, SourceUnsupported)):
        take(sqlite_source(database))


def test_missing_and_wrong_kinds_of_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "none.db", tmp_path / "file" / "below.db"):
        with pytest.raises(SourceMissing):
            sqlite_source(path).check()
    assert not (tmp_path / "none.db").exists()  # SQLite would have made it
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SourceUnsupported, match="not a regular file"):
            sqlite_source(path).check()


def test_exclusive_lock_of_another_process_is_unavailable_after_the_wait(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=10, journal="delete")
    with beside(HOLDER, database):
        for start in (sqlite_source(database, busy_s=0.3).check, lambda: take(sqlite_source(database, busy_s=0.3))):
            with pytest.raises(SourceUnavailable, match="locked by another process") as caught:
                start()
            assert caught.value.retryable
    take(sqlite_source(database))  # and when the lock is gone, so is the trouble


def test_half_written_transaction_is_never_taken_for_data(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5000, journal="delete")
    before = rows_of(database)
    subprocess.run([sys.executable, "-c", CRASHER, str(database)], check=False)
    assert (tmp_path / "ledger.db-journal").stat().st_size > 0
    hot = database.read_bytes()
    with pytest.raises(SourceUnavailable, match="middle of a transaction") as caught:
        take(sqlite_source(database))
    assert "rolls" in caught.value.hint
    assert database.read_bytes() == hot
    assert rows_of(database) == before  # opened by its application, which rolls it back
    take(sqlite_source(database))


def test_unreadable_file_is_denied(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5, journal="delete")
    tmp_path.chmod(0o755)
    database.chmod(0)
    report = tmp_path / "report"
    child = os.fork()
    if child == 0:  # root may read everything, so ask as somebody else
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            sqlite_source(database).check()
        except FarshoreError as error:
            os._exit(error.exit_code)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == SourceDenied.exit_code
    assert not report.exists()


def test_copy_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5)
    place = tmp_path / "temporary"
    with sqlite_source(database).capture() as capture:
        (held,) = place.iterdir()
        assert held.stat().st_mode & 0o777 == 0o700
        take(sqlite_source(database))  # a second one beside it does not remove the first
        assert list(place.iterdir()) == [held]
        (item,) = capture.items()
        with item.open() as content:
            assert sum(len(piece.data) for piece in content.pieces() if isinstance(piece, Data)) == item.entry.size
    assert list(place.iterdir()) == []


def test_copy_that_is_lost_or_left_unread_is_no_snapshot(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=500)
    with sqlite_source(database).capture() as capture:
        (item,) = capture.items()
        with pytest.raises(SourceUnavailable, match="not read to its end"):
            capture.finish()
        with item.open() as content, pytest.raises(SourceUnavailable, match="changed"):
            content.settled()
        for left in (tmp_path / "temporary").glob("*/copy"):  # as a cleaner of temporary files would
            left.unlink()
        with pytest.raises(SourceUnavailable, match="cannot be read"):
            item.open()
        with pytest.raises(SourceUnavailable, match="not read to its end"):
            capture.finish()


def test_copy_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    database = make_database(tmp_path / "ledger.db", rows=5)
    place = tmp_path / "temporary"
    environment = os.environ | {"TMPDIR": str(place)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(database)], env=environment, check=False)
    assert done.returncode == -9
    assert len(list(place.iterdir())) == 1
    take(sqlite_source(database))
    assert list(place.iterdir()) == []
