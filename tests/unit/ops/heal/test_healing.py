"""Heal: what is missing, damaged or foreign is found, mended or reported; a second heal does nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.config.settings import PlacementConfig, ReplicaConfig
from farshore.errors import ReplicaEmpty, ReplicaNeeded, StoreUnavailable
from farshore.format import names
from farshore.format.pack_id import hash_pack
from farshore.ops.heal.good_copy import Transfer
from farshore.ops.heal.retire import RetireResult, retire_replica
from farshore.plan.replicas import nearest_first
from farshore.replicas.repository import Replica
from farshore.run import Run
from farshore.signing import generate_signing_key
from farshore.stores.base import Store
from farshore.stores.memory import MemoryStore
from farshore.stores.token_bucket import TokenBucket
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock
from tests.doubles.commits import signed_commit
from tests.doubles.faulty import DENY, FULL, TRUNCATE, VANISH, Fault, FaultyStore, Plan
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import (
    actions,
    add_replica,
    assert_restores,
    empty,
    evidence,
    heal,
    healed_engine,
    of,
)
from tests.unit.ops.tree_source import TreeSource

KEYS = pytest.mark.parametrize("keyless", [False, True], ids=["key", "keyless"])


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    return healed_engine(engine)


def wrapped(engine: Engine, replica: str, plan: Plan) -> None:
    def wrap(name: str, store: Store) -> Store:
        return FaultyStore(store, clock=engine.clock, plan=plan) if name == replica else store

    engine.wrap = wrap


def unwrap(engine: Engine) -> None:
    engine.wrap = lambda _, store: store


@KEYS
def test_level_replicas_are_found_level(engine: Engine, source: TreeSource, keyless: bool) -> None:
    before = engine.data_objects("a")
    result = heal(engine, keyless=keyless)
    assert (result.in_sync, result.changed, result.keyless, result.repairs) == (True, False, keyless, ())
    assert engine.data_objects("a") == before


@KEYS
def test_a_replica_that_was_away_is_brought_level(engine: Engine, source: TreeSource, keyless: bool) -> None:
    with engine.away("c"):
        source.file(b"more", b"x" * 100_000)
        engine.backup(source)
        engine.backup(source)
    result = heal(engine, "c", keyless=keyless)
    assert of(result, "c").snapshots_added == 2
    assert result.in_sync
    assert engine.data_objects("c") == engine.data_objects("a")
    again = heal(engine, keyless=keyless)
    assert (again.in_sync, again.changed) == (True, False)
    assert_restores(engine)
    assert engine.verify().clean


@KEYS
def test_whatever_is_lost_comes_back(engine: Engine, source: TreeSource, keyless: bool) -> None:
    """Every object of every kind but one, so that the replica is not taken for an emptied one."""
    kept = next(iter(engine.objects("b", names.FRAGMENTS)))
    lost = [name for name in evidence(engine, "b") if name != kept]
    for name in lost:
        engine.lose("b", name)
    result = heal(engine, "b", keyless=keyless)
    assert result.in_sync
    assert {one.object for one in result.repairs} == set(lost)
    assert actions(result) == {("b", "missing", "copied")}
    assert not heal(engine, keyless=keyless).changed
    assert engine.data_objects("b") == engine.data_objects("a")
    assert_restores(engine)
    assert engine.verify().clean


@KEYS
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "flipped"])
def test_whatever_is_damaged_is_replaced(engine: Engine, source: TreeSource, keyless: bool, cut: bool) -> None:
    """Every object of every kind."""
    good = evidence(engine, "b")
    for name in good:
        if cut:
            engine.alter("b", name, lambda data: data[:-1])
        else:
            engine.flip("b", name)
    result = heal(engine, "b", keyless=keyless, read_data=not cut)
    assert result.in_sync, result
    assert {one.object for one in result.repairs} == set(good)
    assert actions(result) == {("b", "truncated" if cut else "altered", "replaced")}
    assert {name: data for name, data in evidence(engine, "b").items() if name in good} == good
    assert not heal(engine, keyless=keyless, read_data=True).changed


def test_altered_bytes_are_found_from_what_a_verify_found(engine: Engine, source: TreeSource) -> None:
    name = next(iter(engine.objects("b", names.PACKS)))
    good = engine.objects("b")[name]
    engine.flip("b", name)
    assert heal(engine).in_sync  # nobody has read it yet
    assert not engine.verify().clean
    result = heal(engine)
    assert actions(result) == {("b", "altered", "replaced")}
    assert engine.objects("b")[name] == good
    assert not heal(engine).changed


@KEYS
def test_a_new_replica_gets_everything_and_only_when_it_is_said_to_be_new(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    add_replica(engine, "d")
    with pytest.raises(ReplicaEmpty):
        heal(engine, "d", keyless=keyless)
    assert engine.objects("d") == {}
    foretold = heal(engine, "d", keyless=keyless, new=["d"], dry_run=True)
    assert engine.objects("d") == {}
    result = heal(engine, "d", keyless=keyless, new=["d"])
    assert result.in_sync
    assert of(foretold, "d").bytes_missing == of(result, "d").bytes_copied
    assert engine.data_objects("d") == engine.data_objects("a")
    assert not heal(engine, keyless=keyless).changed
    engine.backup(source)
    engine.urls = {"d": engine.urls["d"]}
    assert assert_restores(engine) >= 3


def test_an_emptied_replica_is_an_error_and_the_others_are_healed(engine: Engine, source: TreeSource) -> None:
    empty(engine, "c")
    engine.lose("b", next(iter(engine.objects("b", names.PACKS))))
    result = heal(engine)
    assert (of(result, "c").state, of(result, "c").error_code) == ("failed", "replica-empty")
    assert of(result, "b").copied == 1
    assert engine.objects("c") == {}


def test_a_listing_that_leaves_out_half_is_not_believed(engine: Engine, source: TreeSource) -> None:
    wrapped(engine, "b", lambda verb, _name, _number: TRUNCATE if verb == "list" else None)
    with pytest.raises(StoreUnavailable, match="leaves out objects that are there"):
        heal(engine, "b")
    result = heal(engine)
    assert of(result, "b").state == "failed"
    assert of(result, "a").state == of(result, "c").state == "level"


@KEYS
def test_foreign_objects_are_reported_and_left(engine: Engine, source: TreeSource, keyless: bool) -> None:
    with engine.opened(Need.NONE) as repository:
        repository.replicas["a"].store.put("packs/aa/holiday.jpg", b"!")
        repository.replicas["a"].store.put("notes.txt", b"!")
        repository.replicas["a"].store.put("probe/1/x", b"!")
    result = heal(engine, keyless=keyless)
    assert of(result, "a").foreign == 2
    assert {(one.object, one.action) for one in result.repairs} == {
        ("packs/aa/holiday.jpg", "left"),
        ("notes.txt", "left"),
    }
    assert result.in_sync
    assert "notes.txt" in engine.objects("a")
    assert "notes.txt" not in engine.objects("b")


@KEYS
def test_damage_everywhere_is_reported_and_left(engine: Engine, source: TreeSource, keyless: bool) -> None:
    name = next(iter(engine.objects("a", names.PACKS)))
    for replica in "abc":
        engine.flip(replica, name)
    result = heal(engine, keyless=keyless, read_data=True)
    assert not result.in_sync
    assert {(one.replica, one.object, one.found, one.action) for one in result.repairs} == {
        (replica, name, "altered", "left") for replica in "abc"
    }
    assert all(one.snapshots for one in result.repairs)


@KEYS
def test_a_snapshot_is_not_spread_whose_pack_nobody_has_whole(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    """Invariant 1, with the damage at the only sources."""
    with engine.away("c"):
        source.file(b"more", b"x" * 100_000)
        new = engine.backup(source).snapshot_id
    only = [name for name in engine.objects("a", names.PACKS) if name not in engine.objects("c")]
    for name in only:
        engine.flip("a", name)
        engine.lose("b", name)
    result = heal(engine, keyless=keyless)
    assert not result.in_sync
    assert not [name for name in engine.objects("c", names.SNAPSHOTS) if new in name]
    assert_restores_at(engine, "c", 3)


@KEYS
def test_a_needed_pack_that_no_replica_lists_keeps_its_snapshot_from_spreading(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    with engine.away("c"):
        source.file(b"more", b"x" * 100_000)
        new = engine.backup(source).snapshot_id
    for name in set(engine.objects("a", names.PACKS)) - set(engine.objects("c")):
        engine.lose("a", name)
        engine.lose("b", name)
    result = heal(engine, keyless=keyless)
    assert not result.in_sync
    assert not [name for name in engine.objects("c", names.SNAPSHOTS) if new in name]


def assert_restores_at(engine: Engine, replica: str, snapshots: int) -> None:
    held = [one for one in engine.snapshots() if replica in one.replicas]
    assert len(held) == snapshots
    for one in held:
        assert not engine.restore(one.snapshot_id, replica=replica)[0].problems


def test_without_a_key_and_without_any_row_a_single_copy_is_spread(engine: Engine, source: TreeSource) -> None:
    """Its signature and the hashes in names prove it, and anybody can check these."""
    with engine.away("c"):
        new = engine.backup(source).snapshot_id
    lost = engine.object_of(new, "commit")
    engine.lose("b", lost)
    for replica in "ab":
        for name in list(engine.objects(replica, names.AUDIT)):
            engine.lose(replica, name)
    assert heal(engine, keyless=True).in_sync
    assert engine.objects("b")[lost] == engine.objects("c")[lost] == engine.objects("a")[lost]
    assert_restores_at(engine, "c", 4)


def test_a_snapshot_below_the_quorum_is_spread(engine: Engine, source: TreeSource) -> None:
    """Its record was only written after a quorum had acknowledged all it needs, so spreading it finishes that run."""
    (*_, newest) = engine.snapshots()
    for replica in "bc":
        for name in list(engine.objects(replica, names.SNAPSHOTS)):
            if newest.snapshot_id in name:
                engine.lose(replica, name)
    assert heal(engine).in_sync
    assert {one.replicas for one in engine.snapshots()} == {("a", "b", "c")}


def test_what_killed_runs_left_is_no_snapshot(engine: Engine, source: TreeSource) -> None:
    """A manifest without a commit stays where it is; packs without a snapshot are level all the same."""
    left = names.run(names.hash_of(b"half a snapshot"))
    with engine.opened(Need.NONE) as repository:
        repository.replicas["a"].store.put(left, b"half a snapshot")
    result = heal(engine)
    assert result.in_sync
    assert left not in engine.objects("b")
    assert of(result, "a").foreign == 0


def test_a_locked_damaged_object_is_reported_and_left(engine: Engine, source: TreeSource) -> None:
    name = next(iter(engine.objects("b", names.PACKS)))
    engine.alter("b", name, lambda data: data[:-1])
    wrapped(engine, "b", lambda verb, _name, _number: DENY if verb == "delete" else None)
    result = heal(engine)
    assert [(one.object, one.action, one.error_code) for one in result.repairs] == [(name, "refused", "store-denied")]
    assert not result.in_sync
    unwrap(engine)
    assert heal(engine).in_sync


def test_a_full_replica_stays_behind_and_the_next_heal_goes_on(engine: Engine, source: TreeSource) -> None:
    add_replica(engine, "d")
    puts = iter(range(1000))

    def full(verb: str, name: str, _number: int) -> Fault | None:
        data = verb == "put" and not name.startswith(names.LEASES)
        return FULL if data and next(puts) >= 3 else None

    wrapped(engine, "d", full)
    result = heal(engine, new=["d"])
    assert (of(result, "d").state, of(result, "d").error_code) == ("behind", "store-full")
    assert not [name for name in engine.objects("d") if name.startswith(names.SNAPSHOTS)]
    unwrap(engine)
    assert heal(engine, new=["d"]).in_sync
    assert engine.data_objects("d") == engine.data_objects("a")


def test_a_put_that_is_acknowledged_and_not_kept_commits_nothing(engine: Engine, source: TreeSource) -> None:
    add_replica(engine, "d")
    packs = iter(range(1000))
    wrapped(
        engine,
        "d",
        lambda verb, name, _: VANISH if verb == "put" and name.startswith("packs/") and next(packs) == 0 else None,
    )
    result = heal(engine, new=["d"])
    assert of(result, "d").state == "behind"
    lost = [one.object for one in result.repairs if one.error_code == "state-unknown"]
    assert len(lost) == 1
    assert not engine.objects("d", names.FRAGMENTS)
    unwrap(engine)
    assert heal(engine).in_sync


def test_damage_at_the_source_is_found_on_the_way_and_mended_too(engine: Engine, source: TreeSource) -> None:
    name = next(iter(engine.objects("a", names.PACKS)))
    engine.flip("a", name)
    engine.lose("c", name)
    result = heal(engine)
    assert {(one.replica, one.found, one.action) for one in result.repairs} == {
        ("c", "missing", "copied"),
        ("a", "altered", "replaced"),
    }
    assert result.in_sync
    assert engine.data_objects("a") == engine.data_objects("b") == engine.data_objects("c")


def test_what_was_done_is_reported_by_the_tables(engine: Engine, source: TreeSource) -> None:
    name = next(iter(engine.objects("b", names.PACKS)))
    engine.lose("b", name)
    result = heal(engine)
    rows = [one for one in engine.objects("a", "audit/repairs/") if result.run_id in one]
    assert rows
    assert {n for n in evidence(engine, "a") if n.startswith("audit/")} == {
        n for n in evidence(engine, "b") if n.startswith("audit/")
    }


def test_a_replica_that_is_away_is_reported(engine: Engine, source: TreeSource) -> None:
    with engine.away("c"):
        result = heal(engine)
    assert of(result, "c").state == "failed"
    assert not result.in_sync


@KEYS
@pytest.mark.parametrize("at", [3, 6])
def test_a_backup_that_commits_meanwhile_is_no_loss(engine: Engine, source: TreeSource, keyless: bool, at: int) -> None:
    """It commits between the listing of one replica and the next, or between listings and records."""
    lists = iter(range(1000))
    source.file(b"meanwhile", b"y" * 50_000)

    def commit(verb: str, name: str, _number: int) -> None:
        if verb == "list" and next(lists) == at:
            unwrap(engine)
            engine.backup(source)

    engine.wrap = lambda _, store: FaultyStore(store, clock=engine.clock, plan=commit)
    result = heal(engine, keyless=keyless)
    unwrap(engine)
    assert not [one for one in result.repairs if one.open], result.repairs
    assert heal(engine, keyless=keyless).in_sync
    assert len(engine.snapshots()) == 4


def test_a_pack_that_goes_while_its_snapshot_is_healed_keeps_the_record_back(
    engine: Engine, source: TreeSource
) -> None:
    source.file(b"more", b"of today")  # or the snapshot would have no run of its own
    with engine.away("c"):
        new = engine.backup(source).snapshot_id
    old = next(iter(engine.objects("c", names.PACKS)))

    def lose(verb: str, name: str, _number: int) -> None:
        if verb == "put" and name.startswith(names.RUNS) and old in engine.objects("c"):
            engine.lose("c", old)

    wrapped(engine, "c", lose)
    result = heal(engine, "c")
    unwrap(engine)
    assert not result.in_sync
    assert not [one for one in engine.objects("c") if new in one]
    assert heal(engine).in_sync


# --- retiring ------------------------------------------------------------------------------------------------------


def retire(engine: Engine, name: str, *, lost: bool = False) -> RetireResult:
    return retire_replica(engine.config, name, lost=lost, run=Run.start(engine.clock))


def test_a_replica_that_nothing_depends_on_is_retired_and_nothing_deleted(engine: Engine, source: TreeSource) -> None:
    before = engine.data_objects("c")
    result = retire(engine, "c")
    assert (result.snapshots, result.left) == (3, ("a", "b"))
    assert engine.data_objects("c") == before
    assert [name for name in engine.objects("a", "audit/runs/") if result.run_id in name]


def test_a_replica_is_needed_by_the_quorum(engine: Engine, source: TreeSource) -> None:
    engine.urls = {name: engine.urls[name] for name in "ab"}
    with pytest.raises(ReplicaNeeded, match="quorum"):
        retire(engine, "a")


def test_a_replica_is_needed_by_the_placement_policy(engine: Engine, source: TreeSource) -> None:
    config = replace(engine.config, placement=PlacementConfig(copies=3))
    with pytest.raises(ReplicaNeeded, match="copies"):
        retire_replica(config, "c", run=Run.start(engine.clock))


def test_a_replica_is_needed_where_a_snapshot_would_lack_a_quorum(engine: Engine, source: TreeSource) -> None:
    with engine.away("b"):
        engine.backup(source)
    with pytest.raises(ReplicaNeeded, match="1 snapshot is held"):
        retire(engine, "c")
    heal(engine)
    assert retire(engine, "c").snapshots == 4


def test_a_replica_that_does_not_answer_is_retired_only_as_lost(engine: Engine, source: TreeSource) -> None:
    with engine.away("c"):
        with pytest.raises(StoreUnavailable):
            retire(engine, "c")
        assert retire(engine, "c", lost=True).snapshots == 0


# --- pace and order ---------------------------------------------------------------------------------------------------


def test_a_bandwidth_is_shared_by_all_threads() -> None:
    clock = FixedClock()
    pace, started_s = TokenBucket(bytes_per_s=1000, clock=clock), clock.monotonic_s()
    for _ in range(5):
        pace.consume(2000)
    assert clock.monotonic_s() - started_s == pytest.approx(10 - limits.PACED_BURST_S)
    unlimited = TokenBucket(bytes_per_s=0, clock=clock)
    unlimited.consume(1 << 40)
    assert clock.monotonic_s() - started_s == pytest.approx(10 - limits.PACED_BURST_S)


def test_sources_are_tried_nearest_first(engine: Engine) -> None:
    regions = {"a": "", "b": "aws:eu-central-1", "c": "aws:eu-west-1", "d": "gcp:us-central1", "e": "aws:eu-central-1"}
    config = replace(
        engine.config, replicas={name: ReplicaConfig(name, "file:///x", region) for name, region in regions.items()}
    )
    assert nearest_first(config, "b") == ("e", "c", "d", "a")
    assert nearest_first(config, "a") == ("b", "c", "d", "e")


def test_an_object_larger_than_memory_goes_through_a_file(tmp_path: Path) -> None:
    """A manifest of millions of entries: only its commit record vouches for it, and no key is needed to copy it."""
    clock = FixedClock()
    body = random.Random(5).randbytes(limits.HEAL_MEMORY_BYTES + 12_345)
    name = names.pack(hash_pack(body).hex())
    stores = {which: MemoryStore(clock=clock) for which in ("bad", "good")}
    stores["bad"].put(name, body[:-1] + b"!")
    stores["good"].put(name, body)
    found: list[tuple[str, str]] = []
    with Engine(tmp_path / "engine").initialize().opened(Need.NONE) as repository:
        pass
    transfer = Transfer(
        repository=repository, pace=TokenBucket(bytes_per_s=0, clock=clock), scratch=tmp_path,
        damaged=lambda replica, damaged: found.append((replica, damaged)),
    )  # fmt: skip
    sources = [
        (Replica(which, "", store.url, store, MeteredStore(store)), len(body)) for which, store in stores.items()
    ]
    with transfer.good_copy(name, sources) as copy:
        assert isinstance(copy.body, Path)
        assert copy.body.read_bytes() == body
        assert copy.source == "good"
    assert found == [("bad", name)]
    assert [path.name for path in tmp_path.iterdir()] == ["engine"]


# --- what does not count ----------------------------------------------------------------------------------------------


@KEYS
def test_a_commit_that_nobody_certified_signed_stays_where_it_is(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    """Nor is what only it needs copied, and nothing of it is deleted; everything else is in sync."""
    with engine.opened() as repository:
        commit, stored = signed_commit(repository, 7, signer=generate_signing_key())
    planted = {
        commit.name: stored,
        names.run(names.hash_of(b"x")): b"x",
        names.data_key("1" * 32, "2" * 32, "3" * 64): b"",
    }
    for name, data in planted.items():
        engine.shelf("a").objects[name] = (data, engine.clock.now_utc())
    assert heal(engine, keyless=keyless).in_sync
    assert engine.objects("a").items() >= planted.items()
    for replica in "bc":
        assert not engine.objects(replica).keys() & planted.keys()


@KEYS
def test_no_row_of_an_audit_table_decides_what_an_object_must_be(
    engine: Engine, source: TreeSource, keyless: bool
) -> None:
    """Attack A3: at one replica a garbage manifest, and rows that nobody signed and that call it good."""
    (*_, newest) = engine.snapshots()
    name = engine.object_of(newest.snapshot_id, names.MANIFEST)
    before = engine.data_objects("b")
    engine.alter("a", name, lambda _: b"garbage")
    for row in engine.objects("a", "audit/needs/"):
        engine.lose("a", row)
    heal(engine, keyless=keyless, read_data=True)
    assert engine.data_objects("a") == before
    assert engine.data_objects("b") == before


def test_a_misdated_commit_stays_where_it_is_and_is_reported(engine: Engine, source: TreeSource) -> None:
    """A copy would have a time of its own, and look sound once the date of the commit has passed."""
    with engine.opened() as repository:
        future = repository.clock.now_utc() + timedelta(days=400)
        commit, stored = signed_commit(repository, 7, source.name, committed_utc=future)
    engine.shelf("a").objects[commit.name] = (stored, engine.clock.now_utc())
    result = heal(engine)
    assert commit.name not in engine.objects("b")
    assert {(one.replica, one.action) for one in result.repairs if one.object == commit.name} == {
        ("b", "left"), ("c", "left")
    }  # fmt: skip
