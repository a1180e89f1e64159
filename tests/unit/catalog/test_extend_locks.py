"""Locks of whole backups, at replicas in memory that enforce them: what is promised holds, and few requests keep it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.extend_locks import Assured, plan_extensions
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import commits_with_holders, resolve_snapshot
from farshore.errors import LockDenied, LockUnsupported, QuorumNotReached, StoreDenied
from farshore.format import names
from farshore.format.commit import Commit, ReplicaLock
from farshore.format.fragments import decode_fragment
from farshore.format.note import Keep
from farshore.ops.retain.annotate import keep_snapshots
from farshore.ops.retain.forget import forget_snapshots
from farshore.ops.retain.unforget import unforget_snapshot
from farshore.replicas.repository import BackupSizes
from farshore.results import BackupResult
from farshore.run import Run
from farshore.stores.base import ANY_OBJECT
from farshore.stores.object_retention import LockMode, LockRule
from tests.doubles.faulty import Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource

DAY = timedelta(days=1)
PERIOD = 10 * DAY
SHARED = (
    names.SLOTS, names.LOG, names.ACCEPTED, names.VERDICTS, names.NOTES, names.FORGOTTEN, names.UNFORGOTTEN,
)  # fmt: skip
LOCKED: dict[str, Any] = {"lock": LockMode.GOVERNANCE, "lock_for": PERIOD}
REFUSED = Fault(FaultKind.FAIL, LockDenied)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    sizes = BackupSizes(pack_bytes=64 * limits.KIB)
    return Engine(tmp_path, settings={"a": LOCKED, "b": LOCKED}, sizes=sizes).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    for number in range(40):
        tree.file(b"%02d" % number, random.Random(number).randbytes(100_000))
    engine.clock.wait_s(60)
    return tree


def commit_of(engine: Engine, snapshot_id: str) -> Commit:
    with engine.opened() as repository:
        return next(commit for commit, _ in commits_with_holders(repository) if commit.snapshot == snapshot_id)


def needed(engine: Engine, commit: Commit, replica: str) -> set[str]:
    """Every object of a replica that a restore of the snapshot from there may ask for; no fragment that has a fold."""
    with engine.opened(Need.WRITE) as repository:
        needs = read_needs(repository, repository.replicas[replica], commit)
    there = engine.objects(replica)
    fragments = [decode_fragment(data) for name, data in there.items() if name.startswith(names.FRAGMENTS)]
    folded = {names.fragment(one.hex()) for fragment in fragments for one in fragment.superseded}
    return (
        {names.pack(pack.pack_id) for pack in needs.packs}
        | {key.name for key in needs.data_keys}
        | {run.name for run in commit.all_runs}
        | {name for name in there.keys() - folded if name.startswith((names.FRAGMENTS, *SHARED))}
        | {commit.name, names.HEADER}
    )


def ends(engine: Engine, replica: str) -> Mapping[str, datetime]:
    return {name: kept.lock.until_utc for name, kept in engine.shelf(replica).kept.items() if kept.lock}


def extended(result: BackupResult) -> dict[str, int]:
    return {outcome.replica: outcome.locks_extended for outcome in result.replicas}


def test_everything_a_snapshot_needs_is_locked_from_its_commit_on(engine: Engine, source: TreeSource) -> None:
    result = engine.backup(source)
    commit = commit_of(engine, result.snapshot_id)
    promised = commit.committed_utc + PERIOD
    assert {name: lock.until_utc for name, lock in commit.locks.items()} == {"a": promised, "b": promised}
    for replica in "ab":
        locked = ends(engine, replica)
        for name in needed(engine, commit, replica):
            assert promised <= locked[name] <= promised + PERIOD / 2 + 2 * DAY, name
        assert not [name for name in locked if name.startswith(names.LEASES)]
    assert ends(engine, "c") == {}
    assert [outcome.locked_until_utc for outcome in result.replicas] == [promised, promised, None]


def test_a_month_of_nights_keeps_every_promise_with_few_extensions(engine: Engine, source: TreeSource) -> None:
    """Each object is extended about once in five days, not every night, and never too late."""
    total, most = 0, 0
    packs = 0
    _share(engine, source)
    for night in range(30):
        source.file(b"new-%d" % night, random.Random(1000 + night).randbytes(70_000))
        result = engine.backup(source)
        commit = commit_of(engine, result.snapshot_id)
        locked = ends(engine, "a")
        objects = needed(engine, commit, "a")
        short = [name for name in objects if locked[name] < commit.locks["a"].until_utc]
        assert short == []
        packs = max(packs, len(objects))
        total += extended(result)["a"]
        most = max(most, extended(result)["a"])
        engine.clock.advance(DAY.total_seconds())
    assert total < packs * 30 / 4  # of every night's all: 30 times as many
    assert most < packs / 2


def _share(engine: Engine, source: TreeSource) -> None:
    """Put what all snapshots share beside slots and log: a verdict, a note, a tombstone and what counters it."""
    run = Run.start(engine.clock)
    kept, gone = (engine.backup(source).snapshot_id for _ in range(2))
    engine.verify()
    with engine.opened() as repository:
        keep_snapshots(repository, [resolve_snapshot(repository, kept)], Keep.HOLD, reason="a", run=run)
        forget_snapshots(repository, [resolve_snapshot(repository, gone)], reason="b", rule="", run=run)
        unforget_snapshot(repository, gone, reason="c", run=run)
    for prefix in (names.VERDICTS, names.NOTES, names.FORGOTTEN, names.UNFORGOTTEN):
        assert engine.objects("a", prefix), prefix


def test_a_replica_whose_lock_cannot_be_extended_does_not_commit(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.clock.advance(6 * DAY.total_seconds())
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda verb, *_: REFUSED if verb == "extend_lock" else None)
        if name == "a"
        else store
    )
    result = engine.backup(source)
    assert [(one.committed, one.error_code) for one in result.replicas] == [
        (False, "lock-denied"),
        (True, ""),
        (True, ""),
    ]
    engine.wrap = lambda _, store: store
    after = engine.backup(source)  # the snapshot that "a" lacks promises nothing there
    assert [one.committed for one in after.replicas] == [True] * 3
    commit, locked = commit_of(engine, after.snapshot_id), ends(engine, "a")
    assert all(locked[name] >= commit.locks["a"].until_utc for name in needed(engine, commit, "a"))


def test_no_quorum_no_snapshot_when_locks_fail(engine: Engine, source: TreeSource) -> None:
    engine.wrap = lambda name, store: FaultyStore(
        store, clock=engine.clock, plan=lambda verb, *_: REFUSED if verb == "extend_lock" and name in "ab" else None
    )
    with pytest.raises(QuorumNotReached, match="a: extend_lock"):
        engine.backup(source)
    assert engine.snapshots() == []


def test_locks_that_were_off_are_caught_up_with(engine: Engine, source: TreeSource) -> None:
    engine.settings = {}
    engine.backup(source)
    engine.settings = {"a": LOCKED}
    first = engine.backup(source)
    assert extended(first)["a"] >= len(engine.objects("a", names.PACKS))
    commit, locked = commit_of(engine, first.snapshot_id), ends(engine, "a")
    assert all(locked[name] >= commit.locks["a"].until_utc for name in needed(engine, commit, "a"))
    engine.settings = {}
    source.file(b"unlocked", random.Random(7).randbytes(90_000))
    engine.backup(source)
    engine.settings = {"a": LOCKED}
    second = engine.backup(source)
    commit, locked = commit_of(engine, second.snapshot_id), ends(engine, "a")
    assert all(locked[name] >= commit.locks["a"].until_utc for name in needed(engine, commit, "a"))


def test_another_mode_and_a_longer_period_are_reached_too(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.settings = {"a": {**LOCKED, "lock": LockMode.COMPLIANCE, "lock_for": 3 * PERIOD}}
    commit = commit_of(engine, engine.backup(source).snapshot_id)
    for name in needed(engine, commit, "a"):
        lock = engine.shelf("a").kept[name].lock
        assert lock is not None
        assert lock.mode is LockMode.COMPLIANCE
        assert lock.until_utc >= commit.committed_utc + 3 * PERIOD


def test_nothing_that_is_locked_can_be_deleted_by_the_store(engine: Engine, source: TreeSource) -> None:
    result = engine.backup(source)
    commit = commit_of(engine, result.snapshot_id)
    with engine.opened() as repository:
        for name in needed(engine, commit, "a"):
            with pytest.raises(StoreDenied):
                repository.replicas["a"].store.delete(name, ANY_OBJECT)
    assert engine.restore(result.snapshot_id, replica="a")[1] == source.contents()


def test_a_lock_where_none_can_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    engine = Engine(tmp_path / "root", urls={"a": place.as_uri()}, quorum=1, settings={"a": LOCKED})
    with pytest.raises(LockUnsupported):
        engine.initialize()
    assert list(place.iterdir()) == []


def test_another_place_of_the_same_name_promises_nothing(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    other = engine.at("other")
    other.urls = {"a": engine.urls["b"], "b": engine.urls["a"], "c": engine.urls["c"]}
    assert min(extended(other.backup(source))[name] for name in "ab") >= len(engine.objects("a", names.PACKS))


@pytest.mark.parametrize("keyless", [False, True], ids=["key", "keyless"])
def test_a_record_that_heal_brings_promises_no_more_than_is_locked(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    """The snapshot stands on packs that the replica had before, locked for the snapshot of that time alone."""
    engine.backup(source)
    engine.clock.advance(8 * DAY.total_seconds())
    with engine.away("a"):
        missed = engine.backup(source)
    heal(engine, keyless=keyless)
    commit, locked = commit_of(engine, missed.snapshot_id), ends(engine, "a")
    assert commit.name in engine.objects("a")
    assert all(locked[name] >= commit.committed_utc + PERIOD for name in needed(engine, commit, "a"))


# --- the plan ---------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 5, 1, 3, tzinfo=UTC)
RULE = LockRule(LockMode.GOVERNANCE, 30 * DAY, DAY)
PACKS = [names.pack(random.Random(number).randbytes(32).hex()) for number in range(3000)]


def planned(assured: Assured | None, *, started: datetime = NOW, made: tuple[str, ...] = ()) -> list[str]:
    promised = ReplicaLock("governance", NOW + RULE.period, RULE.stride_s, "memory://a")
    found = plan_extensions(RULE, promised, NOW, reused=PACKS, made=made, run_started_utc=started, assured=assured)
    assert all(lock.until_utc >= promised.until_utc for _, lock in found)
    return [name for name, _ in found]


@pytest.mark.parametrize(("nights", "least", "most"), [(0, 0, 0), (1, 140, 260), (7, 1250, 1550), (15, 3000, 3000)])
def test_of_a_month_a_fifteenth_is_extended_each_night(nights: int, least: int, most: int) -> None:
    until_utc = NOW - nights * DAY + RULE.period
    assured = Assured(ReplicaLock("governance", until_utc, RULE.stride_s, "memory://a"), frozenset(PACKS))
    assert least <= len(planned(assured)) <= most


def test_what_nobody_vouches_for_is_extended() -> None:
    assert planned(None) == PACKS
    assured = Assured(ReplicaLock("governance", NOW + RULE.period, RULE.stride_s, "memory://a"), frozenset(PACKS[10:]))
    assert planned(assured) == PACKS[:10]


def test_objects_of_a_run_that_took_longer_than_the_slack_are_extended_where_they_must_be() -> None:
    assured = Assured(ReplicaLock("governance", NOW + RULE.period, RULE.stride_s, "memory://a"), frozenset(PACKS))
    made = tuple(names.pack(random.Random(-number).randbytes(32).hex()) for number in range(1, 2000))
    assert planned(assured, made=made, started=NOW - DAY) == []
    late = planned(assured, made=made, started=NOW - 3 * DAY)
    assert 180 < len(late) < 360
    assert replace(RULE, slack=3 * DAY).new_lock(late[0], NOW - 3 * DAY).until_utc >= NOW + RULE.period
