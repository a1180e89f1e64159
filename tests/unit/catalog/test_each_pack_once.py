"""Trial N1, its siblings: what else reads packs reads each stored byte once; what needs no content reads none."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore.catalog.contents import diff_snapshots, iterate_entries
from farshore.catalog.snapshots import list_snapshots
from farshore.format import names
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.pack_meter import PackMeters
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Two snapshots, three replicas, a few packs that both snapshots need, and copies in another order."""
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    chance = random.Random(3)
    for name in (b"a", b"b"):
        source.directory(name)
    for number, other in enumerate(chance.sample(range(600), 600)):
        data = chance.randbytes(40_000)
        source.file(b"a/%03d" % number, data)
        source.file(b"b/%03d" % other, data)
    engine.backup(source)
    source.file(b"a/000", b"changed")
    engine.backup(source)
    return engine


@contextmanager
def metered(engine: Engine) -> Iterator[PackMeters]:
    meters = PackMeters()
    engine.wrap = meters.wrap
    yield meters
    engine.wrap = lambda _, store: store


def sizes(engine: Engine) -> Counter[tuple[str, int, int]]:
    """Every pack, read whole once at each replica."""
    return Counter(
        (name, 0, len(data)) for replica in "abc" for name, data in engine.objects(replica, names.PACKS).items()
    )


def test_verify_reads_each_pack_once(engine: Engine) -> None:
    with metered(engine) as meters:
        assert not engine.verify().damaged
    assert Counter(meters.reads) == sizes(engine)


def test_heal_that_reads_data_reads_each_pack_once(engine: Engine) -> None:
    with metered(engine) as meters:
        assert heal(engine, read_data=True).in_sync
    assert Counter(meters.reads) == sizes(engine)


def test_lists_and_differences_read_no_pack(engine: Engine) -> None:
    with metered(engine) as meters, engine.opened() as repository:
        after, before = list_snapshots(repository)
        assert len(list(iterate_entries(repository, after))) == 1203
        assert [change.path for change in diff_snapshots(repository, before, after)] == [b"a/000"]
    assert meters.reads == []
