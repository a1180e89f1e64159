from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from farshore import limits
from farshore.errors import QuorumNotReached
from farshore.format.pack import Footer, PackedFooter, decode_footer
from farshore.index import ABSENT, ChunkIndex
from farshore.model import HOLE
from farshore.ops.backup.pipeline.pack_chunks import ChunkPacker
from farshore.page_pool import make_pages
from farshore.sealed.data_key import DataKey
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import SealedPack, open_footer
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys

KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
DATA_KEY = DataKey(b"k" * 16, b"d" * 32)
CHANCE = random.Random(1)


def named(data: bytes) -> tuple[bytes, bytes]:
    return blake3(data, key=KEYS.chunk_key).digest(), data


class Delivered:
    """The packs of a run, opened again."""

    def __init__(self, index: ChunkIndex | None = None, *, uploads_are_bottleneck: bool = False) -> None:
        self.packs: list[SealedPack] = []
        self.awaited: list[int] = []  # how many packs there were when room for the next was awaited
        self.packer = ChunkPacker(
            index=index or ChunkIndex(),
            keys=KEYS,
            data_key=DATA_KEY,
            clock=FixedClock(),
            deliver=self.packs.append,
            await_room=lambda: self.awaited.append(len(self.packs)),
            uploads_are_bottleneck=lambda: uploads_are_bottleneck,
        )

    def footers(self) -> list[Footer]:
        return [decode_footer(open_footer(KEYS, pack.entry.header, pack.entry.sealed_footer)) for pack in self.packs]

    def chunks(self) -> dict[bytes, bytes]:
        found = {}
        for pack, footer in zip(self.packs, self.footers(), strict=True):
            raws = [
                open_segment_at(footer, number, pack.body, make_pages, keys=KEYS, data_key=DATA_KEY)
                for number in range(len(footer.segments))
            ]
            for row in footer.chunks:
                at = int(row["offset"])
                found[bytes(row["id"])] = bytes(raws[row["segment"]][at : at + int(row["length"])])
        return found

    def index(self) -> ChunkIndex:
        return ChunkIndex(
            PackedFooter(pack.pack_id, len(pack.body), footer)
            for pack, footer in zip(self.packs, self.footers(), strict=True)
        )


def test_every_chunk_is_in_a_pack_once() -> None:
    run = Delivered()
    chunks = [named(CHANCE.randbytes(CHANCE.randrange(1, 2_000_000))) for _ in range(30)]
    for chunk in [*chunks, *chunks[::3]]:
        run.packer.add_one(*chunk)
    run.packer.finish()
    assert run.chunks() == dict(chunks)
    assert run.packer.chunks_new == 30
    assert run.packer.bytes_new == sum(len(data) for _, data in chunks)


def test_room_is_awaited_once_before_each_pack() -> None:
    run = Delivered()
    for _ in range(30):
        run.packer.add_one(*named(CHANCE.randbytes(2_000_000)))
    run.packer.finish()
    assert run.awaited == list(range(len(run.packs)))
    assert len(run.packs) > 2


def test_while_replicas_are_slow_less_is_stored() -> None:
    sources = sorted(Path(random.__file__).parent.glob("*.py"))[:60]
    stored = {}
    for uploads_are_bottleneck in (False, True):
        run = Delivered(uploads_are_bottleneck=uploads_are_bottleneck)
        for source in sources:
            run.packer.add_one(*named(source.read_bytes()))
        run.packer.finish()
        assert run.chunks() == dict(named(source.read_bytes()) for source in sources)
        stored[uploads_are_bottleneck] = sum(len(pack.body) for pack in run.packs)
    assert stored[True] < stored[False]


@pytest.mark.parametrize(("read_times", "is_less"), [(1, False), (limits.MOSTLY_KNOWN_FACTOR, True)])
def test_where_little_of_what_is_read_is_new_less_is_stored(read_times: int, is_less: bool) -> None:
    source = b"".join(path.read_bytes() for path in sorted(Path(random.__file__).parent.glob("*.py"))[:60])
    stored = {}
    for noted in (0, len(source) * read_times):
        run = Delivered()
        run.packer.note_read(noted)
        run.packer.add_one(*named(source))
        run.packer.finish()
        assert run.chunks() == dict([named(source)])
        stored[noted] = sum(len(pack.body) for pack in run.packs)
    assert (stored[len(source) * read_times] < stored[0]) is is_less


