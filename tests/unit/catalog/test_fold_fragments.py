"""Folds: few fragments after many nights, at each replica only what it has, and nothing hidden by a stranger's word."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.fold_fragments import choose, fold_own
from farshore.catalog.index_loader import load_index
from farshore.catalog.inventory import Inventory, take_inventory
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import list_snapshots
from farshore.format import names
from farshore.format.fragments import FragmentEntry, decode_fragment
from farshore.ops.backup.backup import run_backup
from farshore.replicas.reader import open_reader
from farshore.run import Run
from farshore.sealed.fragments import make_fragment
from farshore.stores.base import Store
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.liar import keys_of, member, plant
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource


def back_up(engine: Engine, source: TreeSource, nights: range) -> None:
    for night in nights:
        source.file(b"%d" % night, random.Random(night).randbytes(500))
        engine.backup(source)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The nights of a host, the last of which found enough fragments to fold."""
    engine = Engine(tmp_path_factory.mktemp("folds")).initialize()
    back_up(engine, TreeSource(clock=engine.clock), range(limits.FOLD_FRAGMENTS_MIN + 1))
    return engine.template()


@pytest.fixture
def engine(written: Template, tmp_path: Path) -> Engine:
    """The same, with objects of its own."""
    return Engine(tmp_path).begin_with(written)


@contextmanager
def counting(engine: Engine) -> Iterator[Counter[str]]:
    """Count how often each object is read meanwhile."""
    stores: list[FaultyStore] = []

    def wrap(_: str, store: Store) -> Store:
        stores.append(FaultyStore(store, clock=engine.clock))
        return stores[-1]

    gets: Counter[str] = Counter()
    engine.wrap = wrap
    yield gets
    engine.wrap = lambda _, store: store
    gets.update(call.name for store in stores for call in store.calls if call.verb == "get")


def fragments(engine: Engine, replica: str = "a") -> dict[str, tuple[FragmentEntry, ...]]:
    return {name: decode_fragment(data).entries for name, data in engine.objects(replica, names.FRAGMENTS).items()}


def fold_of(engine: Engine, replica: str = "a") -> str:
    (found,) = [name for name, entries in fragments(engine, replica).items() if len(entries) > 1]
    return found


def inventory_of(engine: Engine) -> tuple[Inventory, Counter[str]]:
    """The inventory of a host without a cache, and how often it read each fragment."""
    engine.forget_cache()
    with counting(engine) as gets, engine.opened(Need.WRITE) as repository:
        inventory = take_inventory(repository, list(repository.replicas.values()), adopting=False)
    return inventory, Counter({name: gets[name] for name in gets if name.startswith(names.FRAGMENTS)})


def packs_of(inventory: Inventory) -> set[str]:
    return {one.pack_id.hex() for one in inventory.index.packs}


def every_pack(engine: Engine, replica: str = "a") -> set[str]:
    return {name.split("/")[-1] for name in engine.objects(replica, names.PACKS)}


def test_ten_thousand_nights_leave_few_fragments_and_write_a_footer_few_times() -> None:
    numbers = random.Random(4)
    live: dict[str, int] = {}
    new = rewritten = most = 0
    for night in range(10_000):
        size = int(numbers.paretovariate(1.2) * 20_000)
        new += size
        chosen = choose(live)
        if chosen:
            folded = sum(live.pop(one) for one in chosen)
            assert folded <= limits.FOLD_BYTES_MAX
            rewritten += folded
            live[f"fold {night}"] = folded
        live[str(night)] = size
        most = max(most, len(live))
    assert new > 500 * limits.MIB
    assert most <= 4 * (limits.FOLD_FRAGMENTS_MIN + 1) + new // (limits.FOLD_BYTES_MAX // 2)
    assert rewritten < 4 * new


