"""Databases that a restore must not write into: those that run, are locked, or are others."""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from farshore.errors import TargetForbidden
from farshore.ops.restore.delta.guards import check_postgres, check_sqlite
from farshore.sources.sqlite.source import SqliteSource
from tests.contract.delta_trees import Shelter

FACTS = {"system_identifier": "7123456789012345678"}
_HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    database.execute(statement)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """What a stopped server leaves."""
    path = tmp_path / "data"
    (path / "global").mkdir(parents=True)
    (path / "global/pg_control").write_bytes(struct.pack("=Q", int(FACTS["system_identifier"])) + bytes(8000))
    return path


@contextmanager
def held(path: Path, *statements: str) -> Iterator[None]:
    """Have another process use an SQLite database."""
    command = [sys.executable, "-c", _HOLD, str(path), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.communicate()


def test_a_stopped_cluster_may_be_restored_into_with_delete_and_whole(cluster: Path) -> None:
    check_postgres(cluster, FACTS, delete=True, selected=False)
    with pytest.raises(TargetForbidden, match="another moment"):
        check_postgres(cluster, FACTS, delete=False, selected=False)
    with pytest.raises(TargetForbidden, match="no cluster"):
        check_postgres(cluster, FACTS, delete=True, selected=True)


def test_a_new_directory_needs_no_delete(tmp_path: Path) -> None:
    check_postgres(tmp_path / "new", FACTS, delete=False, selected=False)


def test_a_directory_of_something_else_is_never_cleared_for_a_cluster(tmp_path: Path) -> None:
    (tmp_path / ".farshore-restoring-0123456789abcdef0123456789abcdef").touch()  # of a killed run
    check_postgres(tmp_path, FACTS, delete=True, selected=False)
    (tmp_path / "letters").mkdir()
    with pytest.raises(TargetForbidden, match="has 1 name in it and is no PostgreSQL data directory"):
        check_postgres(tmp_path, FACTS, delete=True, selected=False)
    (tmp_path / "PG_VERSION").write_text("18\n")  # a restore that was killed
    check_postgres(tmp_path, FACTS, delete=True, selected=False)


def test_another_cluster_is_refused(cluster: Path) -> None:
    with pytest.raises(TargetForbidden, match="another PostgreSQL cluster"):
        check_postgres(cluster, {"system_identifier": "7"}, delete=True, selected=False)


def test_a_running_server_is_refused_and_what_a_crash_left_is_not(cluster: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=cluster) as process:
        (cluster / "postmaster.pid").write_text(f"{process.pid}\n{cluster}\n")
        try:
            with pytest.raises(TargetForbidden, match=f"process {process.pid}"):
                check_postgres(cluster, FACTS, delete=True, selected=False)
        finally:
            process.kill()
    check_postgres(cluster, FACTS, delete=True, selected=False)
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:  # its number was given to something else
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n")
        check_postgres(cluster, FACTS, delete=True, selected=False)
        other.kill()


def test_a_server_whose_number_is_another_one_in_its_container_is_found_by_its_directory(
    cluster: Path, tmp_path: Path
) -> None:
    server = tmp_path / "postgres"
    server.write_bytes(Path("/bin/sleep").read_bytes())
    server.chmod(0o755)
    (cluster / "postmaster.pid").write_text("1\n")
    with subprocess.Popen([server, "60"], cwd=cluster) as process:
        try:
            with pytest.raises(TargetForbidden, match="running"):
                check_postgres(cluster, FACTS, delete=True, selected=False)
        finally:
            process.kill()


@pytest.mark.parametrize(
    "statements",
    [("BEGIN IMMEDIATE",), ("PRAGMA journal_mode=WAL", "SELECT * FROM t"), ()],
    ids=["transaction", "wal", "open"],
)
def test_an_sqlite_database_in_use_is_refused(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
    check_sqlite(tmp_path, ["a.db"])
    with held(path, *statements), pytest.raises(TargetForbidden, match="in use"):
        check_sqlite(tmp_path, ["a.db"])
    check_sqlite(tmp_path, ["a.db", "absent.db"])


def test_what_sqlite_left_beside_the_old_database_never_meets_the_new_one(tmp_path: Path) -> None:
    shelter = Shelter(tmp_path)
    path = shelter.source / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES ('good')")
    shelter.snapshot_id = shelter.engine.backup(
        SqliteSource(name="db", path=path, clock=shelter.engine.clock)
    ).snapshot_id
    target = tmp_path / "target"
    shelter.restore(target)
    with closing(sqlite3.connect(target / "a.db", isolation_level=None)) as database:
        database.execute("UPDATE t SET x = 'bad'")
        wal = (target / "a.db-wal").read_bytes()
        later = (target / "a.db").read_bytes()
    (target / "a.db").write_bytes(later)
    (target / "a.db-wal").write_bytes(wal)  # as a killed application leaves it
    (target / "notes").write_text("mine")
    result = shelter.restore(target)
    assert not result.problems
    assert sorted(os.listdir(target)) == ["a.db", "notes"]
    with closing(sqlite3.connect(target / "a.db")) as database:
        assert database.execute("SELECT x FROM t").fetchall() == [("good",)]
