"""A pack whose bytes hash to its name may still be wrong: made so by bad memory or a bad program, and hashed after."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from farshore.access.unlock import Need
from farshore.catalog.data_keys import read_data_keys
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.pack_id import hash_pack
from farshore.sealed.packs import PackBuilder
from farshore.sealed.segments import PlainSegment, SegmentNumbers, seal_segment
from tests.unit.ops.engine import Engine, flipped
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(7).randbytes(300_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"a", NOISE)
    source.file(b"text", b"the same words again " * 9_000)
    engine.backup(source)
    return engine


def plant(engine: Engine, body: bytes) -> str:
    """Put a pack with a name that is right for its bytes at replica b."""
    name = names.pack(hash_pack(body).hex())
    objects = engine.shelf("b").objects
    objects[name] = (body, next(iter(objects.values()))[1])
    return name


def the_pack(engine: Engine) -> bytes:
    (body,) = engine.objects("b", names.PACKS).values()
    return body


def codes(engine: Engine, need: Need = Need.READ) -> dict[str, str]:
    return {one.name: one.code for one in engine.verify(need=need).damaged}


def refused(engine: Engine, need: Need = Need.READ) -> set[str]:
    """The packs that nobody who may make one signed: named, and no damage, because anybody can put one."""
    result = engine.verify(need=need)
    assert result.damaged == ()
    return {one.name for one in result.refused}


def test_good_packs_are_good(engine: Engine) -> None:
    assert codes(engine) == codes(engine, Need.WRITE) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda body: flipped(body, 0),
        lambda body: flipped(body, 10),
        lambda body: flipped(body, len(body) - 1),
        lambda body: flipped(body, len(body) - 8),
        lambda body: flipped(body, len(body) - layout.TAIL_BYTES - 20),
        lambda body: body[:40],
        lambda _: b"",
    ],
    ids=["magic", "header", "tail", "length", "footer", "cut", "empty"],
)
def test_a_pack_whose_frame_is_wrong_is_named_by_whoever_holds_a_key(
    engine: Engine, change: Callable[[bytes], bytes]
) -> None:
    name = plant(engine, change(the_pack(engine)))
    assert refused(engine) == refused(engine, Need.WRITE) == {name}


def test_a_segment_that_does_not_open_is_named_by_a_reader(engine: Engine) -> None:
    name = plant(engine, flipped(the_pack(engine), layout.HEADER_BYTES + 1000))
    assert refused(engine) == {name}


def test_a_chunk_that_is_not_what_it_is_called_is_named_by_a_reader(engine: Engine) -> None:
    with engine.opened() as repository:
        replica = repository.replicas["b"]
        (key_name,) = engine.objects("b", names.DATA_KEYS)
        parsed = names.parse_data_key(key_name)
        assert parsed is not None
        ((_, data_key),) = read_data_keys(repository, replica, parsed.key_id)
        keys = repository.reading_keys()
        origin, number = SegmentNumbers(data_key=data_key, clock=engine.clock).next_number()
        chunks = ((blake3(b"one", key=keys.chunk_key).digest(), 0, 3), (blake3(b"two").digest(), 3, 3))
        builder = PackBuilder(keys=keys, key_id=data_key.key_id, clock=engine.clock)
        builder.add(seal_segment(PlainSegment(origin, number, b"onetwo", chunks), data_key, keys.repository_id))
        name = plant(engine, bytes(builder.build().body))
    assert codes(engine) == {name: "undecodable"}
