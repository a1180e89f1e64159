"""A PostgreSQL backup that fails half way never becomes a snapshot, and every refusal says what to do. Real servers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.errors import (
    Bug,
    ConfigInvalid,
    FarshoreError,
    SourceChanged,
    SourceCorrupt,
    SourceDenied,
    SourceUnavailable,
    SourceUnsupported,
)
from farshore.sources.base import Capture, Item
from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import Proxy, postgres_source, query, read_item, read_until, take

SCALE = 5  # 75 MB: more than sockets and libpq can hold, so the server is still sending when a test interferes
PASSWORD = "correct-horse-battery"
MARKER = b"farshore-marker-"
HBA = """
host all,replication locked 127.0.0.1/32 scram-sha-256
host replication streamer 127.0.0.1/32 trust
host all streamer 127.0.0.1/32 reject
host replication shut_out 127.0.0.1/32 reject
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings={"max_wal_senders": "3", "max_replication_slots": "2", "fsync": "off"}) as running:
        running.load_pgbench(scale=SCALE)
        marked = f"SELECT n, repeat('{MARKER.decode()}', 8) || n AS body FROM generate_series(1, 1000) n"
        query(running.dsn(), f"CREATE TABLE marked AS {marked}")
        query(
            running.dsn(),
            f"""CREATE ROLE locked LOGIN REPLICATION PASSWORD '{PASSWORD}';
            CREATE ROLE streamer LOGIN REPLICATION;
            CREATE ROLE shut_out LOGIN REPLICATION;
            CREATE ROLE plain LOGIN""",
        )
        rules = running.data / "pg_hba.conf"
        rules.write_text(HBA + rules.read_text())
        query(running.dsn(), "SELECT pg_reload_conf()")
        yield running


def dsn_of(server: PostgresServer, user: str, password: str = "") -> str:
    return f"host=127.0.0.1 port={server.port} user={user} dbname=postgres" + (password and f" password={password}")


def walsender(server: PostgresServer) -> int:
    ((pid,),) = query(server.dsn(), "SELECT pid FROM pg_stat_replication WHERE state = 'backup'")
    return int(str(pid))


def read_all(items: Iterator[Item]) -> None:
    for item in items:
        read_item(item)


def assert_no_snapshot(capture: Capture, error: FarshoreError) -> None:
    with pytest.raises(type(error)) as again:
        capture.finish()
    assert again.value is error


def fail_half_way(
    server: PostgresServer,
    error: type[FarshoreError],
    interfere: Callable[[], object],
    *,
    silence_s: float = 30.0,
    match: str = ".",
    at: bytes = b"base/",
    user: str = "postgres",
) -> FarshoreError:
    """Read a capture up to some path, interfere, and read on: there is an error and no snapshot."""
    with postgres_source(dsn_of(server, user), silence_s=silence_s).capture() as capture:
        rest = read_until(capture, at)
        read_item(next(rest))
        interfere()
        with pytest.raises(error, match=match) as caught:
            read_all(rest)
        assert_no_snapshot(capture, caught.value)
    return caught.value


def test_killed_server(server: PostgresServer) -> None:
    assert fail_half_way(server, SourceUnavailable, server.kill).retryable
    server.start()
    take(postgres_source(server.dsn()))  # and the next run works


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_backend_ended_by_an_administrator(server: PostgresServer, function: str) -> None:
    fail_half_way(server, SourceUnavailable, lambda: query(server.dsn(), f"SELECT {function}({walsender(server)})"))


def test_silent_server(server: PostgresServer) -> None:
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(walsender(server))
        os.kill(stopped[0], signal.SIGSTOP)

    try:
        fail_half_way(server, SourceUnavailable, stop, silence_s=2.0, match="was silent for 2 s")
    finally:
        os.kill(stopped[0], signal.SIGCONT)


def test_slow_reader_is_not_taken_for_a_silent_server(server: PostgresServer) -> None:
    with postgres_source(server.dsn(), silence_s=1.0).capture() as capture:
        rest = read_until(capture, b"base/")
        read_item(next(rest))
        time.sleep(2.5)
        for item in rest:
            read_item(item)
        capture.finish()


