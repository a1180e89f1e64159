"""A cluster of which the server leaves a file out is no snapshot, whoever keeps it from saying so (Trial D1)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import SourceFileLeftOut, SourceUnsupported
from farshore.sources.postgres.connection import ReplicationSession, Server
from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import SYSTEM_PROGRAMS, Proxy, postgres_source, query, take

SILENT = "client_min_messages=error"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings={"fsync": "off"}) as running:
        query(running.dsn(), "CREATE ROLE streamer LOGIN REPLICATION; CREATE ROLE other LOGIN REPLICATION")
        running.create_database("shop")
        query(running.dsn("shop"), "CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n")
        query(running.dsn(), "CHECKPOINT")
        yield running


@contextlib.contextmanager
def moved(server: PostgresServer, name: str) -> Iterator[None]:
    """Move something of the data directory to another place, with a symbolic link in its own."""
    with tempfile.TemporaryDirectory(prefix="farshore-test-elsewhere-") as place:
        Path(place).chmod(0o755)
        original, elsewhere = server.data / name, Path(place) / "it"
        shutil.move(original, elsewhere)
        original.symlink_to(elsewhere)
        try:
            yield
        finally:
            original.unlink()
            shutil.move(elsewhere, original)


def directory_of(server: PostgresServer, database: str = "shop") -> str:
    ((oid,),) = query(server.dsn(), f"SELECT oid::text FROM pg_database WHERE datname = '{database}'")
    return f"base/{oid}"


def assert_left_out(dsn: str, path: str) -> None:
    with pytest.raises(SourceFileLeftOut, match=f"'{path}'") as caught:
        take(postgres_source(dsn))
    assert not caught.value.retryable
    assert "tablespace" in caught.value.hint


@contextlib.contextmanager
def silent_server(server: PostgresServer) -> Iterator[None]:
    query(server.dsn(), f"ALTER SYSTEM SET {SILENT}")
    query(server.dsn(), "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        query(server.dsn(), "ALTER SYSTEM RESET client_min_messages")
        query(server.dsn(), "SELECT pg_reload_conf()")


def test_database_behind_a_link_is_no_snapshot(server: PostgresServer) -> None:
    path = directory_of(server)
    with moved(server, path):
        assert query(server.dsn("shop"), "SELECT count(*) FROM orders") == [(1000,)]
        assert_left_out(server.dsn(), path)
        assert_left_out(f"host=127.0.0.1 port={server.port} user=streamer dbname=nowhere", path)
    assert f"{path}/PG_VERSION".encode() in take(postgres_source(server.dsn())).entries


@pytest.mark.parametrize("name", ["global/1262", "pg_xact", "pg_multixact/members"])
def test_any_file_of_the_cluster_itself_counts(server: PostgresServer, name: str) -> None:
    with moved(server, name):
        assert_left_out(server.dsn(), name)


def test_table_behind_a_link_is_no_snapshot(server: PostgresServer) -> None:
    ((path,),) = query(server.dsn("shop"), "SELECT pg_relation_filepath('orders')")
    with moved(server, str(path)):
        assert_left_out(server.dsn(), str(path))


@pytest.mark.parametrize(
    "setter", ["system", "role", "dsn", "PGOPTIONS", "PGCLIENTENCODING", "PGSERVICE", "dsn names a service"]
)
def test_no_setting_keeps_it_silent(
    server: PostgresServer, setter: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Trial D1: each of these kept the server's warnings from being seen, or could."""
    path = directory_of(server)
    dsn = server.dsn()
    with contextlib.ExitStack() as stack:
        stack.enter_context(moved(server, path))
        match setter:
            case "system":
                stack.enter_context(silent_server(server))
            case "role":
                query(dsn, f"ALTER ROLE other SET {SILENT}; ALTER ROLE other SET statement_timeout = '1ms'")
                dsn = dsn.replace("postgres@", "other@")
            case "dsn":
                dsn += f"?options=-c%20{SILENT.replace('=', '%3D')}"
            case "PGOPTIONS":
                monkeypatch.setenv("PGOPTIONS", f"-c {SILENT}")
            case "PGCLIENTENCODING":
                monkeypatch.setenv("PGCLIENTENCODING", "EUC_JP")
            case _:
                services = tmp_path / "services"
                services.write_text(f"[quiet]\noptions=-c {SILENT}\nclient_encoding=LATIN1\nreplication=true\n")
                monkeypatch.setenv("PGSERVICEFILE", str(services))
                if setter == "PGSERVICE":
                    monkeypatch.setenv("PGSERVICE", "quiet")
                else:
                    dsn += "?service=quiet"
        assert_left_out(dsn, path)


