"""Locks and holds by hand: what `farshore lock` does at replicas in memory that enforce both."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot
from farshore.errors import LockUnsupported, StoreDenied
from farshore.format import names
from farshore.ops.locks.locking import check_locks, extend_locks, set_holds
from farshore.run import Run
from farshore.stores.base import ANY_OBJECT
from farshore.stores.object_retention import LockMode
from tests.doubles.faulty import DENY, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

DAY = timedelta(days=1)
LOCKED: dict[str, Any] = {"lock": LockMode.GOVERNANCE, "lock_for": 10 * DAY}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, settings={"a": LOCKED, "b": LOCKED}).initialize()


@pytest.fixture
def snapshot(engine: Engine) -> Snapshot:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", random.Random(1).randbytes(300_000))
    engine.clock.wait_s(60)
    engine.backup(tree)
    (snapshot,) = engine.snapshots()
    return snapshot


def test_what_is_locked_is_what_was_promised_or_more(engine: Engine, snapshot: Snapshot) -> None:
    with engine.opened(Need.WRITE) as repository:
        found = check_locks(repository, snapshot, run=Run.start(repository.clock))
    a, b, c = found
    assert [lock.replica for lock in snapshot.locks] == ["a", "b"]
    for one, promised in zip((a, b), snapshot.locks, strict=True):
        assert one.promised_until_utc == promised.until_utc == snapshot.committed_utc + 10 * DAY
        assert one.locked_until_utc is not None
        assert promised.until_utc <= one.locked_until_utc <= promised.until_utc + 6 * DAY
        assert (one.mode, one.unlocked, one.held, one.changed) == ("governance", 0, 0, 0)
        assert one.objects >= 7
    assert (c.locked_until_utc, c.unlocked, c.promised_until_utc) == (None, c.objects, None)


def test_an_object_that_lost_its_lock_is_the_least(engine: Engine, snapshot: Snapshot) -> None:
    name = next(iter(engine.objects("a", names.PACKS)))
    engine.shelf("a").kept[name].lock = None
    with engine.opened(Need.WRITE) as repository:
        a, b, _ = check_locks(repository, snapshot, run=Run.start(repository.clock))
    assert (a.locked_until_utc, a.unlocked, a.mode) == (None, 1, "")
    assert b.unlocked == 0


def test_extending_reaches_every_object_and_twice_equals_once(engine: Engine, snapshot: Snapshot) -> None:
    with engine.opened(Need.WRITE) as repository:
        first = extend_locks(repository, snapshot, 100 * DAY, run=Run.start(repository.clock))
        again = extend_locks(repository, snapshot, 100 * DAY, run=Run.start(repository.clock))
        shorter = extend_locks(repository, snapshot, DAY, run=Run.start(repository.clock))
    assert [one.replica for one in first] == ["a", "b"]
    for one in first:
        assert one.changed == one.objects
        assert one.locked_until_utc is not None
        assert one.locked_until_utc >= engine.clock.now_utc() + 100 * DAY
    assert [one.changed for one in (*again, *shorter)] == [0, 0, 0, 0]
    assert [one.locked_until_utc for one in shorter] == [one.locked_until_utc for one in first]


def test_a_hold_keeps_what_no_lock_keeps_any_more(engine: Engine, snapshot: Snapshot) -> None:
    with engine.opened(Need.WRITE) as repository:
        held = set_holds(repository, snapshot, held=True, run=Run.start(repository.clock))
        assert [one.held for one in held] == [one.objects for one in held]
        engine.clock.advance(100 * DAY.total_seconds())
        store = repository.replicas["a"].store
        pack = next(iter(engine.objects("a", names.PACKS)))
        with pytest.raises(StoreDenied):
            store.delete(pack, ANY_OBJECT)
        released = set_holds(repository, snapshot, held=False, run=Run.start(repository.clock))
        assert [one.held for one in released] == [0, 0, 0]
        store.delete(pack, ANY_OBJECT)


def test_a_replica_that_cannot_be_asked_does_not_hold_up_the_others(engine: Engine, snapshot: Snapshot) -> None:
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda verb, *_: DENY if verb == "lock_state" else None)
        if name == "a"
        else store
    )
    with engine.opened(Need.WRITE) as repository:
        a, b, _ = check_locks(repository, snapshot, run=Run.start(repository.clock))
    assert a.error_code == "store-denied"
    assert b.locked_until_utc is not None


def test_no_replica_with_a_lock_cannot_extend(engine: Engine, snapshot: Snapshot) -> None:
    engine.settings = {}
    with engine.opened(Need.WRITE) as repository, pytest.raises(LockUnsupported):
        extend_locks(repository, snapshot, DAY, run=Run.start(repository.clock))


def test_every_word_on_locks_is_a_row(engine: Engine, snapshot: Snapshot) -> None:
    engine.clock.advance(1)
    with engine.opened(Need.WRITE) as repository:
        extend_locks(repository, snapshot, 100 * DAY, run=Run.start(repository.clock))
    sql = "SELECT replica, action, objects > 0, locked_until_utc FROM locks ORDER BY recorded_utc, replica"
    rows = run_query(engine.config, sql, clock=engine.clock).rows
    assert [row[:3] for row in rows] == [
        ("a", "committed", False),
        ("b", "committed", False),
        ("a", "extended", True),
        ("b", "extended", True),
    ]
    now = run_query(engine.config, "SELECT replica, action FROM locks_now ORDER BY replica", clock=engine.clock)
    assert now.rows == [("a", "extended"), ("b", "extended")]
