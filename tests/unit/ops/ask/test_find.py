"""What became of paths over all snapshots: told from consecutive manifests, each read once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import SnapshotUnknown
from farshore.format import names
from farshore.model import Finding
from farshore.ops.ask.find import find_changes
from farshore.ops.ask.found_rows import FoundRow, FoundRows, compare
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    """Four snapshots: a file appears, changes, changes its mode, and is gone; another one stays."""
    source = TreeSource(clock=engine.clock)
    source.directory(b"d")
    source.file(b"d/keep.txt", b"kept")
    source.file(b"d/log", b"1")
    engine.backup(source)
    source.file(b"d/new.txt", b"new")
    engine.clock.advance(60)
    engine.backup(source)
    source.write(b"d/new.txt", b"newer")
    engine.clock.advance(60)
    engine.backup(source)
    source.nodes[b"d/keep.txt"].entry = source.nodes[b"d/keep.txt"].entry._replace(mode=0o600, ctime_ns=1)
    del source.nodes[b"d/new.txt"]
    engine.clock.advance(60)
    engine.backup(source)
    return source


def find(engine: Engine, pattern: str, source: str | None = None) -> tuple[list[Finding], list[str]]:
    unread: list[str] = []
    with engine.opened() as repository:
        found = find_changes(
            repository, pattern, source=source, unread=lambda commit, _: unread.append(commit.snapshot)
        )
        return list(found), unread


def reported(findings: list[Finding], ids: list[str]) -> list[tuple[int, str, bytes]]:
    return [(ids.index(one.snapshot_id), one.change, one.path) for one in findings]


def test_each_change_is_reported_with_its_snapshot(engine: Engine, source: TreeSource) -> None:
    ids = [one.snapshot_id for one in engine.snapshots()]
    found, unread = find(engine, "*.txt")
    assert reported(found, ids) == [
        (0, "added", b"d/keep.txt"),
        (1, "added", b"d/new.txt"),
        (2, "modified", b"d/new.txt"),
        (3, "metadata", b"d/keep.txt"),
        (3, "removed", b"d/new.txt"),
    ]
    assert unread == []
    assert [one.previous_id for one in found] == ["", ids[0], ids[1], ids[2], ids[2]]
    assert (found[2].bytes_before, found[2].bytes_after) == (3, 5)
    assert (found[4].bytes_before, found[4].bytes_after, found[4].kind) == (5, 0, "file")


def test_a_pattern_is_that_of_gitignore_and_what_is_below_a_match_is_not_reported(
    engine: Engine, source: TreeSource
) -> None:
    assert {one.path for one in find(engine, "d")[0]} == {b"d"}
    assert {one.path for one in find(engine, "./d/log")[0]} == {b"d/log"}
    assert {one.path for one in find(engine, "/log")[0]} == set()
    assert {one.path for one in find(engine, "d/")[0]} == {b"d"}


def test_all_sources_or_one(engine: Engine, source: TreeSource) -> None:
    other = TreeSource(clock=engine.clock, name="other")
    other.file(b"log", b"x")
    engine.backup(other)
    assert [(one.source, one.path) for one in find(engine, "log")[0]] == [("home", b"d/log"), ("other", b"log")]
    assert [one.source for one in find(engine, "log", "other")[0]] == ["other"]
    with pytest.raises(SnapshotUnknown, match="no snapshot of nothing"):
        find(engine, "log", "nothing")
    with pytest.raises(SnapshotUnknown, match="no pattern"):
        find(engine, "#comment")


def test_a_snapshot_that_cannot_be_read_is_reported_and_stepped_over(engine: Engine, source: TreeSource) -> None:
    ids = [one.snapshot_id for one in engine.snapshots()]
    engine.forget_cache()
    for replica in "abc":
        engine.flip(replica, engine.object_of(ids[1], names.MANIFEST))
    engine.forget_cache()
    found, unread = find(engine, "new.txt")
    assert unread == [ids[1]]
    assert reported(found, ids) == [(2, "added", b"d/new.txt"), (3, "removed", b"d/new.txt")]
    assert found[0].previous_id == ids[0]


ROWS = st.dictionaries(st.binary(max_size=3), st.tuples(st.binary(max_size=1), st.binary(max_size=1)), max_size=20)


def rows_of(content: dict[bytes, tuple[bytes, bytes]]) -> list[FoundRow]:
    made = [FoundRow(path, "file", 1, 0, *two) for path, two in content.items()]
    return sorted(made, key=lambda row: row.path.replace(b"/", b"\0"))


@given(ROWS, ROWS)
def test_two_streams_are_compared_as_two_dictionaries_would_be(
    before: dict[bytes, tuple[bytes, bytes]], after: dict[bytes, tuple[bytes, bytes]]
) -> None:
    before = {path: two for path, two in before.items() if b"\0" not in path}
    after = {path: two for path, two in after.items() if b"\0" not in path}
    found = {(a or b).path for a, b in compare(rows_of(before), rows_of(after)) if (a or b)}  # type: ignore[union-attr]
    assert found == {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def test_more_rows_than_memory_takes_come_back_in_order() -> None:
    rows = [FoundRow(f"{number:08}".encode(), "file", number, 0, b"c", b"m") for number in range(10_000)]
    with FoundRows(memory_bytes=1000) as kept:
        kept.fill(rows)
        assert list(kept) == rows
        assert list(kept) == rows
