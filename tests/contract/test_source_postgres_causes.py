"""What is wrong with a cluster, or with its server, is reported as what it is: the file, the setting, what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

from farshore.clock import SystemClock
from farshore.errors import SourceChanged, SourceCorrupt, SourceDenied, SourceUnavailable, SourceUnsupported
from farshore.sources.base import Item
from farshore.sources.postgres.connection import ReplicationSession, Server
from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import VERSIONS, postgres_source, query, read_item, read_until, take

SETTINGS = {"fsync": "off", "max_slot_wal_keep_size": "64MB", "tcp_user_timeout": "1000"}
HBA = """
host replication streamer 127.0.0.1/32 trust
host all streamer 127.0.0.1/32 reject
"""


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS, **VERSIONS[request.param]) as running:
        query(
            running.dsn(),
            """CREATE ROLE plain LOGIN REPLICATION; CREATE ROLE streamer LOGIN REPLICATION;
            CREATE TABLE t AS SELECT n FROM generate_series(1, 3000) n;
            CREATE TABLE big AS SELECT n, repeat(md5(n::text), 30) AS body FROM generate_series(1, 60000) n;
            CHECKPOINT""",
        )
        rules = running.data / "pg_hba.conf"
        rules.write_text(HBA + rules.read_text())
        query(running.dsn(), "SELECT pg_reload_conf()")
        yield running


def dsn_of(server: PostgresServer, user: str) -> str:
    return server.dsn().replace("postgres@", f"{user}@")


@contextlib.contextmanager
def cut(server: PostgresServer, relation: str = "t") -> Iterator[str]:
    ((name,),) = query(server.dsn(), f"SELECT pg_relation_filepath('{relation}')")
    path = server.data / str(name)
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 4000)
    try:
        yield str(name)
    finally:
        with path.open("r+b") as file:
            file.write(whole)


def read_all(items: Iterator[Item]) -> None:
    for item in items:
        read_item(item)


@pytest.mark.parametrize("user", ["postgres", "plain"])
def test_relation_that_ends_within_a_page_is_damaged(server: PostgresServer, user: str) -> None:
    """Trial D6: it became a snapshot."""
    with cut(server) as name, pytest.raises(SourceCorrupt, match=f"'{name}' has .* no multiple of a page") as caught:
        take(postgres_source(dsn_of(server, user)))
    assert "VACUUM FULL" in caught.value.hint


def test_relation_of_another_kind_and_place_that_ends_within_a_page(server: PostgresServer) -> None:
    with cut(server, "pg_shdescription") as name, pytest.raises(SourceCorrupt, match=f"'{name}'"):
        take(postgres_source(dsn_of(server, "plain")))


def test_role_that_cannot_look_again_does_not_judge(server: PostgresServer) -> None:
    with cut(server), pytest.raises(SourceChanged, match="no multiple of a page") as caught:
        take(postgres_source(dsn_of(server, "streamer")))
    assert "damaged" in caught.value.hint
    assert caught.value.retryable


def test_file_that_is_just_made_longer_is_whole(server: PostgresServer) -> None:
    """The size that the server sent is of a moment; the second look decides, and the log has the page."""
    with cut(server) as name, postgres_source(server.dsn()).capture() as capture:
        rest = read_until(capture, name.encode())
        read_item(next(rest))
        path = server.data / name
        os.truncate(path, path.stat().st_size + 4000)
        for item in rest:
            read_item(item)
        capture.finish()
        assert not any(problem.matters for problem in capture.problems())


def test_unreadable_file_is_named_and_nobody_s_role(server: PostgresServer) -> None:
    """Trial D8: the hint was about REPLICATION and passwords."""
    path = server.data / "server.key.bak"
    path.touch(mode=0o600)
    try:
        path.chmod(0)
        with pytest.raises(SourceDenied, match=r"server\.key\.bak") as caught:
            take(postgres_source(server.dsn()))
    finally:
        path.unlink()
    assert "chown" in caught.value.hint
    assert "REPLICATION" not in caught.value.hint


def test_name_that_tar_cannot_hold_is_named(server: PostgresServer) -> None:
    """Trial D8: reported as passing trouble."""
    path = server.data / ("n" * 120)
    path.touch()
    server.give(path)
    try:
        with pytest.raises(SourceUnsupported, match="n" * 120) as caught:
            take(postgres_source(server.dsn()))
    finally:
        path.unlink()
    assert "100 bytes" in caught.value.hint


def test_stray_names_among_tablespaces_are_left_out_and_reported(server: PostgresServer) -> None:
    """Trial D10: reported as damage of the source."""
    stray, directory = server.data / "pg_tblspc" / "old-link", server.data / "pg_tblspc" / "notes"
    stray.symlink_to("/tmp")
    directory.mkdir()
    (directory / "readme").write_text("moved")
    for path in (directory, directory / "readme"):
        server.give(path)
    try:
        taken = take(postgres_source(server.dsn()))
    finally:
        stray.unlink()
        shutil.rmtree(directory)
    assert [(one.path, one.code, one.matters) for one in taken.problems] == [
        (b"pg_tblspc/old-link", "unsupported", False)
    ]
    assert b"pg_tblspc/notes/readme" in taken.entries
    assert b"pg_tblspc/old-link" not in taken.entries


def test_slot_that_may_not_keep_enough_is_the_cause(server: PostgresServer) -> None:
    """Trial D10: reported as a server that terminated abnormally, with a hint about credentials."""
    with postgres_source(server.dsn()).capture() as capture:
        rest = read_until(capture, b"base/")
        read_item(next(rest))
        query(
            server.dsn(),
            "CREATE TABLE filler AS SELECT repeat(md5(n::text), 30) AS b FROM generate_series(1, 200000) n",
        )
        query(server.dsn(), "DROP TABLE filler")
        query(server.dsn(), "SELECT pg_switch_wal()")
        query(server.dsn(), "CHECKPOINT")
        with pytest.raises(SourceUnavailable, match="max_slot_wal_keep_size lets it keep 64 MiB") as caught:
            read_all(rest)
        with pytest.raises(SourceUnavailable):
            capture.finish()
    assert "max_slot_wal_keep_size" in caught.value.hint
    assert "credentials" not in caught.value.hint


def test_time_out_of_unread_data_does_not_hold_for_a_backup(server: PostgresServer) -> None:
    """Trial D10: a server's tcp_user_timeout ended the stream whenever replicas were slow."""
    with ReplicationSession(server=Server(source="shop", dsn=server.dsn()), clock=SystemClock()) as session:
        assert session.run("SHOW tcp_user_timeout") == [("0",)]


def test_server_that_went_away_is_no_matter_of_credentials() -> None:
    with PostgresServer(settings={"fsync": "off"}) as server:
        query(
            server.dsn(),
            "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 60000) n; CHECKPOINT",
        )
        with postgres_source(server.dsn()).capture() as capture:
            rest = read_until(capture, b"base/")
            read_item(next(rest))
            server.kill()
            with pytest.raises(SourceUnavailable, match="closed") as caught:
                read_all(rest)
    assert "stopped" in caught.value.hint
    assert "credentials" not in caught.value.hint