def fail_on_the_way(proxy: Proxy, error: type[FarshoreError], match: str = ".") -> None:
    """Read a capture through a proxy: there is an error and no snapshot."""
    with postgres_source(f"host=127.0.0.1 port={proxy.port} user=postgres").capture() as capture:
        with pytest.raises(error, match=match) as caught:
            read_all(capture.items())
        assert_no_snapshot(capture, caught.value)


@pytest.mark.parametrize("cut_after", [200_000, 5_000_000, 40_000_000])
def test_connection_cut_in_the_middle(server: PostgresServer, cut_after: int) -> None:
    with Proxy(server.port, cut_after=cut_after) as proxy:
        fail_on_the_way(proxy, SourceUnavailable)


def test_byte_changed_on_the_way(server: PostgresServer) -> None:
    """The page's own checksum was right when the server looked; only the manifest shows it."""
    with Proxy(server.port, change=(MARKER + b"777", MARKER[:-1] + b"~777")) as proxy:
        fail_on_the_way(proxy, SourceCorrupt, "not as the server's manifest lists it")
        assert proxy.changed


def test_page_damaged_on_the_source_s_disk(server: PostgresServer) -> None:
    query(server.dsn(), "CHECKPOINT")
    ((relative,),) = query(server.dsn(), "SELECT pg_relation_filepath('marked')")
    path = server.data / str(relative)
    with path.open("r+b") as file:
        file.seek(8192 + 4000)
        sound = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([sound[0] ^ 1]))
    try:
        with postgres_source(server.dsn()).capture() as capture:
            with pytest.raises(SourceCorrupt, match=path.name) as caught:
                read_all(capture.items())
            assert_no_snapshot(capture, caught.value)
        assert not caught.value.retryable
    finally:
        with path.open("r+b") as file:
            file.seek(8192 + 4000)
            file.write(sound)
    take(postgres_source(server.dsn()))


@pytest.mark.parametrize(("at", "user"), [(b"backup_label", "streamer"), (b"global/pg_control", "postgres")])
def test_tablespace_created_meanwhile(server: PostgresServer, at: bytes, user: str) -> None:
    """Told by its link, and by SQL when the links have been sent already."""
    with tempfile.TemporaryDirectory(prefix="farshore-test-space-") as place:
        server.give(Path(place))
        create = f"CREATE TABLESPACE late LOCATION '{place}'"
        match = "tablespace was created"
        fail_half_way(server, SourceChanged, lambda: query(server.dsn(), create), match=match, at=at, user=user)
        query(server.dsn(), "DROP TABLESPACE late")


def test_wal_damaged_on_the_source_s_disk(server: PostgresServer) -> None:
    """The manifest lists no WAL, so nothing else would tell."""
    sound: list[tuple[Path, bytes]] = []

    def damage() -> None:
        ((name,),) = query(server.dsn(), "SELECT pg_walfile_name(pg_current_wal_lsn())")
        query(server.dsn(), "CREATE TABLE later AS SELECT n FROM generate_series(1, 10000) n")  # beyond the first page
        path = server.data / "pg_wal" / str(name)
        with path.open("r+b") as file:
            sound.append((path, file.read(16)))
            file.seek(8)
            file.write(b"\xff" * 8)

    try:
        fail_half_way(server, SourceCorrupt, damage, match="incomplete or holds something else")
    finally:
        query(server.dsn(), "DROP TABLE later")
        path, head = sound[0]
        with path.open("r+b") as file:
            file.write(head)


def test_content_must_be_read_in_line(server: PostgresServer) -> None:
    with postgres_source(server.dsn()).capture() as capture:
        items = capture.items()
        item = next(item for item in items if item.entry.size)  # which leaves its content where it is
        with pytest.raises(Bug, match="left unread"):
            next(items)
        with pytest.raises(Bug):
            capture.finish()
        assert item.entry.path == b"backup_label"
    with postgres_source(server.dsn()).capture() as capture:
        item = next(item for item in capture.items() if item.entry.size)
        read_item(item)
        with pytest.raises(Bug, match="once"):
            item.open()
        with pytest.raises(Bug, match="finished before"):
            capture.finish()


