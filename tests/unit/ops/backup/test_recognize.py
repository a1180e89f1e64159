"""Trial D11: another source under the same name is refused, for every kind of source that is recognized by anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from farshore.errors import SourceMoved
from farshore.ops.backup.recognize import changed_groups
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

GROUPS = ("host", "file system", "directory or file", "application id of the database")
HERE = {
    "host": "web1", "machine": "a" * 32, "file_system": "1111-2222", "file_system_id": "0123", "path": "/srv",
    "inode": "2", "application_id": "7",
}  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock, marks=dict(HERE))
    tree.file(b"a", b"0")
    return tree


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ({}, []),
        ({"host": "web1.example.org"}, []),  # renamed: the machine is the same
        ({"machine": "b" * 32}, []),  # installed anew under the same name
        ({"host": "web2", "machine": "b" * 32}, ["host"]),
        ({"host": "", "machine": ""}, []),  # now in a container
        ({"file_system": "3333-4444"}, []),  # one of two shows that it is the same
        ({"file_system": "3333-4444", "file_system_id": "4567"}, ["file system"]),
        ({"file_system": "3333-4444", "file_system_id": ""}, ["file system"]),
        ({"file_system": "", "file_system_id": ""}, []),  # now on a file system that has none to rely on
        ({"path": "/srv/new"}, []),  # moved, or seen from a container
        ({"inode": "99"}, []),  # made anew in its place, as VACUUM INTO and a restore do
        ({"path": "/srv/new", "inode": "99"}, ["directory or file"]),
        ({"application_id": "8"}, ["application id of the database"]),
        ({"unheard of": "x"}, []),
    ],
)
def test_a_group_has_changed_where_nothing_of_it_is_the_same(now: Mapping[str, str], changed: list[str]) -> None:
    assert changed_groups({**HERE, **now}, HERE, GROUPS) == changed
    assert changed_groups(HERE, {**HERE, **now}, GROUPS) == changed


def test_another_source_is_refused_once_and_then_known(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    source.marks.update(file_system="3333-4444", file_system_id="4567")
    source.reads.clear()
    with pytest.raises(SourceMoved, match="file system: 1111-2222 then, 3333-4444 now"):
        engine.backup(source)
    assert source.reads == {}
    assert len(engine.snapshots()) == 1
    engine.backup(source, accept_new=True)
    engine.backup(source)
    source.marks.update(HERE)
    with pytest.raises(SourceMoved):
        engine.backup(source)


def test_a_cluster_is_recognized_by_its_system_identifier_alone(engine: Engine, source: TreeSource) -> None:
    source.kind, source.marks = "postgres", {"system_identifier": "7001"}
    engine.backup(source)
    source.marks = {"system_identifier": "7002"}
    with pytest.raises(SourceMoved, match="system identifier of the cluster: 7001 then, 7002 now"):
        engine.backup(source)


def test_a_source_that_reported_nothing_is_compared_with_what_it_last_reported(
    engine: Engine, source: TreeSource
) -> None:
    engine.backup(source)
    source.marks = {}
    engine.backup(source)
    source.marks = {**HERE, "path": "/elsewhere", "inode": "5"}
    with pytest.raises(SourceMoved, match="directory or file"):
        engine.backup(source)


def test_two_hosts_under_one_name_are_refused_with_the_way_out(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    source.marks.update(host="web2", machine="b" * 32)
    with pytest.raises(SourceMoved, match="host: web1 then, web2 now") as caught:
        engine.backup(source)
    assert "list them in hosts" in caught.value.hint


def test_hosts_that_share_a_source_are_each_compared_with_their_own_last_one(
    engine: Engine, source: TreeSource
) -> None:
    first = dict(HERE)
    second = {**HERE, "host": "web2", "machine": "b" * 32, "file_system": "3333-4444", "file_system_id": "4567"}
    source.hosts = ("web[0-9]",)
    for marks in (first, second, first, second):
        source.marks = marks
        engine.backup(source)
    source.marks = {**first, "file_system": "5555-6666", "file_system_id": "8910"}
    with pytest.raises(SourceMoved, match="file system: 1111-2222 then, 5555-6666 now"):
        engine.backup(source)
    source.marks = {**second, "host": "db1", "machine": "c" * 32}
    with pytest.raises(SourceMoved, match=r"is shared by web\[0-9\], and this host is db1"):
        engine.backup(source)
    source.marks = {"file_system": "of a container"}
    engine.backup(source)


def test_marks_are_sealed_and_no_row_tells_them(engine: Engine, source: TreeSource) -> None:
    source.marks["host"] = "a-name-that-is-nowhere-else"
    engine.backup(source)
    assert not [name for name, data in engine.objects("a").items() if b"a-name-that-is-nowhere-else" in data]
