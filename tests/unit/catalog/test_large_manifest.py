"""A manifest that is fetched, hashed and read in pieces, because it is larger than one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore import limits
from farshore.catalog.contents import iterate_entries
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.model import Entry
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """One snapshot; an attribute that does not compress makes its manifest larger than a piece."""
    engine = Engine(tmp_path).initialize(write_only=True)
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"one")
    noise = random.Random(1).randbytes(17 * limits.MIB)
    source.nodes[b"a"].entry = source.nodes[b"a"].entry._replace(xattrs=((b"user.noise", noise),))
    engine.backup(source)
    return engine


def manifest(engine: Engine) -> str:
    (snapshot,) = engine.snapshots()
    return engine.object_of(snapshot.snapshot_id, names.MANIFEST)


def cached_manifest(engine: Engine) -> Path:
    return engine.at("desk").config.cache_dir / "objects" / repository_id(engine) / manifest(engine)


def repository_id(engine: Engine) -> str:
    with engine.opened() as repository:
        return repository.repository_id


def entries(engine: Engine) -> list[Entry]:
    with engine.at("desk").opened() as repository:
        return list(iterate_entries(repository, list_snapshots(repository)[0]))


def test_it_is_read_and_verified(engine: Engine) -> None:
    assert [one.path for one in entries(engine)] == [b"", b"a"]
    assert engine.at("desk").verify().clean
    cached = cached_manifest(engine)
    assert cached.read_bytes() == engine.objects("a")[manifest(engine)]


@pytest.mark.parametrize("at", [5000, 16 * limits.MIB + 5000])
def test_damage_in_any_piece_is_found(engine: Engine, at: int) -> None:
    engine.flip("b", manifest(engine), at=at)
    (found,) = engine.at("desk").verify().damaged
    assert (found.replica, found.name, found.code) == ("b", manifest(engine), "altered")
    engine.flip("a", manifest(engine), at=at)
    assert [one.path for one in entries(engine)] == [b"", b"a"]  # from the third replica
    engine.flip("c", manifest(engine), at=at)
    cached_manifest(engine).unlink()
    with pytest.raises(ObjectCorrupt, match="does not have the bytes that were recorded"):
        entries(engine)
    assert not cached_manifest(engine).exists()


def test_a_damaged_cache_is_read_again_from_a_replica(engine: Engine) -> None:
    entries(engine)
    cached = cached_manifest(engine)
    data = bytearray(cached.read_bytes())
    data[-5] ^= 1
    cached.write_bytes(data)
    assert [one.path for one in entries(engine)] == [b"", b"a"]
    assert cached.read_bytes() == engine.objects("a")[manifest(engine)]
