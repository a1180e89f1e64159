"""Chunks that a manifest names and no pack has are a finding; where another pack has them, they are none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.format import names
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