def test_segments_and_packs_keep_to_their_sizes() -> None:
    run = Delivered()
    for size in (1, limits.CHUNK_BYTES_MAX, 5, limits.SEGMENT_BYTES - 1, 2, *[900_000] * 60):
        run.packer.add_one(*named(CHANCE.randbytes(size)))
    run.packer.finish()
    raws = [int(raw) for footer in run.footers() for raw in footer.segments["raw"]]
    assert max(raws) <= limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX
    assert all(len(pack.body) <= limits.PACK_BYTES_MAX for pack in run.packs)
    assert all(len(pack.body) >= limits.PACK_BYTES_TARGET for pack in run.packs[:-1])


def test_a_segment_of_tiny_chunks_holds_a_bounded_number() -> None:
    run = Delivered()
    count = 2 * limits.SEGMENT_CHUNKS_MAX + 5
    run.packer.add([(number.to_bytes(32), number.to_bytes(4)) for number in range(1, count + 1)])
    run.packer.finish()
    (footer,) = run.footers()
    assert np.bincount(footer.chunks["segment"]).tolist() == [limits.SEGMENT_CHUNKS_MAX] * 2 + [5]


def test_what_the_repository_holds_is_reused_and_noted() -> None:
    first = Delivered()
    old = [named(CHANCE.randbytes(6_000_000)) for _ in range(6)]
    first.packer.add(old)
    first.packer.finish()
    assert len(first.packs) == 2
    second = Delivered(first.index())
    new = named(b"new")
    second.packer.add([old[0], new])
    second.packer.finish()
    assert second.chunks() == dict([new])
    sizes = [len(footer.segments) for footer in first.footers()]
    ids = [pack.pack_id.hex() for pack in first.packs]
    assert [(one.pack_id, one.segments) for one in second.packer.reused_packs()] == [(ids[0], (sizes[0], 1))]
    second.packer.reuse_ids([old[5][0], HOLE, new[0]])
    last = 1 << sizes[1] - 1
    assert [one.segments for one in second.packer.reused_packs()] == [(sizes[0], 1), (sizes[1], last)]
    second.packer.reuse_ids([chunk_id for chunk_id, _ in old])
    assert [(one.pack_id, one.segments) for one in second.packer.reused_packs()] == [(one, None) for one in ids]
    assert [one.bytes for one in second.packer.reused_packs()] == [len(pack.body) for pack in first.packs]


def test_holding_means_indexed_or_gathered_or_a_hole() -> None:
    first = Delivered()
    old, new = named(b"old"), named(b"new")
    first.packer.add_one(*old)
    first.packer.finish()
    second = Delivered(first.index())
    assert second.packer.holds([old[0], HOLE])
    assert second.packer.holds([])
    assert not second.packer.holds([old[0], new[0]])
    second.packer.add_one(*new)
    assert second.packer.holds([old[0], new[0]])
    second.packer.close()


def test_nothing_gathered_is_no_pack() -> None:
    run = Delivered()
    run.packer.add([])
    run.packer.finish()
    assert run.packs == []


def test_a_pack_that_cannot_be_delivered_stops_the_run() -> None:
    def refuse(_: SealedPack) -> None:
        raise QuorumNotReached("nobody is left")

    packer = ChunkPacker(index=ChunkIndex(), keys=KEYS, data_key=DATA_KEY, clock=FixedClock(), deliver=refuse)
    packer.add_one(*named(b"x"))
    with pytest.raises(QuorumNotReached):
        packer.finish()
    packer.close()


def test_packs_are_delivered_while_chunks_still_come() -> None:
    run = Delivered()
    for _ in range(12):
        run.packer.add_one(*named(CHANCE.randbytes(4_000_000)))
    assert run.packs
    run.packer.finish()
    assert len(run.chunks()) == 12
    assert run.index().find([bytes(32)]).tolist() == [ABSENT]