def test_a_level_that_is_full_is_folded_with_the_lower_ones_as_far_as_one_object_goes() -> None:
    small = {f"small {number}": 1000 + number for number in range(7)}
    assert choose(small) == []
    middle = {f"middle {number}": 100_000 + number for number in range(8)}
    assert choose(small | middle) == [*small, *middle]
    assert choose(small | dict(list(middle.items())[1:])) == []
    large = {f"large {number}": 25 * limits.MIB for number in range(8)}
    assert choose(large) == sorted(large)[:2]
    assert choose({f"whole {number}": limits.FOLD_BYTES_MAX // 2 for number in range(20)}) == []


def test_a_host_without_a_cache_reads_the_fold_and_not_what_it_supersedes(engine: Engine) -> None:
    fold = fold_of(engine)
    superseded = {names.fragment(one.hex()) for one in decode_fragment(engine.objects("a")[fold]).superseded}
    assert len(superseded) == limits.FOLD_FRAGMENTS_MIN
    assert set(fragments(engine)) - superseded - {fold}, "what is new tonight is in a fragment of its own"
    inventory, gets = inventory_of(engine)
    assert len(gets.keys() & superseded) <= 15, "those that were asked for before the fold was there"
    assert packs_of(inventory) == every_pack(engine)


def test_snapshots_restore_where_what_is_superseded_is_gone(engine: Engine) -> None:
    for replica in "abc":
        for one in decode_fragment(engine.objects(replica)[fold_of(engine)]).superseded:
            engine.lose(replica, names.fragment(one.hex()))
    inventory, gets = inventory_of(engine)
    assert packs_of(inventory) == every_pack(engine)
    assert len(gets) == 2
    for snapshot in engine.snapshots():
        for replica in "abc":
            engine.forget_cache()
            assert engine.restore(snapshot.snapshot_id, replica=replica)[1]


def test_a_replica_that_was_away_is_given_no_fold_of_what_it_lacks(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    back_up(engine, source, range(4))
    with engine.away("c"):
        back_up(engine, source, range(4, 8))
    back_up(engine, source, range(8, 9))
    assert fold_of(engine, "a") == fold_of(engine, "b")
    assert all(len(entries) <= 4 for entries in fragments(engine, "c").values()), "c lists no fold"
    inventory, _ = inventory_of(engine)
    assert packs_of(inventory) == every_pack(engine)
    for replica in "abc":
        listed = {one.pack_id.hex() for entries in fragments(engine, replica).values() for one in entries}
        assert listed == every_pack(engine, replica), "a listed fragment promises its packs"


def last_of_many(engine: Engine, folder: Engine, replicas: str, *, lies: bool = True) -> set[str]:
    """Have all packs named by small fragments, which are read after 40 larger ones and a fold that says to have them.

    The fold is there at some replicas, is signed by `folder`, and has one pack if it lies. Returns the small ones.
    """
    own = keys_of(engine)
    entries = {entry.pack_id: entry for found in fragments(engine).values() for entry in found}
    one = next(iter(entries.values()))
    for replica in "abc":
        for name in fragments(engine, replica):
            engine.lose(replica, name)
    bodies = [make_fragment([entry], own) for entry in entries.values()]
    small = {names.fragment(names.hash_of(body)): body for body in bodies}
    superseded = [bytes.fromhex(name.split("/")[-1]) for name in small]
    plant(engine, small)
    others = [make_fragment([one], own, [bytes([number]) * 32] * 40) for number in range(40)]
    plant(engine, {names.fragment(names.hash_of(body)): body for body in others})
    fold = make_fragment([one] * 50 if lies else [*entries.values()] * 50, keys_of(folder), superseded)
    plant(engine, {names.fragment(names.hash_of(fold)): fold}, replicas)
    return set(small)


def test_a_fold_of_the_own_party_is_believed_where_it_is_listed(engine: Engine) -> None:
    small = last_of_many(engine, engine, "abc")
    inventory, gets = inventory_of(engine)
    assert not gets.keys() & small
    assert len(packs_of(inventory)) == 1


def test_a_fold_of_another_host_hides_nothing(engine: Engine) -> None:
    small = last_of_many(engine, member(engine, "laptop"), "abc")
    inventory, gets = inventory_of(engine)
    assert small <= gets.keys()
    assert packs_of(inventory) == every_pack(engine)


def test_what_a_replica_without_the_fold_lists_is_read(engine: Engine) -> None:
    last_of_many(engine, engine, "ab", lies=False)
    inventory, _ = inventory_of(engine)
    assert inventory.fragments_lacking("c", sorted(every_pack(engine))) == []


def test_a_restore_reads_what_a_fold_hides_before_it_asks_the_packs(engine: Engine) -> None:
    last_of_many(engine, member(engine, "laptop"), "abc")
    engine.forget_cache()
    with counting(engine) as gets, engine.opened() as repository:
        snapshot = list_snapshots(repository)[-1]
        reader = open_reader(repository)
        needs = read_needs(repository, reader, snapshot.commit)
        index = load_index(repository, reader, needs)
    assert {one.pack_id.hex() for one in index.packs} == {one.pack_id for one in needs.packs}
    assert not any(name.startswith(names.PACKS) for name in gets)


def test_a_fold_is_put_only_where_each_pack_is(engine: Engine) -> None:
    for replica in "abc":
        engine.lose(replica, fold_of(engine, replica))
    pack = next(iter(engine.objects("c", names.PACKS)))
    engine.lose("c", pack)
    with engine.opened(Need.WRITE) as repository:
        inventory = take_inventory(repository, list(repository.replicas.values()))
        fold = fold_own(repository, inventory, ())
    assert fold is not None
    assert fold.replicas == {"a", "b"}


def test_nothing_condemned_is_folded_and_a_night_without_news_folds_nothing(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    back_up(engine, source, range(limits.FOLD_FRAGMENTS_MIN))
    with engine.opened(Need.WRITE) as repository:
        inventory = take_inventory(repository, list(repository.replicas.values()))
        fold = fold_own(repository, inventory, ())
        assert fold is not None
        assert fold.replicas == {"a", "b", "c"}
        assert fold_own(repository, inventory, [fold.name]) is not None
        (doomed,) = fragments(engine)[next(iter(fragments(engine)))]
        kept = fold_own(repository, inventory, [names.pack(doomed.pack_id.hex())])
        assert kept is not None
        assert doomed.pack_id not in {one.pack_id for one in decode_fragment(kept.body).entries}
        run_backup(repository, source, run=Run.start(engine.clock))
    assert all(len(entries) == 1 for entries in fragments(engine).values())
