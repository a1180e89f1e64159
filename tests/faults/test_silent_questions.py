"""Questions to several replicas of which one takes requests and never answers: none is held beyond the bound."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.audit import run_rows
from farshore.audit.cached_query import query_all, query_first
from farshore.audit.rows import Operation, RunResult
from farshore.catalog.inventory import take_inventory
from farshore.catalog.snapshots import Snapshot
from farshore.errors import FarshoreError, StoreUnavailable
from farshore.ops.locks.locking import check_locks
from farshore.ops.restore.warm import look_at_warmth
from farshore.ops.setup.keys import add_passphrase_slot
from farshore.ops.verify.history import read_history
from farshore.ops.verify.remote.records import fetch_tables
from farshore.repair.replica_listing import list_replicas
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Repository
from farshore.run import Run
from farshore.stores.base import Store
from tests.doubles.faulty import Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

Answer = TypeVar("Answer")
SILENT = "b"
CODE = StoreUnavailable.code


@dataclass
class World:
    """A repository with one snapshot, whose second replica falls silent when it is told to."""

    engine: Engine
    clock: StillClock
    silence: threading.Event  # set: the replica hangs
    release: threading.Event  # set: what hangs goes on

    def wrap(self, name: str, store: Store) -> Store:
        hang = Fault(FaultKind.HANG, until=self.release)

        def plan(*_: object) -> Fault | None:
            return hang if self.silence.is_set() else None

        return FaultyStore(store, clock=self.clock, plan=plan) if name == SILENT else store

    def within_bound(self, operation: Callable[[], Answer]) -> Answer:
        """Return the answer of an operation, given no more time than one round of questions may take."""
        self.silence.set()
        started_s = self.clock.monotonic_s()
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(operation)
            deadline_s = time.monotonic() + 60
            while not doing.done():
                if time.monotonic() > deadline_s:
                    self.release.set()
                    raise AssertionError("it waited for a silent replica without a bound")
                if self.clock.waiting:
                    self.clock.advance(1.0)
                    self.clock.ring()
                time.sleep(0.002)
            waited_s = self.clock.monotonic_s() - started_s
        assert waited_s <= 4 * limits.SILENCE_S_MAX  # an operation may ask several questions
        return doing.result()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = StillClock()
    engine = Engine(tmp_path, clock=clock).initialize()
    world = World(engine, clock, threading.Event(), threading.Event())
    source = TreeSource(clock=clock)
    source.file(b"one", random.Random(1).randbytes(100_000))
    engine.backup(source)
    engine.wrap = world.wrap
    yield world
    world.release.set()


def silent_in_inventory(repository: Repository, _: Snapshot) -> dict[str, str]:
    taken = take_inventory(repository, list(repository.replicas.values()))
    assert set(taken.fragments) == {"a", "c"}
    return {name: error.code for name, error in taken.failed.items()}


def silent_in_listing(repository: Repository, _: Snapshot) -> dict[str, str]:
    listed, failed = list_replicas(repository, repository.replicas)
    assert set(listed) == {"a", "c"}
    return {name: error.code for name, error in failed.items()}


def silent_in_locks(repository: Repository, snapshot: Snapshot) -> dict[str, str]:
    return {
        one.replica: one.error_code
        for one in check_locks(repository, snapshot, run=Run.start(repository.clock))
        if one.error_code
    }


def silent_in_warmth(repository: Repository, snapshot: Snapshot) -> dict[str, str]:
    found = look_at_warmth(repository, snapshot, list(repository.replicas.values()))
    return {one.replica: one.error_code for one in found if one.error_code}


def silent_in_audit(repository: Repository, _: Snapshot) -> dict[str, str]:
    run = Run.start(repository.clock)
    row = run_rows.run_row(run, Operation.BACKUP, finished_utc=run.started_utc, state=RunResult.COMPLETED)
    written = run_rows.record(repository, run.run_id, [row])
    assert written is not None
    return {name: reported.partition(":")[0] for name, reported in written.replicas.items() if reported}


def silent_in_put(repository: Repository, _: Snapshot) -> dict[str, str]:
    stores = {name: one.store for name, one in repository.replicas.items()}
    failed = put_all(stores, [("leases/x", b"1"), ("leases/y", b"2")], clock=repository.clock)
    assert {stores[name].get("leases/y") for name in ("a", "c")} == {b"2"}
    return {name: error.code for name, error in failed.items()}


def silent_in_tables(repository: Repository, _: Snapshot) -> dict[str, str]:
    tables = fetch_tables(repository)
    assert tables is not None
    assert tables.replica in ("a", "c")
    return {SILENT: CODE}


def silent_in_history(repository: Repository, _: Snapshot) -> dict[str, str]:
    assert read_history(repository, SILENT) is not None  # from the tables of another one
    return {SILENT: CODE}


def silent_in_lineage(repository: Repository, _: Snapshot) -> dict[str, str]:
    answers = query_all(repository, "SELECT count(*) FROM lineage")
    assert len({table.rows[0] for table in answers.values()}) == 1
    return {name: CODE for name in repository.replicas if name not in answers}


def silent_when_first(repository: Repository, _: Snapshot) -> dict[str, str]:
    asked = query_first(repository, [SILENT, "c", "a"], ["SELECT 1", "SELECT count(*) FROM objects"])
    assert asked is not None
    assert asked[0] == "c"
    assert [len(table.rows) for table in asked[1]] == [1, 1]
    assert query_first(repository, [SILENT], ["SELECT count(*) FROM objects"]) is None
    return {SILENT: CODE}


QUESTIONS = [
    silent_in_inventory, silent_in_listing, silent_in_locks, silent_in_warmth, silent_in_audit, silent_in_put,
    silent_in_tables, silent_in_history, silent_in_lineage, silent_when_first,
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.__name__)
def test_a_silent_replica_is_reported_and_holds_no_question(
    world: World, question: Callable[[Repository, Snapshot], dict[str, str]]
) -> None:
    (snapshot,) = world.engine.snapshots()
    with world.engine.opened(Need.READ) as repository:
        assert world.within_bound(lambda: question(repository, snapshot)) == {SILENT: CODE}
        world.release.set()


def error_of(operation: Callable[[], object]) -> FarshoreError:
    with pytest.raises(FarshoreError) as caught:
        operation()
    return caught.value


def test_a_key_slot_that_a_silent_replica_did_not_take_is_an_error(world: World) -> None:
    with world.engine.opened(Need.OWNER) as repository:
        found = world.within_bound(
            lambda: error_of(lambda: add_passphrase_slot(repository, "a long one", clock=world.clock))
        )
        world.release.set()
    assert found.code == CODE
