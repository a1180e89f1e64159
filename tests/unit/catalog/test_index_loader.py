"""The index of one snapshot: the packs it needs and no others, from fragments or from the packs; all chunks or some."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from farshore.catalog.contents import iterate_rows
from farshore.catalog.index_loader import load_index
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.format import names
from farshore.format.needs import Needs
from farshore.index import ChunkIndex
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import restore_snapshot
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Three snapshots; each has a file and a pack that the one before it has not, and the second lost one."""
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for number in range(3):
        source.file(b"d%d/f" % number, random.Random(number).randbytes(1000))
        if number == 1:
            source.remove(b"d0/f")
        engine.backup(source)
    engine.forget_cache()
    return engine


@contextmanager
def opened(engine: Engine, number: int) -> Iterator[tuple[Repository, Snapshot, Needs]]:
    with engine.opened() as repository:
        snapshot = list_snapshots(repository)[number]
        yield repository, snapshot, read_needs(repository, repository.replicas["a"], snapshot.commit)


def chunks(repository: Repository, snapshot: Snapshot) -> dict[bytes, bytes]:
    """The chunk of each file."""
    return {row.entry.path: row.extents[:32] for row in iterate_rows(repository, snapshot) if row.extents}


def packs(index: ChunkIndex) -> set[str]:
    return {pack.pack_id.hex() for pack in index.packs}


@pytest.mark.parametrize("lost", ["none", "fragments", "one fragment", "fragments of a"])
def test_it_has_the_packs_that_are_needed_and_no_others(engine: Engine, lost: str) -> None:
    for replica in {"none": "", "fragments of a": "a"}.get(lost, "abc"):
        fragments = list(engine.objects(replica, names.FRAGMENTS))
        for name in fragments[:1] if lost == "one fragment" else fragments:
            engine.lose(replica, name)
    with opened(engine, 1) as (repository, snapshot, needs):
        index = load_index(repository, open_reader(repository), needs)
        assert packs(index) == {pack.pack_id for pack in needs.packs}
        assert len(index.packs) == len(needs.packs) < len(engine.objects("a", names.PACKS))
        assert all(index.locate(chunk) for chunk in chunks(repository, snapshot).values())


def test_it_has_only_the_chunks_asked_for(engine: Engine) -> None:
    with opened(engine, 2) as (repository, snapshot, needs):
        one, other = sorted(chunks(repository, snapshot).values())
        reader = open_reader(repository)
        whole = load_index(repository, reader, needs)
        part = load_index(repository, reader, needs, np.frombuffer(one + b"x" * 32, "V32"))
        assert (len(whole), len(part)) == (2, 1)
        assert part.locate(other) is None
        place, same = part.locate(one), whole.locate(one)
        assert place is not None
        assert same is not None
        assert part.packs[place.pack].pack_id == whole.packs[same.pack].pack_id
        assert (place.segment, place.offset, place.length) == (same.segment, same.offset, same.length)


def test_a_part_is_restored_with_such_an_index(engine: Engine, tmp_path: Path) -> None:
    with opened(engine, 2) as (repository, snapshot, _):
        target = tmp_path / "part"
        restore_snapshot(
            repository, snapshot, target, options=RestoreOptions(include=["/d2"]), run=Run.start(engine.clock)
        )
    assert [path.name for path in target.iterdir()] == ["d2"]
    assert (target / "d2/f").read_bytes() == random.Random(2).randbytes(1000)
