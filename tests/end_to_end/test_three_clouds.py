"""Real databases and a real volume to three clouds' own APIs and a directory; each copy alone gives everything back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from infra.local.postgres import PostgresServer
from tests.conftest import FreshPlace
from tests.contract.directory_trees import build_everything, differences, tree_removed
from tests.contract.postgres_captures import rows_of
from tests.end_to_end.setting import Setting

REPLICAS = {"frankfurt": "s3", "iowa": "gs", "sydney": "az", "vault": "file"}


@pytest.fixture(scope="module")
def setting(
    tmp_path_factory: pytest.TempPathFactory, fresh_place: FreshPlace, postgres_server: PostgresServer
) -> Setting:
    """Three sources, four replicas, two snapshots of each source."""
    root = tmp_path_factory.mktemp("clouds")
    home = root / "home"
    home.mkdir()
    build_everything(os.fsencode(home))
    ledger = root / "ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO entries (note) VALUES (?)", [(f"note {n}" * 20,) for n in range(20_000)])
    connection.close()
    postgres_server.create_database("shop")
    postgres_server.load_pgbench("shop", scale=2)
    made = Setting(
        root,
        {name: fresh_place(kind) for name, kind in REPLICAS.items()},
        {
            "home": f'type = "directory"\npath = "{home}"',
            "ledger": f'type = "sqlite"\npath = "{ledger}"',
            "shop": 'type = "postgres"\ndsn = { env = "SHOP_DSN" }',
        },
        environment={"SHOP_DSN": postgres_server.dsn("shop")},
    )
    made.initialize()
    for source in made.sources:
        result = made.backup(source)
        assert all(outcome.committed for outcome in result.replicas), result.replicas
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE entries SET note = 'changed' WHERE id % 997 = 0")
    connection.close()
    (home / "new").write_text("a new file")
    postgres_server.run_pgbench("shop", transactions=200)
    for source in made.sources:
        result = made.backup(source)
        assert all(outcome.committed for outcome in result.replicas), result.replicas
        assert result.counts.bytes_new < result.counts.bytes_total / 2, source
    return made


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_replica_alone_restores_the_volume(setting: Setting, replica: str, tmp_path: Path) -> None:
    target = tmp_path / "home"
    with tree_removed(target):
        result = setting.restore("home", target, replica=replica)
        assert result.replicas == (replica,)
        assert differences(os.fsencode(setting.root / "home"), os.fsencode(target)) == []


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_replica_alone_restores_the_sqlite_database(setting: Setting, replica: str, tmp_path: Path) -> None:
    setting.restore("ledger", tmp_path / "ledger", replica=replica)
    with sqlite3.connect(tmp_path / "ledger" / "ledger.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        dump = list(connection.iterdump())
    connection.close()
    with sqlite3.connect(setting.root / "ledger.db") as connection:
        assert dump == list(connection.iterdump())
    connection.close()


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_replica_alone_restores_a_cluster_that_starts(
    setting: Setting, postgres_server: PostgresServer, replica: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The server's own user must reach the data, so it lies where the other clusters of the tests do.
    target = postgres_server.directory / f"restored-{replica}"
    setting.restore("shop", target, replica=replica)
    try:
        with PostgresServer(data=target) as restored:
            assert rows_of(restored.dsn("shop")) == rows_of(postgres_server.dsn("shop"))
            checked = restored.run("pg_amcheck", ["--all", "--heapallindexed", "--install-missing"])
            assert checked.stdout.strip() == ""
    finally:
        shutil.rmtree(target, ignore_errors=True)


def test_verify_reads_every_byte_at_every_replica_and_finds_nothing(setting: Setting) -> None:
    with open_repository(setting.config, need=Need.READ, clock=setting.clock) as repository:
        result = verify_repository(repository, read_data_percent=100.0, run=Run.start(setting.clock))
    assert result.clean, [(one.replica, one.name, one.code, one.detail) for one in result.damaged]
    assert result.replicas == tuple(REPLICAS)
    assert result.snapshots == 6


def test_the_audit_tables_of_every_replica_answer_alike(setting: Setting) -> None:
    sql = "SELECT source, count(*), sum(bytes_stored) FROM snapshots GROUP BY source ORDER BY source"
    answers = [run_query(setting.config, sql, replica=name, clock=setting.clock).rows for name in REPLICAS]
    assert [row[:2] for row in answers[0]] == [("home", 2), ("ledger", 2), ("shop", 2)]
    assert all(answer == answers[0] for answer in answers)


def test_replicas_hold_the_same_objects_and_bytes(setting: Setting) -> None:
    with open_repository(setting.config, need=Need.NONE, clock=setting.clock) as repository:
        listings = [{info.name: info.size for info in replica.store.list()} for replica in repository.replicas.values()]
    assert all(listing == listings[0] for listing in listings)
