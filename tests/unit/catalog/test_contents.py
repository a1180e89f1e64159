from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.catalog.contents import diff_snapshots, iterate_entries
from farshore.catalog.snapshots import Snapshot, latest_snapshot_per_replica, list_snapshots, resolve_snapshot
from farshore.cli.wording import record_of
from farshore.errors import FarshoreError, SnapshotUnknown
from farshore.format import names
from farshore.model import Change, ChangeKind, EntryKind
from farshore.ops.backup.backup import run_backup
from farshore.ops.backup.session import BackupSession
from farshore.replicas.repository import Repository
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.directory(b"d")
    tree.file(b"d/a", b"one")
    tree.file(b"d-b", b"two")
    tree.file(b"d/sub-file", b"three")
    tree.symlink(b"l", b"d/a")
    return tree


@pytest.fixture
def catalog(engine: Engine, source: TreeSource) -> Iterator[tuple[Repository, list[Snapshot]]]:
    """Three snapshots of `home`, an hour apart from midnight on, and one of `work`."""
    for _ in range(3):
        engine.backup(source)
        engine.clock.wait_s(3600)
    engine.backup(TreeSource(clock=engine.clock, name="work"), allow_empty=True)
    with engine.opened() as repository:
        yield repository, list_snapshots(repository)


def test_snapshots_come_in_order_of_their_commits(catalog: tuple[Repository, list[Snapshot]]) -> None:
    repository, snapshots = catalog
    assert [one.source for one in snapshots] == ["home"] * 3 + ["work"]
    assert [one.started_utc.hour for one in snapshots] == [0, 1, 2, 3]
    assert [one.source for one in list_snapshots(repository, "work")] == ["work"]
    assert list_snapshots(repository, "nowhere") == []
    assert all(one.replicas == ("a", "b", "c") for one in snapshots)


def test_what_follows_the_choice_of_a_snapshot_lists_nothing_again(
    catalog: tuple[Repository, list[Snapshot]],
) -> None:
    repository, snapshots = catalog
    repository.drain_requests()
    chosen = resolve_snapshot(repository, "home")
    assert [one.lists for one in repository.drain_requests()] == [2, 2, 2], "snapshots, and tombstones"
    assert chosen.commit.snapshot == chosen.snapshot_id
    assert list(iterate_entries(repository, chosen))
    asked = repository.drain_requests()
    assert sum(one.gets for one in asked) == 2  # its data key and its manifest; the listing read its commit record
    assert list(diff_snapshots(repository, snapshots[0], chosen)) == []
    asked += (diffed := repository.drain_requests())
    assert sum(one.gets for one in diffed) == 0, "an unchanged snapshot has the manifest of the one before"
    assert "commit" not in record_of("snapshot", chosen)
    assert [one.lists for one in asked] == [0, 0, 0] * 2


def test_a_snapshot_is_found_by_its_id_or_a_prefix_that_no_other_has(
    catalog: tuple[Repository, list[Snapshot]],
) -> None:
    repository, snapshots = catalog
    for one in snapshots:
        assert resolve_snapshot(repository, one.snapshot_id) == one
        assert resolve_snapshot(repository, one.snapshot_id[:8]) == one


def test_a_prefix_that_begins_two_is_ambiguous(engine: Engine, source: TreeSource) -> None:
    class Alike(StillClock):
        """Gives ids that begin alike."""

        def random_bytes(self, count: int) -> bytes:
            return b"\xab\xcd\xef" + super().random_bytes(count)[3:] if count == 16 else super().random_bytes(count)

    engine.clock = Alike(seed=5)
    engine.backup(source)
    engine.clock.wait_s(60)
    engine.backup(source)
    with engine.opened() as repository:
        with pytest.raises(SnapshotUnknown, match="more than one") as caught:
            resolve_snapshot(repository, "abcdef")
        for one in list_snapshots(repository):
            assert one.snapshot_id in caught.value.message
            assert resolve_snapshot(repository, one.snapshot_id[:12]) == one
        with pytest.raises(SnapshotUnknown, match="at least 4 digits"):
            resolve_snapshot(repository, "abc")  # too short to be taken for a prefix


