"""The small pure rules of the PostgreSQL source: paths, sizes, versions, and what answers mean."""

from __future__ import annotations

import pytest

from farshore.errors import FarshoreError, SourceCorrupt, SourceDenied, SourceUnavailable, SourceUnsupported
from farshore.sources.postgres.errors import error_of_answer, error_of_connecting, redact
from farshore.sources.postgres.facts import decode_size, incremental_safety
from farshore.sources.postgres.layout import archive_prefix, clean_path, page_bytes_of, tablespace_of_link


@pytest.mark.parametrize(
    ("path", "paged"),
    [
        (b"base/5/1259", True),
        (b"base/5/1259.1", True),
        (b"base/5/1259_fsm", True),
        (b"base/5/1259_vm.2", True),
        (b"base/5/16400_init", True),
        (b"global/1262", True),
        (b"pg_tblspc/16385/PG_18_202506291/5/16400", True),
        (b"global/pg_control", False),
        (b"global/pg_filenode.map", False),
        (b"base/5/PG_VERSION", False),
        (b"base/5/pg_internal.init", False),
        (b"base/5/t3_16400", False),
        (b"base/5/1259_odd", False),
        (b"pg_wal/000000010000000000000001", False),
        (b"pg_xact/0000", False),
        (b"1259", False),
        (b"elsewhere/base/5/1259", False),
    ],
)
def test_relation_files_are_cut_by_page(path: bytes, paged: bool) -> None:
    assert page_bytes_of(path, 8192) == (8192 if paged else 0)


@pytest.mark.parametrize(
    ("name", "path"),
    [(b"./pg_wal/archive_status/", b"pg_wal/archive_status"), (b"base/5/", b"base/5"), (b"odd\xff", b"odd\xff")],
)
def test_names_are_relative_paths(name: bytes, path: bytes) -> None:
    assert clean_path(name) == path


@pytest.mark.parametrize("name", [b"", b".", b"./", b"/etc/passwd", b"../x", b"base/../../x", b"base//5"])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        clean_path(name)


def test_archives_and_links_of_tablespaces() -> None:
    assert archive_prefix("base.tar") == b""
    assert archive_prefix("16385.tar") == b"pg_tblspc/16385/"
    assert tablespace_of_link(b"pg_tblspc/16385") == "16385"
    assert tablespace_of_link(b"pg_tblspc/16385/PG_18_202506291") == ""
    for name in ("", "../x.tar", "base.tar.gz", "x.tar"):
        with pytest.raises(SourceCorrupt):
            archive_prefix(name)


@pytest.mark.parametrize(
    ("text", "size"), [("8192", 8192), ("16MB", 2**24), ("1GB", 2**30), ("64kB", 65536), ("2TB", 2**41)]
)
def test_sizes_of_settings(text: str, size: int) -> None:
    assert decode_size(text) == size


@pytest.mark.parametrize("text", ["", "16 PB", "MB", "-1"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SourceCorrupt):
        decode_size(text)


@pytest.mark.parametrize(
    ("version", "safety"),
    [
        (150018, "not offered"),
        (160001, "not offered"),
        (170010, "no"),
        (170011, "unknown"),
        (180000, "no"),
        (180004, "no"),
        (180005, "unknown"),
        (180006, "yes"),
        (190000, "unknown"),
    ],
)
def test_incremental_safety(version: int, safety: str) -> None:
    assert incremental_safety(version) == safety


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("XX001", SourceCorrupt),
        ("XX002", SourceCorrupt),
        ("42501", SourceDenied),
        ("28000", SourceDenied),
        ("28P01", SourceDenied),
        ("42601", SourceUnsupported),
        ("0A000", SourceUnsupported),
        ("57P01", SourceUnavailable),
        ("57014", SourceUnavailable),
        ("58P01", SourceUnavailable),  # WAL that was removed meanwhile
        ("53300", SourceUnavailable),
        ("", SourceUnavailable),
    ],
)
def test_answers_by_sqlstate(sqlstate: str, error: type[FarshoreError]) -> None:
    assert type(error_of_answer("source 'shop' at db:5432", sqlstate, "said")) is error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('FATAL: password authentication failed for user "x"', SourceDenied),
        ("FATAL: must be superuser or replication role to start walsender", SourceDenied),  # 15
        ("FATAL: permission denied to start WAL sender", SourceDenied),  # 16 and later
        ('FATAL: role "x" does not exist', SourceDenied),
        ('FATAL: no pg_hba.conf entry for replication connection from host "::1", user "x"', SourceDenied),
        ('FATAL: number of requested standby connections exceeds "max_wal_senders" (currently 0)', SourceUnsupported),
        ('FATAL: number of requested standby connections exceeds "max_wal_senders" (currently 10)', SourceUnavailable),
        ("FATAL: 要求されたスタンバイ接続が max_wal_senders を超えています(現在は 0)", SourceUnsupported),
        ("FATAL: the database system is starting up", SourceUnavailable),
        ("Connection refused", SourceUnavailable),
    ],
)
def test_words_on_connecting(text: str, error: type[FarshoreError]) -> None:
    prefix = 'connection failed: connection to server at "db", port 5432 failed: '
    found = error_of_connecting("source 'shop' at db:5432", prefix + text, needs_password=False)
    assert type(found) is error
    assert str(found) == f"source 'shop' at db:5432: {text}"


def test_what_fails_while_a_backup_is_sent_is_no_matter_of_credentials() -> None:
    """Trials D8, D10."""
    removed = error_of_answer(
        "x", "58P01", "requested WAL segment was removed", function="CheckXLogRemoved", sending=True
    )
    assert "wal_keep_size" in removed.hint
    for sqlstate in ("58030", "57P01", "42501", ""):
        hint = error_of_answer("x", sqlstate, "said", function="sendFile", sending=True).hint
        assert "credentials" not in hint
        assert "REPLICATION" not in hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('FATAL:  unrecognized configuration parameter "idle_session_timeout"', "PostgreSQL 15"),
        ("FATAL:  unsupported startup parameter: options", "pool"),
    ],
)
def test_settings_of_the_session_that_are_refused(text: str, hint: str) -> None:
    """An old server knows them not, a connection pool passes them not on: both for good (Trial D1)."""
    found = error_of_connecting("x", text, needs_password=False)
    assert isinstance(found, SourceUnsupported)
    assert hint in found.hint


def test_missing_password_is_denied_in_any_language() -> None:
    assert isinstance(error_of_connecting("x", "kein Passwort", needs_password=True), SourceDenied)


def test_secrets_are_blotted_out() -> None:
    assert redact("bad\n  password hunter2 for x", "hunter2") == "bad password *** for x"
    assert redact("a message", "a") == "a message"  # too short to be told from ordinary letters
