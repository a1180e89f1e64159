"""No entry without its parents goes into a manifest, from any source (Trial D3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.errors import Bug
from farshore.ops.backup.pipeline.parents import Parents
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


def walk(*entries: tuple[bytes, bool]) -> list[bytes]:
    """Return the directories that were missing."""
    parents = Parents()
    return [one for path, directory in entries for one in parents.step(path, directory=directory)]


@pytest.mark.parametrize(
    ("entries", "missing"),
    [
        ([(b"", True), (b"a", True), (b"a/b", True), (b"a/b/c", False), (b"a/d", False), (b"e", False)], []),
        ([(b"single.db", False)], []),
        ([(b"", True), (b"a/b/c", False)], [b"a", b"a/b"]),
        ([(b"", True), (b"a", True), (b"a/b/c", False), (b"a/b/d", False)], [b"a/b"]),
        ([(b"", True), (b"a", True), (b"a/b", True), (b"a/b/c", False), (b"a/e/f", False)], [b"a/e"]),
        ([(b"", True), (b"a", True), (b"a/x", False), (b"ab/c", False)], [b"ab"]),
        ([(b"a", True), (b"a/b", True), (b"a/b/c/d", False), (b"b/c", False)], [b"a/b/c", b"b"]),
    ],
)
def test_missing_directories(entries: list[tuple[bytes, bool]], missing: list[bytes]) -> None:
    assert walk(*entries) == missing


def test_file_with_something_in_it_is_a_bug() -> None:
    with pytest.raises(Bug):
        walk((b"", True), (b"a", False), (b"a/b", False))


@pytest.mark.parametrize("ordered", [True, False])
def test_backup_makes_directories_that_the_source_forgot(tmp_path: Path, ordered: bool) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock, ordered=ordered, sequential=not ordered)
    source.directory(b"a")
    source.file(b"a/b/c/one", b"1")
    source.file(b"a/b/c/two", b"2")
    source.directory(b"z")
    source.file(b"z/three", b"3")
    first = engine.backup(source)
    assert [(problem.path, problem.code) for problem in first.problems] == [
        (b"a/b", "metadata"),
        (b"a/b/c", "metadata"),
    ]
    assert first.counts.entries == 8
    source.write(b"z/three", b"33")
    source.remove(b"a")  # and its rows of the earlier manifest stand without it now
    again = engine.backup(source)
    assert b"a" in {problem.path for problem in again.problems}
    assert again.counts.entries == 8
