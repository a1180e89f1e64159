"""The age of a standby's data is a fact: a copy of one that is cut off is new, and its data is not (Trial D12)."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from farshore.model import DATA_AS_OF, UNKNOWN_MOMENT
from infra.local.postgres import PostgresServer
from tests.contract.postgres_captures import postgres_source, query, take

QUICK = {"fsync": "off", "wal_receiver_timeout": "2s"}  # it asks its primary for a word after half of that
WAIT_S = 60.0


@contextlib.contextmanager
def replicated() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with (
        tempfile.TemporaryDirectory(prefix="farshore-test-standby-") as place,
        PostgresServer(settings=QUICK) as primary,
    ):
        Path(place).chmod(0o755)
        primary.give(Path(place))
        query(
            primary.dsn(),
            "CREATE ROLE plain LOGIN REPLICATION; CREATE ROLE watching LOGIN REPLICATION; GRANT pg_monitor TO watching;"
            "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n",
        )
        standby = Path(place) / "standby"
        primary.run("pg_basebackup", ["-D", standby, "-c", "fast", "-X", "stream", "-R", "--no-sync"])
        with PostgresServer(data=standby, programs=primary.programs, settings=QUICK) as follower:
            yield primary, follower


def moment_of(server: PostgresServer, user: str = "postgres") -> datetime:
    taken = take(postgres_source(server.dsn().replace("postgres@", f"{user}@")))
    return datetime.strptime(taken.facts[DATA_AS_OF], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def now_at(server: PostgresServer) -> datetime:
    ((moment,),) = query(server.dsn(), "SELECT date_trunc('second', clock_timestamp())")
    assert isinstance(moment, datetime)
    return moment


def wait_for(server: PostgresServer, sql: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while query(server.dsn(), sql) != [(True,)]:
        assert time.monotonic() < deadline, sql
        time.sleep(0.1)


def test_age_of_a_standby() -> None:
    with replicated() as (primary, standby):
        wait_for(standby, "SELECT count(*) = 1000 FROM t")
        idle_since = now_at(primary)
        wait_for(
            standby,
            "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE latest_end_lsn <= pg_last_wal_replay_lsn()"
            f" AND last_msg_send_time > '{idle_since.isoformat()}'::timestamptz + interval '1 second')",
        )
        assert moment_of(standby, "watching") >= idle_since  # nobody writes, and it is level all the same
        assert moment_of(standby, "plain") <= now_at(primary)
        primary.stop()
        cut = now_at(standby)
        wait_for(standby, f"SELECT clock_timestamp() > '{cut.isoformat()}'::timestamptz + interval '2 seconds'")
        assert moment_of(standby, "watching") <= cut
        primary.start()


def test_primary_is_as_old_as_its_snapshot(postgres_server: PostgresServer) -> None:
    assert DATA_AS_OF not in take(postgres_source(postgres_server.dsn())).facts


def test_age_nobody_tells_is_unknown() -> None:
    with replicated() as (_, standby):
        rules = standby.data / "pg_hba.conf"
        rules.write_text("host all plain 127.0.0.1/32 reject\n" + rules.read_text())
        query(standby.dsn(), "SELECT pg_reload_conf()")
        taken = take(postgres_source(standby.dsn().replace("postgres@", "plain@")))
        assert taken.facts[DATA_AS_OF] == UNKNOWN_MOMENT