def test_wrong_password_is_denied_and_never_repeated(server: PostgresServer) -> None:
    with pytest.raises(SourceDenied) as caught:
        postgres_source(dsn_of(server, "locked", "wrong-" + PASSWORD)).check()
    assert "REPLICATION" in caught.value.hint
    assert PASSWORD not in str(caught.value) + caught.value.hint + repr(caught.value.__cause__)
    postgres_source(dsn_of(server, "locked", PASSWORD)).check()


@pytest.mark.parametrize("user", ["plain", "shut_out", "nobody_of_this_name", "locked"])
def test_role_that_may_not_replicate_is_denied(server: PostgresServer, user: str) -> None:
    for start in (postgres_source(dsn_of(server, user)).check, lambda: take(postgres_source(dsn_of(server, user)))):
        with pytest.raises(SourceDenied) as caught:
            start()
        assert "pg_hba.conf" in caught.value.hint


def test_role_that_may_only_replicate_is_enough(server: PostgresServer) -> None:
    taken = take(postgres_source(dsn_of(server, "streamer")))
    assert taken.facts["start_lsn"]
    assert "databases" not in taken.facts  # needs SQL


def test_all_senders_taken_is_passing(server: PostgresServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(postgres_source(server.dsn()).capture())
        with pytest.raises(SourceUnavailable) as caught:
            postgres_source(server.dsn()).check()
        assert caught.value.retryable


def test_no_slot_left_does_not_stop_a_backup(server: PostgresServer) -> None:
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            query(server.dsn(), f"SELECT pg_create_physical_replication_slot('{name}')")
            stack.callback(query, server.dsn(), f"SELECT pg_drop_replication_slot('{name}')")
        assert take(postgres_source(server.dsn())).facts["wal_kept_by"] == "nothing"


def test_server_without_replication_is_unsupported() -> None:
    settings = {"wal_level": "minimal", "max_wal_senders": "0", "summarize_wal": "off"}
    with PostgresServer(settings=settings) as server, pytest.raises(SourceUnsupported) as caught:
        postgres_source(server.dsn()).check()
    assert "wal_level = replica" in caught.value.hint


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with pytest.raises(SourceUnavailable):
        postgres_source(f"host=127.0.0.1 port={port} user=postgres").check()


@pytest.mark.parametrize("dsn", ["postgres hunter2", "host=h passwort=hunter2", "postgresql://u:hunter2@h:port/x"])
def test_dsn_that_cannot_be_read_is_not_quoted(dsn: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        postgres_source(dsn).check()
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__} {caught.value.__context__}"


@contextlib.contextmanager
def old_server(version: str) -> Iterator[int]:
    """A server of another time, as far as it takes: it lets everybody in, says its version, and nothing else."""

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4096)
                    said = b"".join(
                        b"S" + (4 + len(body)).to_bytes(4, "big") + body
                        for body in (b"server_version\0" + version.encode() + b"\0", b"client_encoding\0UTF8\0")
                    )
                    peer.sendall(b"R\0\0\0\x08\0\0\0\0" + said + b"Z\0\0\0\x05I")
                    peer.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_old_server_is_unsupported() -> None:
    with old_server("14.11") as port, pytest.raises(SourceUnsupported, match=r"PostgreSQL 14\.11 is too old") as caught:
        postgres_source(f"host=127.0.0.1 port={port} user=postgres sslmode=disable gssencmode=disable").check()
    assert "PostgreSQL 15" in caught.value.hint


def test_leaving_early_ends_the_backup_at_the_server(server: PostgresServer) -> None:
    with contextlib.suppress(KeyboardInterrupt), postgres_source(server.dsn()).capture() as capture:
        read_item(next(iter(capture.items())))
        raise KeyboardInterrupt
    _wait_until(lambda: query(server.dsn(), "SELECT count(*) FROM pg_stat_replication") == [(0,)])


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
