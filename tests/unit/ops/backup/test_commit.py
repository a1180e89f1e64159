"""A snapshot exists at a replica only where its commit record was read back as it was written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.errors import QuorumNotReached
from farshore.format import names
from farshore.stores.base import Store
from tests.doubles.faulty import CORRUPT, TRUNCATE, Fault, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", random.Random(2).randbytes(100_000))
    engine.clock.wait_s(60)
    return tree


def spoil_commits(engine: Engine, replicas: str, verb: str, fault: Fault) -> None:
    """Have some replicas spoil each commit record, when it is put or when it is read back."""

    def plan(called: str, name: str, _number: int) -> Fault | None:
        return fault if called == verb and name.startswith(names.SNAPSHOTS) else None

    def wrap(name: str, store: Store) -> Store:
        return FaultyStore(store, clock=engine.clock, plan=plan) if name in replicas else store

    engine.wrap = wrap


@pytest.mark.parametrize("fault", [TRUNCATE, CORRUPT], ids=["cut short", "altered"])
@pytest.mark.parametrize("verb", ["put", "get"])
def test_a_commit_record_that_does_not_come_back_whole_is_no_snapshot_there(
    engine: Engine, source: TreeSource, verb: str, fault: Fault
) -> None:
    spoil_commits(engine, "c", verb, fault)
    result = engine.backup(source)
    assert [one.committed for one in result.replicas] == [True, True, False]
    lost = result.replicas[2]
    assert lost.error_code == "state-unknown"
    assert "does not return the commit as it was written" in lost.error
    assert result.warned
    engine.wrap = lambda _, store: store
    assert engine.restore(result.snapshot_id, replica="a")[1] == source.contents()


@pytest.mark.parametrize("fault", [TRUNCATE, CORRUPT], ids=["cut short", "altered"])
def test_nothing_is_called_committed_where_a_quorum_spoils_its_record(
    engine: Engine, source: TreeSource, fault: Fault
) -> None:
    spoil_commits(engine, "bc", "put", fault)
    with pytest.raises(QuorumNotReached, match="does not return the commit as it was written"):
        engine.backup(source)
    engine.wrap = lambda _, store: store
    again = engine.backup(source)
    assert [one.committed for one in again.replicas] == [True, True, True]
    assert engine.restore(again.snapshot_id, replica="c")[1] == source.contents()
