from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ABSENT, ChunkIndex, IdRows, Location, first_seen
from farshore.model import HOLE

ORIGINS = (Origin(bytes(16), bytes(32)),)


def pack(number: int, chunks: Sequence[tuple[bytes, int, int, int]]) -> PackedFooter:
    """A pack of chunks (id, segment, offset, length)."""
    segments = np.zeros(max((chunk[1] for chunk in chunks), default=-1) + 1, SEGMENT_DTYPE)
    table = np.array(list(chunks), CHUNK_DTYPE) if chunks else np.zeros(0, CHUNK_DTYPE)
    return PackedFooter(number.to_bytes(32), 1000, Footer((Origin(bytes(16), bytes(32)),), segments, table))


def chunk_id(prefix: int, rest: int) -> bytes:
    return prefix.to_bytes(8, "little") + rest.to_bytes(24)


def test_an_empty_index_knows_nothing() -> None:
    for index in (ChunkIndex(), ChunkIndex([pack(1, [])])):
        assert len(index) == 0
        assert index.locate(b"a" * 32) is None
        assert index.find([b"a" * 32, HOLE]).tolist() == [ABSENT, ABSENT]
        assert index.find([]).tolist() == []


def test_it_finds_what_a_dict_finds() -> None:
    chance = random.Random(7)
    truth: dict[bytes, Location] = {}
    packs = []
    for number in range(20):
        chunks = [
            (chance.randbytes(32), chance.randrange(4), chance.randrange(9999), chance.randrange(9999))
            for _ in range(50)
        ]
        truth.update({one[0]: Location(number, *one[1:]) for one in chunks})
        packs.append(pack(number, chunks))
    index = ChunkIndex(packs)
    assert len(index) == len(truth) == 1000
    wanted = [*truth, *(chance.randbytes(32) for _ in range(500)), HOLE, b"\xff" * 32]
    chance.shuffle(wanted)
    for one, row in zip(wanted, index.find(wanted), strict=True):
        assert (index.location(int(row)) if row != ABSENT else None) == truth.get(one)
        assert index.locate(one) == truth.get(one)


def test_ids_that_begin_alike_are_distinguished() -> None:
    ids = [chunk_id(5, rest) for rest in (9, 2, 7, 4)] + [chunk_id(4, 1), chunk_id(6, 1)]
    index = ChunkIndex([pack(0, [(one, 0, at, 1) for at, one in enumerate(ids)])])
    for at, one in enumerate(ids):
        assert index.locate(one) == Location(0, 0, at, 1)
    for absent in (chunk_id(5, 3), chunk_id(5, 0), chunk_id(4, 2), chunk_id(7, 1), chunk_id(0, 0)):
        assert index.locate(absent) is None


def test_ids_that_begin_alike_at_the_end_of_the_table() -> None:
    last = (1 << 64) - 1
    ids = [chunk_id(last, 1), chunk_id(last, 2)]
    index = ChunkIndex([pack(0, [(one, 0, at, 1) for at, one in enumerate(ids)])])
    assert [index.locate(one) for one in ids] == [Location(0, 0, 0, 1), Location(0, 0, 1, 1)]
    assert index.locate(chunk_id(last, 3)) is None


def test_a_chunk_in_two_packs_is_found_in_one_of_them() -> None:
    index = ChunkIndex([pack(0, [(b"a" * 32, 0, 1, 2)]), pack(1, [(b"a" * 32, 3, 4, 2)])])
    assert index.locate(b"a" * 32) in (Location(0, 0, 1, 2), Location(1, 3, 4, 2))


def test_a_pack_reported_twice_counts_once() -> None:
    one = pack(0, [(b"a" * 32, 0, 1, 2)])
    assert len(ChunkIndex([one, one])) == 1


def test_packs_of_rows() -> None:
    index = ChunkIndex([pack(7, [(b"a" * 32, 0, 0, 1)]), pack(8, [(b"b" * 32, 0, 0, 1)])])
    rows = index.find([b"b" * 32, b"x" * 32, b"a" * 32])
    assert index.packs_of(rows).tolist() == [1, ABSENT, 0]
    assert index.packs_of(np.zeros(0, dtype=np.int64)).tolist() == []
    assert [index.packs[at].pack_id for at in (0, 1)] == [(7).to_bytes(32), (8).to_bytes(32)]


def test_an_array_of_ids_serves_as_a_list_does() -> None:
    index = ChunkIndex([pack(0, [(b"a" * 32, 0, 0, 1)])])
    array = np.frombuffer(b"x" * 32 + b"a" * 32, dtype="V32")
    assert index.find(array).tolist() == index.find([b"x" * 32, b"a" * 32]).tolist() == [ABSENT, 0]


def test_it_takes_at_most_64_bytes_a_chunk() -> None:
    """Of chunks of 1 MiB, 16 to a pack, which is the costliest: a pack has 60 bytes of its own."""
    ids = random.Random(1).randbytes(32 * 16_000)
    packs = []
    for number in range(1000):
        table = np.zeros(16, CHUNK_DTYPE)
        table["id"] = np.frombuffer(ids, "V32", 16, number * 512)
        packs.append(PackedFooter(number.to_bytes(32), 1, Footer(ORIGINS, np.zeros(4, SEGMENT_DTYPE), table)))
    assert ChunkIndex(packs).nbytes <= 64 * 16_000


def test_a_large_batch_is_answered_in_the_order_asked() -> None:
    ids = np.frombuffer(random.Random(2).randbytes(32 * 20_000), "V32")
    rows = IdRows(ids[:15_000])
    turn = np.random.Generator(np.random.PCG64(1)).permutation(20_000)
    assert rows.find(ids[turn]).tolist() == [at if at < 15_000 else ABSENT for at in turn.tolist()]


def test_equal_ids_are_found_at_their_first_row() -> None:
    ids = [b"b" * 32, b"a" * 32, b"b" * 32, b"a" * 32, b"a" * 31 + b"b"]
    rows = IdRows(np.frombuffer(b"".join(ids), "V32"))
    assert rows.find([b"a" * 32, b"b" * 32, ids[-1], b"c" * 32]).tolist() == [1, 0, 4, ABSENT]


def test_more_rows_than_are_numbered_at_once() -> None:
    ids = np.arange(4 * 200_000, dtype="<u8").view("V32")
    assert IdRows(ids).find(ids[[0, 65_535, 65_536, 199_999]]).tolist() == [0, 65_535, 65_536, 199_999]


def test_what_is_met_for_the_first_time() -> None:
    seen = np.zeros(4, dtype=bool)
    assert first_seen(np.array([2, ABSENT, 2, 0]), seen).tolist() == [True, False, False, True]
    assert first_seen(np.array([0, 3, ABSENT, 2, 3]), seen).tolist() == [False, True, False, False, False]
    assert seen.tolist() == [True, False, True, True]
    assert first_seen(np.zeros(0, np.int64), seen).tolist() == []
    assert first_seen(np.array([ABSENT]), np.zeros(0, dtype=bool)).tolist() == [False]