@pytest.mark.parametrize(
    "setting", ["statement_timeout=1ms", "default_transaction_isolation=serializable", "lock_timeout=1ms"]
)
def test_settings_that_would_end_a_backup_do_not_hold_for_it(server: PostgresServer, setting: str) -> None:
    name, _, value = setting.partition("=")
    query(server.dsn(), f"ALTER SYSTEM SET {name} = '{value}'")
    query(server.dsn(), "SELECT pg_reload_conf()")
    try:
        taken = take(postgres_source(server.dsn()))
    finally:
        query(server.dsn() + "?options=-c%20statement_timeout%3D0", f"ALTER SYSTEM RESET {name}")
        query(server.dsn() + "?options=-c%20statement_timeout%3D0", "SELECT pg_reload_conf()")
    assert taken.facts["databases"]


def test_all_connections_go_to_the_host_that_was_reached(
    server: PostgresServer, postgres_server: PostgresServer
) -> None:
    """Facts of another server, and databases missing that are there, if each connection chose anew."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        closed = once.getsockname()[1]
    ports = f"{closed},{server.port},{postgres_server.port}"
    dsn = f"host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} user=postgres"
    with ReplicationSession(server=(reached := Server(source="shop", dsn=dsn)), clock=SystemClock()):
        for _ in range(3):
            with reached.connect(replication=False) as connection:
                assert connection.info.port == server.port
                assert connection.info.dbname == "postgres"


def test_catalog_tells_where_no_warning_is_understood(server: PostgresServer) -> None:
    """Trial D1: not by the warning alone."""
    with moved(server, directory_of(server)), Proxy(server.port, change=(b"RsendDir\0", b"Rsomedir\0")) as proxy:
        with pytest.raises(SourceFileLeftOut, match=f"nothing of the database in {directory_of(server)}"):
            take(postgres_source(f"host=127.0.0.1 port={proxy.port} user=postgres"))
        assert proxy.changed


def test_session_that_is_not_as_it_was_set_is_refused(server: PostgresServer) -> None:
    """As a connection pool may make it."""
    change = (b"\0\0\0\x07warning", b"\0\0\0\x07fatally")
    with (
        Proxy(server.port, change=change) as proxy,
        pytest.raises(SourceUnsupported, match="client_min_messages is fatally") as caught,
    ):
        postgres_source(f"host=127.0.0.1 port={proxy.port} user=postgres").check()
    assert "pool" in caught.value.hint


@pytest.mark.parametrize(("name", "reported"), [("log", False), (".s.PGSQL.1", False), ("archive", True)])
def test_what_is_no_part_of_a_cluster_is_reported_as_what_it_is(
    server: PostgresServer, name: str, reported: bool
) -> None:
    """Trial D10: a linked log directory warned for ever with the words of a lost database."""
    link = server.data / name
    link.symlink_to("/tmp")
    try:
        problems = take(postgres_source(server.dsn())).problems
    finally:
        link.unlink()
    assert [(problem.path, problem.code) for problem in problems] == (
        [(name.encode(), "unsupported")] if reported else []
    )


def test_warning_in_another_language_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trial D1: by the name of the server's function, and the path in it."""
    monkeypatch.setenv("LANGUAGE", "de")
    with PostgresServer(programs=SYSTEM_PROGRAMS, settings={"fsync": "off", "lc_messages": "C.UTF-8"}) as server:
        server.create_database("shop")
        query(server.dsn("shop"), "CREATE TABLE orders AS SELECT 1")
        path = directory_of(server)
        with moved(server, path):
            assert_left_out(server.dsn(), path)
        assert "besondere Datei" in server.log_path.read_text() or "WARNUNG" in server.log_path.read_text()
