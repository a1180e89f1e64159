"""Prune and folds of index fragments: what is superseded goes and stays away; a fold that is put late alarms nobody."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.inventory import take_inventory
from farshore.format import names
from farshore.format.fragments import decode_fragment
from farshore.replicas.repository import BackupSizes
from farshore.stores.object_retention import LockMode
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.prune.prune_world import DAY_S, forget, grown, ids, needed_by, prune, states
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource

FRAGMENTS = limits.FOLD_FRAGMENTS_MIN


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Nights of which each has a pack of its own, and the last a fold of those before."""
    engine = Engine(tmp_path_factory.mktemp("folded")).initialize()
    grown(engine, FRAGMENTS + 1, size=500)
    return engine.template()


@pytest.fixture
def engine(folded: Template, tmp_path: Path) -> Engine:
    return Engine(tmp_path).begin_with(folded)


def superseded(engine: Engine, replica: str = "a") -> set[str]:
    """Fragments that a fold names and the replica still has."""
    there = engine.objects(replica, names.FRAGMENTS)
    return {names.fragment(one.hex()) for data in there.values() for one in decode_fragment(data).superseded} & set(
        there
    )


def test_what_a_fold_supersedes_goes_and_no_heal_brings_it_back(engine: Engine) -> None:
    assert len(superseded(engine)) == FRAGMENTS
    assert states(prune(engine, replica="a"))["a"] == "pruned"
    assert not superseded(engine, "a")
    assert len(superseded(engine, "b")) == FRAGMENTS
    heal(engine)
    assert not superseded(engine, "a")
    assert engine.verify().clean
    engine.forget_cache()
    for snapshot in ids(engine):
        assert engine.restore(snapshot, replica="a")[1]


def test_a_fold_without_a_pack_of_the_other_replaces_nothing(engine: Engine) -> None:
    """The packs are what counts, not the word of the fold."""
    whole = max(engine.objects("a", names.FRAGMENTS), key=lambda name: len(engine.objects("a")[name]))
    engine.lose("a", whole)
    lost = min(engine.objects("a", names.FRAGMENTS))
    engine.lose("a", lost)
    heal(engine)
    assert {whole, lost} <= engine.objects("a").keys()


def test_a_fold_that_is_put_after_its_packs_were_pruned_alarms_nobody(engine: Engine) -> None:
    (fold,) = [name for name, data in engine.objects("a").items() if name.startswith(names.FRAGMENTS)
               and decode_fragment(data).superseded]  # fmt: skip
    body = engine.objects("a")[fold]
    forget(engine, *ids(engine)[:4])
    assert set(states(prune(engine)).values()) == {"pruned"}
    for replica in "abc":
        assert fold not in engine.objects(replica)
        engine.shelf(replica).objects[fold] = (body, engine.clock.now_utc())
    engine.clock.advance(DAY_S)
    with engine.opened(Need.WRITE) as repository:
        inventory = take_inventory(repository, list(repository.replicas.values()))
    assert not inventory.failed
    assert not inventory.incomplete
    for snapshot in ids(engine):
        assert engine.restore(snapshot)[1]


def test_garbage_in_a_fragment_that_writers_keep_locked_goes_in_the_end(tmp_path: Path) -> None:
    """O12: each night extends the lock of a fragment that names a pack in use, until another one has that pack."""
    locked = {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=10)}
    engine = Engine(tmp_path, settings={"a": locked}, sizes=BackupSizes(pack_bytes=64 * limits.KIB)).initialize()
    tree = TreeSource(clock=engine.clock)
    tree.file(b"goes", random.Random(1).randbytes(9_000_000))
    tree.file(b"stays", random.Random(2).randbytes(9_000_000))
    engine.backup(tree)
    (first,) = ids(engine)
    both = needed_by(engine, first)
    assert len(engine.objects("a", names.FRAGMENTS)) == 1
    tree.remove(b"goes")
    for night in range(34):
        engine.clock.advance(DAY_S)
        engine.backup(tree)
        if night == 0:
            forget(engine, first)
        (result,) = prune(engine, replica="a").replicas
        assert str(result.state) in ("pruned", "clean"), (night, result.error)
    garbage = {name for name in both if name.startswith(names.PACKS)} - needed_by(engine, ids(engine)[-1])
    assert garbage
    assert not garbage & engine.objects("a").keys()
    assert engine.verify().clean


def test_a_crowd_of_planted_fragments_is_read_over_several_runs_and_then_goes_unread(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read once, because a fragment that a certified signer made has to go before a pack that it names."""
    monkeypatch.setattr(limits, "UNKNOWN_BYTES_MAX", 2000)
    made = next(iter(engine.objects("a", names.FRAGMENTS).values()))
    planted = [made[:-1000] + bytes([number]) * 1000 for number in range(8)]
    for data in planted:
        engine.shelf("a").objects[names.fragment(names.hash_of(data))] = (data, engine.clock.now_utc())
    forget(engine, ids(engine)[0])
    outcomes = []
    for _ in range(len(planted) + 1):
        (result,) = prune(engine, replica="a").replicas
        outcomes.append(str(result.state))
        if outcomes[-1] == "pruned":
            break
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "pruned", outcomes
    assert states(prune(engine, replica="b"))["b"] == "pruned"
