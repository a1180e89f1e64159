"""What is restored of a cluster starts: directories belong to the data directory's owner, and none is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import VERSIONS, postgres_source, query, read_item, read_until, rows_of, take

QUICK = {"fsync": "off"}


@contextlib.contextmanager
def place_for(server: PostgresServer) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farshore-test-owners-") as place:
        os.chmod(place, 0o755)
        server.give(Path(place))
        yield Path(place)


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(settings=QUICK, **VERSIONS[request.param]) as running:
        yield running


def make_root_owned_links(server: PostgresServer, place: Path) -> None:
    """Move pg_wal to another place and have root make the links to it and to a tablespace."""
    (place / "space").mkdir()
    server.give(place / "space")
    query(server.dsn(), f"CREATE TABLESPACE extra LOCATION '{place / 'space'}'")
    query(
        server.dsn(),
        "CREATE TABLE t (id int PRIMARY KEY) TABLESPACE extra; INSERT INTO t SELECT generate_series(1, 5000)",
    )
    server.stop()
    (link,) = (server.data / "pg_tblspc").iterdir()
    for made in (link, server.data / "pg_wal"):
        if made.is_symlink():
            goal = Path(os.readlink(made))
            made.unlink()
        else:
            goal = place / "wal"
            shutil.move(made, goal)
        made.symlink_to(goal)  # by the user of this test
    server.start()


def test_directories_belong_to_the_owner_of_the_data_directory(server: PostgresServer) -> None:
    """Trial D2: pg_wal, and a tablespace's link, made by root were restored as root's."""
    with place_for(server) as place:
        make_root_owned_links(server, place)
        taken = take(postgres_source(server.dsn()), place / "restored")
        owner = (os.stat(server.data).st_uid, os.stat(server.data).st_gid)
        assert {(entry.uid, entry.gid) for entry in taken.entries.values()} == {owner}
        start_and_compare(place / "restored", server)


def start_and_compare(directory: Path, server: PostgresServer) -> None:
    """Start what was restored as it is, owners included; index and table agree."""
    expected = rows_of(server.dsn())
    owners = {path: (path.lstat().st_uid, path.lstat().st_gid) for path in (directory, *directory.rglob("*"))}
    assert len(set(owners.values())) == 1
    with PostgresServer(data=directory, programs=server.programs, settings=QUICK) as copy:
        assert rows_of(copy.dsn()) == expected
        for table in expected:
            assert counts_agree(copy.dsn(), table)


def counts_agree(dsn: str, table: str) -> bool:
    """Return whether an index-only scan and a sequential scan count as many rows."""
    counts = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for off in ("seqscan", "indexscan, indexonlyscan, bitmapscan"):
            for name in off.split(", "):
                connection.execute(f"SET enable_{name} = off".encode())
            counts.append(connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone())
            connection.execute(b"RESET ALL")
    return counts[0] == counts[1]


def test_tablespace_dropped_while_its_files_are_sent(server: PostgresServer) -> None:
    """Trial D3: files came without the entry of their directory."""
    with place_for(server) as place:
        (place / "space").mkdir()
        server.give(place / "space")
        query(server.dsn(), f"CREATE TABLESPACE extra LOCATION '{place / 'space'}'")
        query(
            server.dsn(),
            """CREATE TABLE big (id int PRIMARY KEY, body text) TABLESPACE extra;
            INSERT INTO big SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 60000) n;
            CREATE TABLE small TABLESPACE extra AS SELECT 1 AS a; CHECKPOINT""",
        )
        directory = place / "restored"
        with postgres_source(server.dsn()).capture() as capture:
            rest = read_until(capture, b"pg_tblspc/", directory)
            read_item(next(rest), directory)
            for table in ("big", "small"):
                query(server.dsn(), f"ALTER TABLE {table} SET TABLESPACE pg_default")
            query(server.dsn(), "CHECKPOINT")
            query(server.dsn(), "DROP TABLESPACE extra")
            paths = []
            for item in rest:
                paths.append(item.entry.path)
                read_item(item, directory)
            capture.finish()
        assert paths[0].startswith(b"pg_tblspc/")
        made = [path for path in paths if path.startswith(b"pg_tblspc/") and path.count(b"/") == 1]
        assert len(made) == 1  # the directory itself came from nobody
        start_and_compare(directory, server)