@pytest.mark.parametrize(
    "selector", ["", "no", "0000", "nowhere", "home@", "@", "home@yesterday", "home@2025-12-31", "x@2027-01-01"]
)
def test_what_names_no_snapshot_is_reported(catalog: tuple[Repository, list[Snapshot]], selector: str) -> None:
    with pytest.raises(SnapshotUnknown):
        resolve_snapshot(catalog[0], selector)


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        ("home", 2),
        ("home@latest", 2),
        ("work", 3),
        ("home@2026-01-01T00:00:01", 0),
        ("home@2026-01-01T00:59:59", 0),
        ("home@2026-01-01T01:00:01", 1),
        ("home@2026-01-01T01:30+01:00", 0),
        ("home@2026-01-01T00:30-01:00", 1),
        ("home@2030-01-01", 2),
        ("home@2026-01-01T02:00:01Z", 2),
    ],
)
def test_a_snapshot_is_found_by_source_and_moment(
    catalog: tuple[Repository, list[Snapshot]], selector: str, number: int
) -> None:
    repository, snapshots = catalog
    assert resolve_snapshot(repository, selector) == snapshots[number]


def test_the_newest_before_a_moment_is_by_its_start_and_not_by_its_commit(engine: Engine, source: TreeSource) -> None:
    """A run that began earlier and took longer is not the newer state."""
    with engine.opened() as repository:
        slow = BackupSession(repository, source, run=Run.start(engine.clock))
        begun = slow.begin()
        engine.clock.wait_s(600)
        fast = run_backup(repository, source, run=Run.start(engine.clock))
        engine.clock.wait_s(60)
        slow.seal()
        for name in begun.replicas:
            slow.replicate(name)
        slow.commit()
        slow.close()
        found = resolve_snapshot(repository, "home@2026-01-01T12:00")
        assert found.snapshot_id == fast.snapshot_id


def test_entries_of_a_snapshot_or_of_a_path_in_it(catalog: tuple[Repository, list[Snapshot]]) -> None:
    repository, snapshots = catalog
    paths = [one.path for one in iterate_entries(repository, snapshots[0])]
    assert paths == [b"", b"d", b"d/a", b"d/sub-file", b"d-b", b"l"]
    for path in (b"d", b"/d", b"d/", b"/d/"):
        assert [one.path for one in iterate_entries(repository, snapshots[0], path)] == [b"d", b"d/a", b"d/sub-file"]
    assert [one.path for one in iterate_entries(repository, snapshots[0], b"d/a")] == [b"d/a"]
    for path, below in ((b"", [b"", b"d", b"d-b", b"l"]), (b"d", [b"d", b"d/a", b"d/sub-file"]), (b"d-b", [b"d-b"])):
        assert [one.path for one in iterate_entries(repository, snapshots[0], path, recursive=False)] == below
    with pytest.raises(SnapshotUnknown, match="no path 'd/b'"):
        list(iterate_entries(repository, snapshots[0], b"d/b"))


def changes(engine: Engine) -> list[Change]:
    with engine.opened() as repository:
        before, after = list_snapshots(repository)[-2:]
        return list(diff_snapshots(repository, before, after))


