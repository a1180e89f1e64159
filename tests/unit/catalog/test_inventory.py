"""What a run learns of its replicas: from fragments, from packs no fragment names, from whichever replica answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog.inventory import Inventory, copy_missing, copy_object, reused_missing, take_inventory
from farshore.errors import StateUnknown
from farshore.format import names
from farshore.replicas.repository import Repository
from tests.doubles.faulty import FAIL, TRUNCATE, VANISH, Fault, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for number in range(3):
        source.file(f"{number}".encode(), random.Random(number).randbytes(1000))
        engine.backup(source)
    return engine


@contextmanager
def surveyed(engine: Engine) -> Iterator[tuple[Repository, Inventory]]:
    engine.forget_cache()
    with engine.opened(Need.WRITE) as repository:
        yield repository, take_inventory(repository, list(repository.replicas.values()))


def packs(engine: Engine, replica: str = "a") -> dict[str, int]:
    return {name.split("/")[-1]: len(data) for name, data in engine.objects(replica, names.PACKS).items()}


def sizes(inventory: Inventory) -> dict[str, int]:
    """The packs that are known, with their sizes."""
    return {one.pack_id.hex(): one.pack_bytes for one in inventory.index.packs}


def test_everything_is_known_from_fragments(engine: Engine) -> None:
    with surveyed(engine) as (_, inventory):
        assert set(sizes(inventory)) == set(packs(engine))
        assert not inventory.orphans
        assert inventory.failed == {}
        for pack_id, size in packs(engine).items():
            assert inventory.holders(pack_id) == ["a", "b", "c"]
            assert sizes(inventory)[pack_id] == size


def test_packs_without_fragments_are_adopted(engine: Engine) -> None:
    for replica in "abc":
        for name in engine.objects(replica, names.FRAGMENTS):
            engine.lose(replica, name)
    with surveyed(engine) as (_, inventory):
        assert set(sizes(inventory)) == set(inventory.orphans) == set(packs(engine))


def test_a_fragment_that_one_replica_has_damaged_is_read_from_another(engine: Engine) -> None:
    for name in engine.objects("a", names.FRAGMENTS):
        engine.flip("a", name, at=4)
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda verb, _name, _number: FAIL if verb == "get" else None)
        if name == "b"
        else store
    )
    with surveyed(engine) as (_, inventory):
        assert set(sizes(inventory)) == set(packs(engine))
        assert not inventory.orphans


def test_a_replica_that_cannot_be_listed_is_failed_and_not_empty(engine: Engine) -> None:
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda verb, _name, _number: FAIL if verb == "list" else None)
        if name == "b"
        else store
    )
    with surveyed(engine) as (_, inventory):
        assert list(inventory.failed) == ["b"]
        assert "b" not in inventory.fragments


def test_a_pack_of_the_wrong_size_is_not_held(engine: Engine) -> None:
    pack_id = next(iter(packs(engine)))
    engine.alter("b", names.pack(pack_id), lambda data: data[:-1])
    with surveyed(engine) as (_, inventory):
        assert inventory.holders(pack_id) == ["a", "c"]
    for replica in "ac":
        engine.lose(replica, names.pack(pack_id))
    with surveyed(engine) as (_, inventory):
        assert inventory.holders(pack_id) == []
        assert pack_id not in sizes(inventory)


def test_a_pack_that_a_fragment_names_and_nobody_holds_is_unknown(engine: Engine) -> None:
    pack_id = next(iter(packs(engine)))
    for replica in "abc":
        engine.lose(replica, names.pack(pack_id))
    with surveyed(engine) as (_, inventory):
        assert pack_id not in sizes(inventory)


def test_an_orphan_that_is_garbage_is_passed_over(engine: Engine) -> None:
    for data in (b"", b"x", b"FSPK" + b"\1" + bytes(100), bytes(500)):
        engine.shelf("a").objects[names.pack("ab" * 32)] = (data, engine.clock.now_utc())
        with surveyed(engine) as (_, inventory):
            assert "ab" * 32 not in sizes(inventory)


@pytest.mark.parametrize("heads", [True, False], ids=["one-by-one", "by-listing"])
def test_what_a_replica_lacks_is_asked_of_it_now(engine: Engine, heads: bool) -> None:
    wanted = list(packs(engine).items()) if heads else list(packs(engine).items()) * 100
    gone, cut = wanted[0][0], wanted[1][0]
    engine.lose("b", names.pack(gone))
    engine.alter("b", names.pack(cut), lambda data: data + b"x")
    with engine.opened(Need.WRITE) as repository:
        assert set(reused_missing(repository.replicas["b"], wanted)) == {gone, cut}
        assert reused_missing(repository.replicas["a"], wanted) == []


def test_a_replica_is_brought_up_with_packs_keys_and_fragments(engine: Engine) -> None:
    before = engine.data_objects("a")
    for name in list(engine.objects("b")):
        if name.startswith((names.PACKS, names.DATA_KEYS, names.FRAGMENTS)):
            engine.lose("b", name)
    with surveyed(engine) as (repository, inventory):
        others = [repository.replicas["a"], repository.replicas["c"]]
        keys = list(engine.objects("a", names.DATA_KEYS))
        copied = copy_missing(repository.replicas["b"], others, inventory, list(packs(engine).items()), keys)
        assert copied >= sum(packs(engine).values())
        assert copy_missing(repository.replicas["b"], others, inventory, list(packs(engine).items()), keys) >= 0
    assert engine.data_objects("b") == before


def test_a_copy_is_taken_from_whoever_has_a_good_one(engine: Engine) -> None:
    pack_id, size = next(iter(packs(engine).items()))
    engine.flip("a", names.pack(pack_id))
    engine.lose("b", names.pack(pack_id))
    with engine.opened(Need.WRITE) as repository:
        others = [repository.replicas["a"], repository.replicas["c"]]
        assert copy_object(names.pack(pack_id), others, repository.replicas["b"]) == size
        assert engine.objects("b")[names.pack(pack_id)] == engine.objects("c")[names.pack(pack_id)]
        engine.lose("b", names.pack(pack_id))
        engine.lose("c", names.pack(pack_id))
        with pytest.raises(StateUnknown, match="do not hash"):
            copy_object(names.pack(pack_id), others, repository.replicas["b"])


@pytest.mark.parametrize("fault", [VANISH, TRUNCATE], ids=["vanishes", "cuts"])
def test_a_replica_that_keeps_nothing_it_acknowledges_is_found_out(engine: Engine, fault: Fault) -> None:
    pack_id, _ = next(iter(packs(engine).items()))
    engine.lose("b", names.pack(pack_id))
    with surveyed(engine) as (repository, inventory):
        bad = repository.replicas["b"]
        lying = replace(
            bad,
            store=FaultyStore(
                bad.store, clock=engine.clock, plan=lambda verb, _name, _number: fault if verb == "put" else None
            ),
        )
        with pytest.raises(StateUnknown):
            copy_missing(lying, [repository.replicas["a"]], inventory, list(packs(engine).items()), [])


def test_a_replica_that_lacks_several_fragments_gets_each_with_all_its_packs(engine: Engine) -> None:
    """Also those packs of a lacking fragment that the snapshot does not need: a listed fragment promises them."""
    before = engine.data_objects("a")
    kept = list(engine.objects("b", names.FRAGMENTS))[1]
    for name in [*engine.objects("b", names.PACKS), *engine.objects("b", names.FRAGMENTS)]:
        if name != kept:
            engine.lose("b", name)
    with surveyed(engine) as (repository, inventory):
        others = [repository.replicas["a"], repository.replicas["c"]]
        assert inventory.fragments_lacking("a", list(packs(engine))) == []
        lacking = inventory.fragments_lacking("b", list(packs(engine)))
        assert sorted(names.fragment(one) for one in lacking) == [
            name for name in engine.objects("a", names.FRAGMENTS) if name != kept
        ]
        for fragment_id in lacking:
            assert len(inventory.packs_lacking("b", fragment_id)) == 1
            assert inventory.packs_lacking("a", fragment_id) == []
        copy_missing(repository.replicas["b"], others, inventory, list(packs(engine).items()), [])
    assert engine.data_objects("b") == before
