"""Room for what comes: what a later version adds stops this one exactly where it must, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.unlock import Need
from farshore.catalog.needs import own_objects
from farshore.catalog.signed_commits import sign_commit
from farshore.errors import FeatureMissing
from farshore.format import decode_object, decode_signed, encode_canonical, names
from farshore.format.commit import RunRef
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.signing import SignedKind
from farshore.trust.actions import RequireFeatures
from farshore.trust.log_entry import make_entry
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import put
from tests.unit.ops.prune.prune_world import prune
from tests.unit.ops.tree_source import TreeSource

REPLICAS = ("a", "b")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls(*REPLICAS), quorum=2).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", b"the first file" * 50)
    engine.backup(tree)
    return tree


def require(engine: Engine, reading: tuple[str, ...], writing: tuple[str, ...]) -> None:
    with engine.opened(Need.OWNER) as repository:
        append_entry(repository, [RequireFeatures(reading, writing)])


def opens(engine: Engine, writes: Writes) -> bool:
    with open_repository(engine.config, need=Need.READ, writes=writes, clock=engine.clock) as repository:
        return bool(repository.replicas)


def test_a_feature_that_writers_must_know_stops_every_writer_and_no_reader(engine: Engine, source: TreeSource) -> None:
    """O13: a program that does not know how deletion works here must not write."""
    require(engine, (), ("dance",))
    before = engine.objects("a")
    writes = (
        lambda: engine.backup(source),
        lambda: heal(engine),
        lambda: prune(engine),
        lambda: opens(engine, Writes.ALL),
    )
    for write in writes:
        with pytest.raises(FeatureMissing, match="to write here needs features this Farshore lacks: dance"):
            write()
    assert engine.objects("a") == before, "not even a lease"
    for kind in (Writes.NONE, Writes.ROWS, Writes.REPAIRS):
        assert opens(engine, kind)


def test_a_feature_that_everybody_must_know_stops_everybody(engine: Engine, source: TreeSource) -> None:
    require(engine, ("dance",), ())
    for writes in Writes:
        with pytest.raises(FeatureMissing, match="dance"):
            opens(engine, writes)
    with pytest.raises(FeatureMissing, match="dance"):
        engine.backup(source)


def test_an_action_of_the_log_that_nobody_knows_is_reported_and_hinders_nothing(
    engine: Engine, source: TreeSource
) -> None:
    with engine.opened(Need.OWNER) as repository:
        key, fingerprint = owner_key(repository), repository.header.fingerprint
        head, data = make_entry(
            key, fingerprint=fingerprint, previous=repository.trust.head, made_utc=engine.clock.now_utc(), actions=[]
        )
    value = decode_object(decode_signed(data, head.name, 2**20).body, head.name)
    body = encode_canonical({**value, "actions": [{"action": "dance", "steps": 3}]})
    stored = signed_text(key, SignedKind.LOG, names.log_subject(head.number), body, fingerprint)
    for replica in REPLICAS:
        put(engine, replica, names.log_entry(head.number, names.hash_of(stored)), stored)
    assert engine.backup(source).snapshot_id
    with engine.opened() as repository:
        assert any("dance" in one for one in repository.trust.unknown)
        assert repository.trust.head is not None
        assert repository.trust.head.number == head.number


def test_a_slot_of_a_kind_that_nobody_knows_is_passed_over(engine: Engine, source: TreeSource) -> None:
    (name, data), *_ = engine.objects("a", names.SLOTS).items()
    text = decode_signed(data, name, 2**20)
    with engine.opened(Need.OWNER) as repository:
        key, fingerprint = owner_key(repository), repository.header.fingerprint
    later = {**text.value, "kind": "wrapped", "provider": "a key service", "key": "k", "wrapped": "eA=="}
    stored = signed_text(key, SignedKind.SLOT, names.SLOTS, encode_canonical(later), fingerprint)
    for replica in REPLICAS:
        put(engine, replica, names.slot(names.hash_of(stored)), stored)
    assert engine.backup(source).snapshot_id
    assert len(engine.snapshots()) == 2


def test_a_run_of_a_role_that_nobody_knows_is_kept_with_its_snapshot(engine: Engine, source: TreeSource) -> None:
    """Whoever copies, checks or deletes goes by every run that a commit names."""
    (snapshot,) = engine.snapshots()
    extra = b"an index of what is in it, which a later version makes"
    run = RunRef(names.hash_of(extra), len(extra))
    commit = engine.commit_of(snapshot.snapshot_id)
    later = replace(commit, snapshot="5" * 32, sequence=2, runs={**commit.runs, "index": (run,)})
    assert run.name in {one.name for one in own_objects(later)}
    with engine.opened(Need.READ) as repository:
        signed, stored = sign_commit(repository.reading_keys(), later, repository.clock.random_bytes(32))
    put(engine, "a", run.name, extra)
    put(engine, "a", signed.name, stored)
    heal(engine)
    assert engine.objects("b")[run.name] == extra
    assert engine.objects("b")[signed.name] == stored
    result, _ = engine.restore("5" * 32, replica="b")
    assert not result.problems
