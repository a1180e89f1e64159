"""Bytes that snapshots need alone, against a count by hand over the objects that are there."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.needs import objects_of
from farshore.errors import StateUnknown
from farshore.format import names
from farshore.format.commit import ReplicaLock
from farshore.ops.retain import usage
from farshore.ops.retain.usage import RepositoryUsage, freed_among, freed_by, measure_usage
from farshore.run import Run
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import forget
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine", urls=fresh_memory_urls("a", "b"), quorum=1).initialize()


@pytest.fixture
def before(engine: Engine) -> list[str]:
    """Three snapshots of one source, each with more of its own, and one of another source."""
    tree, other = (TreeSource(name=name, clock=engine.clock) for name in ("home", "other"))
    made = []
    for number in range(3):
        tree.file(b"first", random.Random(0).randbytes(50_000))
        tree.file(f"{number}".encode(), random.Random(number + 1).randbytes(20_000 * (number + 1)))
        made.append(engine.backup(tree).snapshot_id)
    other.file(b"x", random.Random(9).randbytes(70_000))
    return [*made, engine.backup(other).snapshot_id]


def measured(engine: Engine, need: Need = Need.READ) -> RepositoryUsage:
    with engine.opened(need) as repository:
        return measure_usage(repository, run=Run.start(engine.clock))


def needed(engine: Engine, snapshot: str) -> dict[str, int]:
    """Return the objects that a snapshot needs but its commit, with the bytes that they have at a replica."""
    there = engine.objects("a")
    found = objects_of(engine.commit_of(snapshot), engine.needs_of(snapshot))
    return {one.name: len(there[one.name]) for one in found if not one.name.startswith(names.SNAPSHOTS)}


def test_what_a_snapshot_alone_needs_is_what_nothing_else_needs(engine: Engine, before: list[str]) -> None:
    by_hand = {one: needed(engine, one) for one in before}
    found = measured(engine)
    assert [one.snapshot for one in found.snapshots] == before
    for one in found.snapshots:
        others = {name for other, objects in by_hand.items() if other != one.snapshot for name in objects}
        assert one.usage.needed == sum(by_hand[one.snapshot].values())
        alone = sum(size for name, size in by_hand[one.snapshot].items() if name not in others)
        assert one.usage.whole == alone
        assert one.usage.unique >= alone
    assert found.total == sum({name: size for objects in by_hand.values() for name, size in objects.items()}.values())
    home, other = found.sources
    assert (home.source, home.snapshots, other.source, other.snapshots) == ("home", 3, "other", 1)
    shared = set.union(*(set(by_hand[one]) for one in before[:3])) & set(by_hand[before[3]])
    assert not shared
    assert home.usage.whole + other.usage.whole == found.total


def test_a_host_that_cannot_read_backups_can_ask(engine: Engine, before: list[str]) -> None:
    found = measured(engine.at("keyless", reads=False), Need.NONE)
    assert found.total == measured(engine).total
    assert {len(one.source) for one in found.sources} == {32}, "ids, where names do not open"


def test_what_only_forgotten_snapshots_need_is_told_apart(engine: Engine, before: list[str]) -> None:
    whole = measured(engine).snapshots[1].usage.whole
    forget(engine, "a", before[1])
    found = measured(engine)
    forgotten = next(one for one in found.sources if not one.source_id)
    assert (forgotten.snapshots, forgotten.usage.whole) == (1, whole)


def test_segments_of_a_shared_pack_count_by_their_share() -> None:
    users, sizes = usage._Users(), {"p": (1000, 4)}  # noqa: SLF001 - the arithmetic of sharing
    one, two, all_of_it = (usage._Counted(packs={"p": bits}) for bits in (0b0011, 0b0110, -1))  # noqa: SLF001
    for counted in (one, two):
        users.add(counted)
    assert users.usage(one, sizes) == usage.Usage(needed=1000, whole=0, unique=250)
    users.add(all_of_it)
    assert users.usage(one, sizes).unique == 0
    assert users.usage(all_of_it, sizes) == usage.Usage(needed=1000, whole=0, unique=250)
    alone = usage._Users()  # noqa: SLF001
    alone.add(one)
    assert alone.usage(one, sizes) == usage.Usage(needed=1000, whole=1000, unique=1000)
    third = usage._Counted(packs={"p": 0b1000})  # noqa: SLF001
    for counted in (two, two, third):
        alone.add(counted)
    assert alone.usage(third, sizes).whole == 0, "others use the rest of it, several at once"


def test_what_goes_is_freed_now_or_when_locks_end(engine: Engine, before: list[str]) -> None:
    alone = measured(engine).snapshots[1].usage.whole
    with engine.opened() as repository:
        going = {engine.commit_of(before[1]).hash}
        found = freed_by(repository, going, run=Run.start(engine.clock))
        assert [(one.replica, one.now, one.locked) for one in found] == [("a", alone, 0), ("b", alone, 0)]
        listed = list_commits(repository)
        end_utc = engine.clock.now_utc() + timedelta(days=9)
        lock = ReplicaLock("compliance", end_utc, 3600, "memory://a")
        locked = {one: replace(head, locks={"a": lock} if one in going else {}) for one, head in listed.commits.items()}
        a, b = freed_among(
            repository, replace(listed, heads=locked, commits=locked), going, run=Run.start(engine.clock)
        )
        assert (a.now, a.locked, a.last_utc) == (0, alone, end_utc + timedelta(hours=1))
        assert (b.now, b.locked, b.last_utc) == (alone, 0, None)


def test_needs_that_cannot_be_read_stop_the_count(engine: Engine, before: list[str]) -> None:
    """Or what they share with others would look like what nothing else needs."""
    commit = engine.commit_of(before[0])
    for replica in "ab":
        for run in commit.runs[names.NEEDS]:
            del engine.shelf(replica).objects[run.name]
    with engine.at("elsewhere").opened() as repository, pytest.raises(StateUnknown, match="cannot be read"):
        measure_usage(repository, run=Run.start(engine.clock))
