"""A copied repository is what the first was, and neither sees what is done to the other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.catalog.test_extend_locks import LOCKED
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock


def files(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Modes and contents below a root, but of the memory, which names the places of its own repository."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in root.rglob("*")
        if path.parent.name != "trust"
    }


@pytest.mark.parametrize("write_only", [False, True])
def test_a_copy_is_what_the_first_was(tmp_path: Path, write_only: bool) -> None:
    first = Engine(tmp_path / "first").initialize(write_only=write_only)
    template = first.template()
    copy = Engine(tmp_path / "copy").begin_with(template)
    assert copy.urls != first.urls
    assert copy.template() == template
    assert files(copy.root) == files(first.root)
    assert [copy.objects(replica) for replica in "abc"] == [first.objects(replica) for replica in "abc"]
    assert [copy.shelf(replica).kept for replica in "abc"] == [first.shelf(replica).kept for replica in "abc"]
    assert copy.clock.random_bytes(64) == first.clock.random_bytes(64)
    assert not copy.verify().damaged


def test_what_is_done_to_a_copy_no_other_sees(tmp_path: Path) -> None:
    first = Engine(tmp_path / "first", settings={"a": LOCKED}).initialize()
    source = TreeSource(clock=first.clock)
    source.file(b"file", b"content")
    snapshot_id = first.backup(source).snapshot_id
    template, before = first.template(), [first.objects(replica) for replica in "abc"]
    copies = [Engine(tmp_path / name, settings={"a": LOCKED}).begin_with(template) for name in ("one", "two")]
    moment = first.clock.now_utc()
    copies[0].clock.wait_s(timedelta(days=300).total_seconds())
    source.file(b"more", b"content")
    copies[0].backup(source)
    for name in copies[0].objects("b"):
        copies[0].lose("b", name)
    for one in copies[0].shelf("a").kept.values():
        one.held = True
    for kept in (first, copies[1], Engine(tmp_path / "later", settings={"a": LOCKED}).begin_with(template)):
        assert [kept.objects(replica) for replica in "abc"] == before
        assert kept.clock.now_utc() == moment
        assert not any(one.held for one in kept.shelf("a").kept.values())
        assert kept.restore(snapshot_id)[1] == {b"": None, b"file": b"content"}


def test_only_clocks_in_one_state_make_one_repository(tmp_path: Path) -> None:
    first, same = (Engine(tmp_path / name).initialize() for name in ("first", "same"))
    other, later = Engine(tmp_path / "other", clock=StillClock(seed=2)), Engine(tmp_path / "later", clock=first.clock)
    found = {one.initialize().repository_config.fingerprint for one in (other, later)}
    assert same.repository_config.fingerprint == first.repository_config.fingerprint
    assert len(found | {first.repository_config.fingerprint}) == 3


def test_a_directory_or_a_place_in_use_is_no_beginning_of_a_copy(tmp_path: Path) -> None:
    first = Engine(tmp_path / "first").initialize()
    with pytest.raises(AssertionError):
        Engine(tmp_path / "again", urls=first.urls).begin_with(first.template())
