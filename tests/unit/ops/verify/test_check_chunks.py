"""Chunks that a manifest names and no pack has are a finding; where another pack has them, they are none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.format import names
from farshore.format.needs import NeededPack
from farshore.ops.backup.pipeline.pack_chunks import ChunkPacker
from farshore.replicas.repository import BackupSizes
from tests.unit.ops.engine import Engine
from tests.unit.ops.liar import member
from tests.unit.ops.tree_source import TreeSource


def source_of(engine: Engine, name: str) -> TreeSource:
    source = TreeSource(clock=engine.clock, name=name)
    for number in range(2):
        source.file(f"{number}".encode(), random.Random(number).randbytes(1000), 5000)
    return source


@pytest.mark.parametrize("elsewhere", [False, True])
def test_chunks_in_no_pack_are_found(tmp_path: Path, elsewhere: bool) -> None:
    engine = Engine(tmp_path).initialize()
    if elsewhere:
        laptop = member(engine, "laptop")
        laptop.backup(source_of(laptop, "laptop"))
    others = set(engine.objects("a", names.PACKS))
    engine.backup(source_of(engine, "home"))
    for replica in "abc":
        for name in engine.objects(replica, names.FRAGMENTS):
            engine.lose(replica, name)
    engine.forget_cache()
    assert engine.verify().damaged == ()
    (pack,) = set(engine.objects("a", names.PACKS)) - others
    for replica in "abc":
        engine.lose(replica, pack)
    found = {one.name: one.detail for one in engine.verify().damaged}
    assert found.pop(pack) == "it is not listed"
    (snapshot,) = [one for one in engine.snapshots() if one.source == "home"]
    manifest = engine.object_of(snapshot.snapshot_id, names.MANIFEST)
    assert found == ({} if elsewhere else {manifest: "2 chunks of its files are in no pack that can be read"})
    assert engine.verify(percent=50).damaged, "that is looked for only where everything is read"


def many_segments(tmp_path: Path) -> tuple[Engine, TreeSource]:
    """A source of 8 files, each in a segment of its own, in two packs."""
    engine = Engine(tmp_path, sizes=BackupSizes(segment_bytes=1000, pack_bytes=6000)).initialize()
    source = TreeSource(clock=engine.clock, name="home")
    for number in range(8):
        source.file(f"{number}".encode(), random.Random(number).randbytes(2000))
    engine.backup(source)
    return engine, source


def test_needs_name_the_segments_in_use_and_a_verify_finds_nothing(tmp_path: Path) -> None:
    engine, source = many_segments(tmp_path)
    for number in (1, 2, 5):
        source.file(f"{number}".encode(), random.Random(100 + number).randbytes(2000))
    second = engine.backup(source).snapshot_id
    used = [pack.segments for pack in engine.needs_of(second).packs]
    assert sum(bits.bit_count() for count, bits in filter(None, used)) == 3
    assert sum(count for count, _ in filter(None, used)) == 6
    assert engine.verify().damaged == ()
    assert len(engine.restore(second)[1]) == 9
    third = engine.backup(source).snapshot_id
    before, after = engine.needs_of(second), engine.needs_of(third)
    assert before.packs == after.packs, "an unchanged snapshot needs the same"


def _one_too_few(packs: list[NeededPack]) -> list[NeededPack]:
    count, bits = packs[0].segments or (0, 0)
    return [NeededPack(packs[0].pack_id, packs[0].bytes, (count, bits & (bits - 1))), *packs[1:]]


def test_needs_that_name_a_segment_too_few_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, source = many_segments(tmp_path)
    source.file(b"1", random.Random(77).randbytes(2000))
    right = ChunkPacker.reused_packs
    monkeypatch.setattr(ChunkPacker, "reused_packs", lambda packer: _one_too_few(right(packer)))
    second = engine.backup(source).snapshot_id
    found = {one.name: one.detail for one in engine.verify().damaged}
    assert found == {engine.object_of(second, names.NEEDS): "1 chunks of its files are in no segment that it names"}
    assert len(engine.restore(second)[1]) == 9, "a restore finds it all the same"
