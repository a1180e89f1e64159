from __future__ import annotations

import random

import numpy as np
import pytest

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.extents import encode_extents
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, HEADER_BYTES, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ABSENT, ChunkIndex
from farshore.model import HOLE, Extent
from farshore.ops.restore.content_plan import cut_ranges, plan_content

MIB, KIB = limits.MIB, limits.KIB
PER_SEGMENT = 3


def index_of(*packs: int, stored: int = MIB) -> tuple[ChunkIndex, list[bytes]]:
    """An index of packs of so many segments of three chunks each, and the chunks in the order they are stored."""
    ids: list[bytes] = []
    footers: list[PackedFooter] = []
    for number, segments in enumerate(packs):
        own = [random.Random(f"{number} {row}").randbytes(32) for row in range(segments * PER_SEGMENT)]
        chunks = [(one, at // PER_SEGMENT, at % PER_SEGMENT * 1000, 1000) for at, one in enumerate(own)]
        rows = [(0, 1, 0, at, HEADER_BYTES + at * stored, stored, 4000) for at in range(segments)]
        footer = Footer((Origin(bytes(16), bytes(32)),), np.array(rows, SEGMENT_DTYPE), np.array(chunks, CHUNK_DTYPE))
        footers.append(PackedFooter(number.to_bytes(32), 1, footer))
        ids += own
    return ChunkIndex(footers), ids


def extents(*chunks: bytes) -> bytes:
    return encode_extents(Extent(one, 0, 10) for one in chunks)


def test_a_plan_knows_the_last_use_of_each_chunk_and_segment() -> None:
    index, ids = index_of(2, 2)
    plan = plan_content([extents(ids[0], ids[7], HOLE), extents(ids[0]), b"", extents(ids[1])], index)
    assert [plan.end_of(number) for number in range(4)] == [5, 0, 2, 0]
    assert plan.content_bytes == 40
    assert plan.segments_needed == 2
    assert plan.stored_bytes == 2 * MIB
    assert [one.tobytes() for one in plan.chunks_of(0, 0)["id"]] == ids[:2]
    assert [one.tobytes() for one in plan.chunks_of(0, 0, since=4)["id"]] == ids[1:2]
    assert [one.tobytes() for one in plan.chunks_of(1, 0)["id"]] == ids[7:8]
    assert plan.number(1, 0) == 2


def test_a_plan_knows_which_rows_are_in_it() -> None:
    index, ids = index_of(2)
    plan = plan_content([extents(*ids[:3])], index)
    rows = index.find(ids[:3])
    assert plan.covers(rows, 0)
    assert not plan.covers(rows, 1)
    assert not plan.covers(index.find(ids[3:4]), 0)
    assert plan.covers(np.array([ABSENT]), 0)


def test_chunks_alone_make_a_plan_as_extents_do() -> None:
    index, ids = index_of(3, 3)
    chosen = random.Random(1).sample(ids, 9)
    one = plan_content([np.frombuffer(b"".join(chosen), "V32")], index)
    other = plan_content([extents(chunk) for chunk in chosen], index)
    assert [one.end_of(number) for number in range(6)] == [other.end_of(number) for number in range(6)]
    assert list(one.ranges()) == list(other.ranges())
    assert one.content_bytes == 9 * 1000


def test_extents_that_are_cut_short_are_refused() -> None:
    index, ids = index_of(1)
    with pytest.raises(ObjectCorrupt, match="cut short"):
        plan_content([extents(ids[0])[:-1]], index)


def test_nothing_needs_nothing() -> None:
    for needs in ([], [b""], [extents(HOLE)], [extents(b"x" * 32)]):
        plan = plan_content(needs, index_of(1)[0])
        assert (plan.stored_bytes, plan.segments_needed, list(plan.ranges())) == (0, 0, [])


def test_neighbors_are_read_together_up_to_a_length() -> None:
    """Trial N1: requests follow the runs of needed segments, not the windows that need them."""
    index, ids = index_of(20, 2)
    plan = plan_content([extents(*ids[: 12 * PER_SEGMENT]), extents(*ids[14 * PER_SEGMENT :])], index)
    shown = [(one.pack, one.segments[0], len(one.segments)) for one in plan.ranges()]
    assert shown == [(0, 0, 8), (0, 8, 4), (0, 14, 6), (1, 0, 2)]
    assert plan.range_around(0, 9).segments == (8, 9, 10, 11)
    assert plan.range_around(0, 13).segments == (13,)


def test_two_full_segments_share_a_request() -> None:
    index, ids = index_of(5, stored=limits.SEGMENT_BYTES + 16)
    plan = plan_content([extents(*ids)], index)
    assert [len(one.segments) for one in plan.ranges()] == [2, 2, 1]


@pytest.mark.parametrize(("gap", "together"), [(0, True), (30 * KIB, True), (70 * KIB, False), (300 * KIB, False)])
def test_a_gap_is_read_where_it_is_a_small_share(gap: int, together: bool) -> None:
    ranges = cut_ranges(0, [0, 2], [0, MIB + gap], [MIB, MIB])
    assert len(ranges) == (1 if together else 2)


def test_gaps_add_up() -> None:
    """Trial N1: many small gaps together are no more than a thirtieth either."""
    starts = [number * 110 * KIB for number in range(60)]
    ranges = cut_ranges(0, list(range(60)), starts, [100 * KIB] * 60)
    assert sum(one.end - one.start for one in ranges) <= 1.05 * 60 * 100 * KIB
