"""A snapshot that a maintainer has forgotten is listed nowhere, whichever replica knows it; nobody else forgets one."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.snapshots import resolve_snapshot
from farshore.catalog.tombstones import forgotten_commits
from farshore.errors import SnapshotUnknown
from farshore.format import names
from farshore.ops.setup.enroll import enroll
from farshore.signing import generate_signing_key
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.lease_world import Calls, forget, maintainer, put, revoke, unforget
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, urls=fresh_memory_urls("a", "b"), quorum=2).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", b"the first file" * 50)
    return tree


def listed(engine: Engine) -> list[str]:
    return [one.snapshot_id for one in engine.snapshots()]


def test_a_forgotten_snapshot_is_not_listed_though_one_replica_alone_knows_it(
    engine: Engine, source: TreeSource
) -> None:
    first, second = (engine.backup(source).snapshot_id for _ in range(2))
    forget(engine, "b", second)
    assert listed(engine) == [first]
    with engine.opened() as repository, pytest.raises(SnapshotUnknown):
        resolve_snapshot(repository, second)


def test_what_takes_a_tombstone_back_counts_wherever_it_is(engine: Engine, source: TreeSource) -> None:
    snapshot = engine.backup(source).snapshot_id
    stone = forget(engine, "a", snapshot)
    assert listed(engine) == []
    unforget(engine, "b", stone)
    assert listed(engine) == [snapshot]
    engine.clock.advance(1)
    forget(engine, "a", snapshot)  # another tombstone, which nothing has taken back
    assert listed(engine) == []


def test_nobody_without_the_right_forgets_a_snapshot(engine: Engine, source: TreeSource) -> None:
    """A thief with put rights, and a writer."""
    snapshot = engine.backup(source).snapshot_id
    forget(engine, "a", snapshot, key=generate_signing_key())
    with engine.opened(Need.OWNER) as repository:
        writer = enroll(repository, "another host").credential.signing_key
    forget(engine, "b", snapshot, key=writer)
    name = f"forgotten/{snapshot}-{'0' * 64}"
    put(engine, "a", name, b"garbage")
    assert listed(engine) == [snapshot]
    with engine.at("elsewhere").opened() as repository:
        assert not forgotten_commits(repository)


def test_a_revoked_maintainer_forgets_nothing(engine: Engine, source: TreeSource) -> None:
    """So what a thief with its key has hidden is listed again once it is revoked."""
    snapshot = engine.backup(source).snapshot_id
    commit = engine.commit_of(snapshot).hash
    forget(engine, "a", snapshot)
    assert listed(engine) == []
    revoke(engine, maintainer(engine)[0].signer_id, [commit])
    assert snapshot in listed(engine)


def test_a_flood_of_tombstones_that_nobody_signed_is_read_once_and_within_a_bound(
    engine: Engine, source: TreeSource
) -> None:
    snapshot = engine.backup(source).snapshot_id
    other = engine.backup(source).snapshot_id
    for number in range(400):
        data = f"garbage {number}".encode()
        put(engine, "a", names.tombstone(f"forgotten/{number:032x}", names.hash_of(data)), data)
    forget(engine, "a", snapshot)
    reads, shown = [], [""]
    for _ in range(3):
        with Calls(engine) as seen:
            shown = listed(engine)
        reads.append(sum(verb == "get" and name.startswith("forgotten/") for verb, name in seen.at("a")))
    assert reads[0] <= limits.UNKNOWN_SIGNED_MAX + 3
    assert reads[2] == 0
    assert shown == [other]


def test_the_sequence_of_a_forgotten_snapshot_is_not_used_again(engine: Engine, source: TreeSource) -> None:
    """Else taking it back would make two of one sequence."""
    engine.backup(source)
    stone = forget(engine, "a", engine.backup(source).snapshot_id)
    engine.backup(source)
    unforget(engine, "a", stone)
    assert sorted(one.sequence for one in engine.snapshots()) == [1, 2, 3]
