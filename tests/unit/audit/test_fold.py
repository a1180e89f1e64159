"""Folds of months: the same answers from fewer objects, chains that stay provable, and nothing deleted unproven."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.unlock import Need
from farshore.audit import names
from farshore.audit.cached_query import query_replica
from farshore.audit.fold import FoldOptions, FoldResult, fold_tables
from farshore.audit.schema import TABLES
from farshore.errors import KeyMissing
from farshore.run import Run
from tests.unit.ops.domain_hosts import host
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

DAY_S = 24 * 3600.0
OPTIONS = FoldOptions(grace=timedelta(days=7))


BACKUPS = 17


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Backups of four days, and two a month later, so that the month is over and a daily seal names all of it."""
    made = Engine(tmp_path).initialize(write_only=True)
    live(made, BACKUPS - 1)
    made.clock.wait_s(32 * DAY_S)
    live(made, 1)
    return made


def live(engine: Engine, backups: int) -> None:
    for number in range(backups):
        tree = TreeSource(clock=engine.clock)
        tree.file(b"a", random.Random(number // 4).randbytes(100))
        engine.backup(tree, accept_new=True)
        engine.clock.wait_s(DAY_S / 4)


def fold(engine: Engine, options: FoldOptions = OPTIONS) -> FoldResult:
    with engine.opened(Need.READ) as repository:
        return fold_tables(repository, options, Run.start(engine.clock))


def rows(engine: Engine, table: str, replica: str = "a") -> list[Any]:
    columns = ", ".join(column.name for column in TABLES[table].columns)
    where = " WHERE operation = 'backup'" if table == "runs" else ""
    with engine.opened(Need.READ) as repository:
        found = query_replica(repository, repository.replica(replica), f"SELECT {columns} FROM {table}{where}")
    assert found.unused == 0
    return sorted(map(repr, found.rows))


def everything(engine: Engine, replica: str = "a") -> dict[str, list[Any]]:
    return {table: rows(engine, table, replica) for table in ("runs", "needs", "copies", "checks")}


def audit_objects(engine: Engine, replica: str = "a") -> set[str]:
    return {one for one in engine.objects(replica, names.AUDIT) if names.parse_delta(one) is None}


def test_folds_give_the_same_answers_from_fewer_objects(engine: Engine) -> None:
    before, objects = everything(engine), audit_objects(engine)
    assert len(before["runs"]) == BACKUPS
    result = fold(engine)
    assert result.done
    assert result.months
    assert not result.unfolded
    assert everything(engine) == before
    assert objects < audit_objects(engine), "nothing goes before the grace is over"
    assert all(one.deleted == 0 and one.waiting and one.waiting_until_utc for one in result.replicas)
    assert engine.verify().clean
    before = everything(engine)
    assert not fold(engine).months, "what is folded is not folded again"

    engine.clock.wait_s(8 * DAY_S)
    swept = fold(engine)
    assert swept.done
    assert all(one.deleted and not one.left for one in swept.replicas)
    for replica in ("a", "b", "c"):
        assert everything(engine, replica) == before
    assert engine.verify().clean
    assert len(audit_objects(engine)) < 0.6 * len(objects)
    healed = heal(engine)
    assert all(one.copied == 0 and one.foreign == 0 for one in healed.replicas)
    live(engine, 2)
    assert engine.verify().clean
    assert set(before["runs"]) < set(rows(engine, "runs"))


def test_a_host_without_a_cache_reads_the_same(engine: Engine) -> None:
    before = everything(engine)
    fold(engine)
    engine.clock.wait_s(8 * DAY_S)
    fold(engine)
    fresh = engine.at("fresh")
    assert everything(fresh) == before
    assert fresh.verify().clean


def test_only_who_maintains_folds(engine: Engine) -> None:
    with host(engine, "db1").opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="maintain"):
        fold_tables(repository, OPTIONS, Run.start(engine.clock))
