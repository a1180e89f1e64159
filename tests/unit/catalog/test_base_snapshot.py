"""A backup compares with the manifest and page map that this host kept of the last run, and reads none at a replica."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.catalog import list_commits
from farshore.catalog.base_snapshot import find_base
from farshore.format import names
from farshore.stores.base import Store
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource, blocks

NOISE = random.Random(3).randbytes(3_000_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"first")
    tree.file(b"db", NOISE, page_bytes=4096)
    engine.clock.wait_s(60)
    return tree


class Watched:
    """The replicas of an engine, watched for what is read of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._clock = engine, engine.clock
        self._stores: list[FaultyStore] = []
        engine.wrap = self._wrap

    def _wrap(self, _: str, store: Store) -> Store:
        self._stores.append(FaultyStore(store, clock=self._clock))
        return self._stores[-1]

    def roles_read(self) -> set[str]:
        """Return which runs of snapshots were read, and whether data keys were."""
        read = {call.name for store in self._stores for call in store.calls if call.verb == "get"}
        engine, self._engine.wrap = self._engine, lambda _, store: store
        commits = [engine.commit_of(one.snapshot_id) for one in engine.snapshots()]
        roles = {run.name: role for commit in commits for role, runs in commit.runs.items() for run in runs}
        return {roles[name] for name in read if name in roles} | {
            "a data key" for name in read if name.startswith(names.DATA_KEYS)
        }


def test_what_this_host_kept_is_compared_with_and_no_replica_is_asked_for_it(
    engine: Engine, source: TreeSource
) -> None:
    first = engine.backup(source)
    source.write(b"db", blocks(NOISE, 4096, [7], lambda count: b"n" * count))
    engine.clock.wait_s(60)
    watched = Watched(engine)
    second = engine.backup(source)
    assert watched.roles_read().isdisjoint({names.MANIFEST, names.PAGES, "a data key"})
    assert second.counts.entries_unchanged == first.counts.entries - 1
    assert second.counts.bytes_new == 4096, "pages were compared with nothing"


@pytest.mark.parametrize("kept_as", ["manifest", "run-*"])
def test_what_was_damaged_here_is_read_from_a_replica(engine: Engine, source: TreeSource, kept_as: str) -> None:
    engine.backup(source)
    (kept,) = engine.state_dir.rglob(f"previous/*/{kept_as}")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    engine.clock.wait_s(60)
    watched = Watched(engine)
    second = engine.backup(source)
    assert {names.MANIFEST, "a data key"} <= watched.roles_read()
    assert second.counts.entries_unchanged == second.counts.entries


def test_what_this_host_kept_of_an_older_snapshot_gives_way_to_the_newest(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    other = engine.at("other")
    engine.clock.wait_s(60)
    source.write(b"a", b"second")
    newest = other.backup(source)
    with engine.opened() as repository:
        source_id = repository.source_id(source.name)
        commits = sorted(list_commits(repository, source_id).commits.values(), key=lambda one: one.sequence)
        assert find_base(repository, source_id, commits[:1]) is not None
        found = find_base(repository, source_id, commits)
        assert found is not None
        assert found.snapshot_id == newest.snapshot_id