def test_nothing_changed(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.backup(source)
    assert changes(engine) == []


def test_what_was_added_removed_and_modified(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.clock.wait_s(60)
    source.remove(b"d-b")
    source.write(b"d/a", b"longer than before")
    source.file(b"d/new", b"new")
    source.file(b"zz", b"12345")
    source.nodes[b"l"].entry = source.nodes[b"l"].entry._replace(target=b"elsewhere", ctime_ns=1)
    engine.backup(source)
    assert changes(engine) == [
        Change(b"d/a", ChangeKind.MODIFIED, EntryKind.FILE, 3, 18),
        Change(b"d/new", ChangeKind.ADDED, EntryKind.FILE, 0, 3),
        Change(b"d-b", ChangeKind.REMOVED, EntryKind.FILE, 3, 0),
        Change(b"l", ChangeKind.MODIFIED, EntryKind.SYMLINK, 0, 0),
        Change(b"zz", ChangeKind.ADDED, EntryKind.FILE, 0, 5),
    ]


@pytest.mark.parametrize(
    "more", [{"mode": 0o600}, {"uid": 5}, {"gid": 5}, {"mtime_ns": 5}, {"xattrs": ((b"user.a", b"1"),)}], ids=str
)
def test_a_change_of_metadata_is_reported_as_one(engine: Engine, source: TreeSource, more: dict[str, object]) -> None:
    engine.backup(source)
    node = source.nodes[b"d/a"]
    node.entry = node.entry._replace(ctime_ns=7, **more)  # type: ignore[arg-type]
    engine.backup(source)
    assert changes(engine) == [Change(b"d/a", ChangeKind.METADATA, EntryKind.FILE, 3, 3)]


def test_a_directorys_time_alone_is_no_change(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    source.touch(b"d")
    engine.clock.wait_s(5)
    source.touch(b"d")
    engine.backup(source)
    assert changes(engine) == []


def test_a_file_that_became_a_directory(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    source.directory(b"d-b")
    source.file(b"d-b/inside", b"x")
    engine.backup(source)
    assert changes(engine) == [
        Change(b"d-b", ChangeKind.MODIFIED, EntryKind.DIRECTORY, 3, 0),
        Change(b"d-b/inside", ChangeKind.ADDED, EntryKind.FILE, 0, 1),
    ]


def test_a_snapshot_at_some_replicas_says_at_which(engine: Engine, source: TreeSource) -> None:
    with engine.away("b"):
        engine.backup(source)
    assert engine.snapshots()[0].replicas == ("a", "c")


def test_a_damaged_commit_record_hides_no_other_and_is_read_elsewhere(engine: Engine, source: TreeSource) -> None:
    first, second = engine.backup(source), engine.backup(source)
    for name in engine.objects("a", names.SNAPSHOTS):
        if first.snapshot_id in name:
            for at in (4, 30, -1):
                engine.flip("a", name, at=at)
    engine.forget_cache()
    assert [one.snapshot_id for one in engine.snapshots()] == [first.snapshot_id, second.snapshot_id]
    with engine.away("b", "c"):
        engine.forget_cache()
        assert [one.snapshot_id for one in engine.snapshots()] == [second.snapshot_id]


def test_a_foreign_object_among_snapshots_is_passed_over(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    for name in (
        "snapshots/readme",
        "snapshots/x/y/commit",
        "packs/zz",
        "leases/a/b",
        "index/x",
        "keys/slots/mine.json",
    ):
        engine.shelf("a").objects[name] = (b"hello", engine.clock.now_utc())
    assert len(engine.snapshots()) == 1
    engine.backup(source)
    assert engine.verify().clean


def test_an_unreachable_repository_is_not_an_empty_one(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    with engine.away("a", "b", "c"), pytest.raises(FarshoreError):
        engine.snapshots()


# --- incomplete snapshots (trial D5) ----------------------------------------------------------------------------------


@pytest.fixture
def lately_incomplete(engine: Engine, source: TreeSource) -> list[str]:
    """Two complete snapshots of `home`, an hour apart from midnight on, and then two that lack a file."""
    made = []
    for night in range(4):
        source.nodes[b"d/a"].unreadable = night >= 2
        source.touch(b"d/a")
        made.append(engine.backup(source).snapshot_id)
        engine.clock.wait_s(3600)
    return made


def test_a_source_means_its_last_complete_snapshot_and_latest_any(engine: Engine, lately_incomplete: list[str]) -> None:
    with engine.opened() as repository:
        assert [one.complete for one in list_snapshots(repository)] == [True, True, False, False]
        for selector in ("home", "home@2026-01-01T03:30"):
            chosen = resolve_snapshot(repository, selector)
            assert chosen.snapshot_id == lately_incomplete[1]
            assert chosen.passed_over == tuple(lately_incomplete[2:])
        early = resolve_snapshot(repository, "home@2026-01-01T00:30")
        assert (early.snapshot_id, early.passed_over) == (lately_incomplete[0], ())
        for selector in ("home@latest", lately_incomplete[3]):
            chosen = resolve_snapshot(repository, selector)
            assert (chosen.snapshot_id, chosen.complete, chosen.passed_over) == (lately_incomplete[3], False, ())
        held = latest_snapshot_per_replica(repository)
        assert {one["home"].hour for one in held.values()} == {1}


def test_a_source_without_a_complete_snapshot_is_reported_with_the_way_to_take_one(
    engine: Engine, source: TreeSource
) -> None:
    source.nodes[b"d/a"].unreadable = True
    made = engine.backup(source).snapshot_id
    with engine.opened() as repository:
        for selector in ("home", "home@2030-01-01"):
            with pytest.raises(SnapshotUnknown, match="home has no complete snapshot") as caught:
                resolve_snapshot(repository, selector)
            assert "home@latest" in caught.value.hint
        assert resolve_snapshot(repository, "home@latest").snapshot_id == made
