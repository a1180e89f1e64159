"""Configuration outside the data directory is named at each backup, taken along, and the copy starts (Trial D9)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import VERSIONS, Taken, postgres_source, query, take

QUICK = {"fsync": "off"}
ANYBODY = "host all,replication all 127.0.0.1/32 trust\n"


@dataclass
class Elsewhere:
    """A server whose configuration is beside its data directory, and a place for copies."""

    server: PostgresServer
    conf: Path
    place: Path


@pytest.fixture(scope="module", params=VERSIONS)
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Elsewhere]:
    with PostgresServer(settings=QUICK, **VERSIONS[request.param]) as made:
        query(
            made.dsn(),
            """CREATE ROLE watching LOGIN REPLICATION; GRANT pg_monitor TO watching;
            CREATE ROLE streamer LOGIN REPLICATION;
            CREATE ROLE reading LOGIN REPLICATION; GRANT pg_monitor, pg_read_server_files TO reading;
            GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO reading;
            CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n""",
        )
        query(made.dsn(), "ALTER SYSTEM SET maintenance_work_mem = '17MB'")
        made.stop()
        conf = Path(f"{made.data}-conf")  # begins as the data directory does
        (conf / "conf.d").mkdir(parents=True)
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (made.data / name).rename(conf / name)
        rules = conf / "pg_hba.conf"
        rules.write_text("host all streamer 127.0.0.1/32 reject\n" + rules.read_text())
        with (conf / "postgresql.conf").open("a") as file:
            file.write(
                f"data_directory = '{made.data}'\nhba_file = '{rules}'\nident_file = '{conf / 'pg_ident.conf'}'\n"
                f"external_pid_file = '{conf / 'pid'}'\ninclude_dir 'conf.d'\nlog_line_prefix = 'it''s \\\\ %m '\n"
                "search_path = '\"$user\", public'\nstatement_timeout = '5min'\ndatestyle = 'iso, dmy'\n"
            )
        (conf / "conf.d" / "more.conf").write_text("work_mem = '7MB'\n")
        for path in (conf, *conf.rglob("*")):
            made.give(path)
        settings = QUICK | {"config_file": str(conf / "postgresql.conf")}
        with (
            tempfile.TemporaryDirectory(prefix="farshore-test-conf-") as place,
            PostgresServer(data=made.data, programs=made.programs, settings=settings) as running,
        ):
            os.chmod(place, 0o755)
            yield Elsewhere(running, conf, Path(place))


def take_as(elsewhere: Elsewhere, user: str) -> tuple[Taken, Path]:
    directory = elsewhere.place / user
    return take(postgres_source(elsewhere.server.dsn().replace("postgres@", f"{user}@")), directory), directory


@contextlib.contextmanager
def started(directory: Path, elsewhere: Elsewhere) -> Iterator[PostgresServer]:
    with PostgresServer(data=directory, programs=elsewhere.server.programs, settings=QUICK) as copy:
        assert query(copy.dsn(), "SELECT count(*) FROM t") == [(1000,)]
        assert query(copy.dsn(), "SHOW maintenance_work_mem") == [("17MB",)]  # of ALTER SYSTEM
        yield copy


def outside(conf: Path, name: str) -> bytes:
    return f"outside_data_directory{conf / name}".encode()


def assert_settings(copy: PostgresServer) -> None:
    for name, value in {
        "work_mem": "7MB",
        "log_line_prefix": r"it's \ %m ",
        "search_path": '"$user", public',
        "statement_timeout": "5min",
        "DateStyle": "ISO, DMY",  # a name that files write in other letters than the catalog
        "external_pid_file": "",
    }.items():
        assert query(copy.dsn(), f"SHOW {name}") == [(value,)], name


def test_configuration_elsewhere_is_named_and_taken_along(elsewhere: Elsewhere) -> None:
    taken, directory = take_as(elsewhere, "postgres")
    names = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d/more.conf")
    assert set(taken.facts["config_files_outside"].split(", ")) == {str(elsewhere.conf / name) for name in names}
    assert taken.facts["config_outside_data_directory"] == "true"
    assert taken.problems == []
    assert any(str(elsewhere.conf / "pg_hba.conf") in note for note in taken.notes)
    for name in names:
        kept = directory / os.fsdecode(outside(elsewhere.conf, name))
        assert kept.read_bytes() == (elsewhere.conf / name).read_bytes()
        assert kept.stat().st_mode & 0o777 == 0o600
    for path in taken.entries:  # no entry without its parents
        assert path.rpartition(b"/")[0] in taken.entries
    extra = [
        option
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "outside_data_directory")
        for option in ("-i", name)
    ]
    assert "successfully verified" in elsewhere.server.run("pg_verifybackup", [*extra, directory]).stdout
    with started(directory, elsewhere) as copy:
        assert_settings(copy)
        assert query(copy.dsn(), "SHOW hba_file") == [(str(directory / "pg_hba.conf"),)]


def test_role_that_may_only_ask_names_them_and_the_copy_starts(elsewhere: Elsewhere) -> None:
    taken, directory = take_as(elsewhere, "watching")
    lost = {problem.path.decode() for problem in taken.problems}
    assert str(elsewhere.conf / "pg_hba.conf") in lost
    assert {problem.code for problem in taken.problems} == {"unreadable"}
    assert not any(problem.matters for problem in taken.problems)
    assert b"peer" in (directory / "pg_hba.conf").read_bytes()  # nobody from elsewhere gets in by our making
    with (directory / "pg_hba.conf").open("a") as file:
        file.write(ANYBODY)
    with started(directory, elsewhere) as copy:
        assert_settings(copy)


def test_role_with_the_rights_that_the_page_names_takes_them_along(elsewhere: Elsewhere) -> None:
    taken, directory = take_as(elsewhere, "reading")
    assert taken.problems == []
    assert (directory / "pg_hba.conf").read_bytes() == (elsewhere.conf / "pg_hba.conf").read_bytes()
    with started(directory, elsewhere) as copy:
        assert_settings(copy)


def test_role_that_may_not_ask_says_what_is_missing(elsewhere: Elsewhere) -> None:
    taken, directory = take_as(elsewhere, "streamer")
    assert [(problem.path, problem.matters) for problem in taken.problems] == [(b"postgresql.conf", False)]
    assert taken.facts["config_outside_data_directory"] == "true"
    with (directory / "pg_hba.conf").open("a") as file:
        file.write(ANYBODY)
    with started(directory, elsewhere):
        pass


def test_configuration_behind_a_link_is_taken_along(elsewhere: Elsewhere) -> None:
    """The server skips the link; what it points to is read all the same."""
    with PostgresServer(programs=elsewhere.server.programs, settings=QUICK) as server:
        query(server.dsn(), "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n")
        query(server.dsn(), "ALTER SYSTEM SET maintenance_work_mem = '17MB'")
        conf = elsewhere.place / "linked"
        conf.mkdir()
        for name in ("postgresql.conf", "pg_hba.conf"):
            original = server.data / name
            original.rename(conf / name)
            original.symlink_to(conf / name)
        server.give(conf)
        directory = elsewhere.place / "of-links"
        taken = take(postgres_source(server.dsn()), directory)
        assert taken.problems == []
        assert taken.facts["config_files_outside"].count(str(server.data)) == 2
        assert (directory / "pg_hba.conf").read_bytes() == (conf / "pg_hba.conf").read_bytes()
    with started(directory, elsewhere):
        pass


def test_configuration_in_its_place_is_no_matter(postgres_server: PostgresServer) -> None:
    taken = take(postgres_source(postgres_server.dsn()))
    assert taken.facts["config_outside_data_directory"] == "false"
    assert "config_files_outside" not in taken.facts
    assert not any(path.startswith(b"outside") for path in taken.entries)
    assert taken.notes == []


def test_checksums_that_are_off_are_said_at_each_backup() -> None:
    """Trial D13."""
    with PostgresServer(settings=QUICK) as server:
        server.stop()
        server.run("pg_checksums", ["--disable", "-D", server.data])
        server.start()
        taken = take(postgres_source(server.dsn()))
        assert taken.facts["data_checksums"] == "off"
        assert any("checksums are off" in note for note in taken.notes)
        assert taken.problems == []
