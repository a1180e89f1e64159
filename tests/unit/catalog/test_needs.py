"""What a snapshot needs, against what backups really put, and that each of its users goes by all of it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.catalog.needs import NeededObject, objects_of, own_objects, read_needs
from farshore.catalog.snapshots import Snapshot
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.ops.locks.locking import check_locks
from farshore.run import Run
from farshore.stores.object_retention import LockMode
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.tree_source import TreeSource, blocks

PAGE = 512
PAGES = 3000
LOCKED: dict[str, Any] = {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=10)}
AT_EVERY_REPLICA = (names.HEADER, names.SLOTS, names.LOG)  # made with the repository
NO_PART_OF_A_SNAPSHOT = (names.AUDIT, names.LEASES, names.FRAGMENTS, *AT_EVERY_REPLICA)
KINDS = ("pack", "data-key", "manifest", "needs", "pages", "oldest-pages", "commit")


@dataclass
class World:
    """Two snapshots of one source. The second reuses packs, a data key and a page map of the first."""

    engine: Engine
    source: TreeSource
    first: Snapshot
    second: Snapshot
    first_put: set[str]  # by the first backup, besides what `NO_PART_OF_A_SNAPSHOT` names
    second_put: set[str]

    def needed(self, snapshot: Snapshot) -> list[NeededObject]:
        with self.engine.opened(Need.WRITE) as repository:
            commit = snapshot.commit
            needs = read_needs(repository, repository.replicas["a"], commit)
            return list(objects_of(commit, needs))

    def reused(self, kind: str) -> str:
        """An object of one kind that the second snapshot needs, found without `objects_of`.

        Of an earlier run where there is such a kind.
        """
        match kind:
            case "pack":
                return min(one for one in self.first_put if one.startswith(names.PACKS))
            case "data-key":
                return min(one for one in self.first_put if one.startswith(names.DATA_KEYS))
            case "oldest-pages":
                return self.engine.object_of(self.first.snapshot_id, names.PAGES)
            case _:
                return self.engine.object_of(self.second.snapshot_id, kind)


def put_by(engine: Engine, before: Iterable[str] = ()) -> set[str]:
    there = set(engine.objects("a")) - set(before)
    return {name for name in there if not name.startswith(NO_PART_OF_A_SNAPSHOT)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    engine = Engine(tmp_path, settings={"a": LOCKED}).initialize()
    tree = TreeSource(clock=engine.clock)
    noise = random.Random(1)
    tree.file(b"db", noise.randbytes(PAGES * PAGE), page_bytes=PAGE)
    tree.file(b"text", noise.randbytes(50_000))
    tree.file(b"sparse", noise.randbytes(9_000), 1 << 20, noise.randbytes(9_000))
    tree.file(b"none")
    tree.file(b"named", b"small", xattrs=((b"user.noise", noise.randbytes(1_000)), (b"user.small", b"1")))
    tree.symlink(b"link", b"text")
    tree.link(b"text-again", b"text")
    engine.clock.wait_s(7200)  # the key slot is older than the first commit by more than clocks may differ
    engine.backup(tree)
    at_first = set(engine.objects("a"))
    (first,) = engine.snapshots()
    tree.write(b"db", blocks(tree.content(b"db"), PAGE, range(20), noise.randbytes))
    tree.file(b"new", noise.randbytes(50_000))
    engine.clock.wait_s(60)
    engine.backup(tree)
    (second,) = [one for one in engine.snapshots() if one.snapshot_id != first.snapshot_id]
    return World(engine, tree, first, second, put_by(engine) & at_first, put_by(engine, at_first))


def test_what_a_backup_puts_is_what_its_snapshot_needs(world: World) -> None:
    """So nothing that a backup puts, besides fragments, leases and audit rows, is unknown to whoever deletes."""
    first, second = world.needed(world.first), world.needed(world.second)
    assert {one.name for one in first} == world.first_put
    assert {one.name for one in second} >= world.second_put
    assert {one.name for one in second} - world.second_put <= world.first_put
    for needed in (first, second):
        assert len(needed) == len({one.name for one in needed})
    assert {one.kind for one in second} == {Kind.PACK, Kind.DATA_KEY, Kind.RUN, Kind.COMMIT}
    assert {kind for kind in KINDS if world.reused(kind) in {one.name for one in second}} == set(KINDS)


def test_sizes_are_those_of_the_objects_and_what_a_record_names_is_part_of_it(world: World) -> None:
    there = world.engine.objects("a")
    needed = world.needed(world.second)
    assert {one.kind for one in needed if one.size is None} == {Kind.COMMIT}
    assert [one for one in needed if one.size not in (None, len(there[one.name]))] == []
    own = list(own_objects(world.second.commit))
    assert len(own) == 6, "two runs of the manifest and of needs, a page map and its base"
    assert own == [one for one in needed if one.kind is Kind.RUN]


def test_a_replica_that_holds_nothing_else_restores_the_snapshot(world: World) -> None:
    """Nor is anything missing: what remains after everything else is deleted is enough, for a host that knows none."""
    kept = {one.name for one in world.needed(world.second)}
    shelf = world.engine.shelf("b").objects
    for name in [name for name in shelf if name not in kept and not name.startswith(AT_EVERY_REPLICA)]:
        del shelf[name]
    stranger = world.engine.at("stranger")
    stranger.urls = {"b": world.engine.urls["b"]}
    result, shown = stranger.restore(world.second.snapshot_id)
    assert not result.problems
    assert shown == world.source.contents()


@pytest.mark.parametrize("kind", [one for one in KINDS if one != "commit"])
def test_verify_looks_for_each_kind(world: World, kind: str) -> None:
    world.engine.lose("a", world.reused(kind))
    found = world.engine.verify(percent=0.0).damaged
    missing = [one for one in found if (one.replica, one.name, one.code) == ("a", world.reused(kind), "missing")]
    assert [world.second.snapshot_id in one.snapshots for one in missing] == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_locks_are_looked_at_for_each_kind(world: World, kind: str) -> None:
    world.engine.shelf("a").kept[world.reused(kind)].lock = None
    with world.engine.opened(Need.WRITE) as repository:
        (a, *_) = check_locks(repository, world.second, run=Run.start(repository.clock))
    assert (a.replica, a.unlocked) == ("a", 1)


@pytest.mark.parametrize("kind", ["pack", "data-key", "oldest-pages"])
def test_a_backup_has_each_reused_kind_locked_for_long_enough(world: World, kind: str) -> None:
    """A lock that ended, and a commit record that promises nothing of it: the next snapshot locks it again."""
    world.engine.settings = {}
    world.source.file(b"unlocked", random.Random(7).randbytes(20_000))
    world.engine.clock.wait_s(60)
    world.engine.backup(world.source)
    world.engine.settings = {"a": LOCKED}
    world.engine.shelf("a").kept[world.reused(kind)].lock = None
    world.engine.clock.wait_s(60)
    world.engine.backup(world.source)
    (newest,) = [one for one in world.engine.snapshots() if one.sequence == 4]
    lock = world.engine.shelf("a").kept[world.reused(kind)].lock
    assert lock is not None
    assert lock.until_utc >= newest.locks[0].until_utc


def test_no_lock_that_a_commit_record_promises_is_asked_for_again(world: World) -> None:
    """A run that follows at once extends nothing: what the last record promises covers every kind."""
    world.engine.clock.wait_s(60)
    result = world.engine.backup(world.source)
    assert [one.locks_extended for one in result.replicas if one.replica == "a"] == [0]


@pytest.mark.parametrize("kind", ["pack", "data-key", "oldest-pages"])
def test_a_backup_gives_a_replica_each_reused_kind_that_it_lacks(world: World, kind: str) -> None:
    name = world.reused(kind)
    lost = [name]
    if kind == "pack":  # or a fragment or a snapshot that is listed there says that "c" has lost it
        lost += world.engine.objects("c", names.FRAGMENTS)
        lost += world.engine.objects("c", names.SNAPSHOTS)
    for one in lost:
        world.engine.lose("c", one)
    world.engine.clock.wait_s(60)
    world.engine.backup(world.source)
    assert world.engine.objects("c")[name] == world.engine.objects("a")[name]
    sql = f"SELECT count(*) FROM lineage WHERE object = '{name}' AND reused"
    assert run_query(world.engine.config, sql, clock=world.engine.clock).rows == [(2,)]


@pytest.mark.parametrize("kind", [one for one in KINDS if one not in ("commit", "needs")])
def test_heal_tells_of_each_kind_that_is_lost_everywhere(world: World, kind: str) -> None:
    name = world.reused(kind)
    for replica in "abc":
        world.engine.lose(replica, name)
    found = [one for one in heal(world.engine).repairs if one.object == name]
    assert len(found) == 3
    assert all(one.open and world.second.snapshot_id in one.snapshots for one in found)
