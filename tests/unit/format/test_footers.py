from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np
import pytest

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.footers import Footers, FootersJoin, decode_footers, join_footers
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, HEADER_BYTES, SEGMENT_DTYPE, Footer, PackedFooter, encode_footer

CHANCE = random.Random(3)
ORIGINS = [Origin(CHANCE.randbytes(16), CHANCE.randbytes(32)) for _ in range(3)]


def packed(origins: Sequence[Origin], chunks: Sequence[int]) -> PackedFooter:
    """A pack with as many segments as `chunks` has numbers, and so many chunks in each."""
    segments = np.zeros(len(chunks), SEGMENT_DTYPE)
    segments["origin"] = np.arange(len(chunks)) % max(len(origins), 1)
    segments["offset"] = HEADER_BYTES + np.arange(len(chunks)) * 100
    segments["stored"], segments["raw"] = 100, 1000
    table = np.zeros(sum(chunks), CHUNK_DTYPE)
    table["id"] = np.frombuffer(CHANCE.randbytes(32 * len(table)), "V32")
    table["segment"] = np.repeat(np.arange(len(chunks)), chunks)
    table["length"] = 1000
    return PackedFooter(CHANCE.randbytes(32), CHANCE.randrange(1 << 40), Footer(tuple(origins), segments, table))


def plain(packs: Sequence[PackedFooter]) -> list[tuple[bytes, int, bytes]]:
    return [(pack.pack_id, pack.pack_bytes, encode_footer(pack.footer)) for pack in packs]


def mask(*taken: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array(taken, dtype=bool)


PACKS = [
    packed(ORIGINS[:1], [2, 3]),
    packed([], []),
    packed(ORIGINS[1:], [1, 0, 4]),
    packed(ORIGINS[:1], [7]),
]


@pytest.mark.parametrize("make", [join_footers, lambda packs: decode_footers(plain(packs))])
def test_packs_are_had_by_number_as_they_were(make: object) -> None:
    footers: Footers = make(PACKS)  # type: ignore[operator]
    assert plain(footers) == plain(PACKS)
    assert plain([footers[2], footers[-1]]) == plain([PACKS[2], PACKS[3]])
    assert plain(footers[1:3]) == plain(PACKS[1:3])
    assert len(footers.origins) == 3  # one of them serves two packs
    with pytest.raises(IndexError):
        footers[4]
    assert plain(make([])) == []  # type: ignore[operator]


def test_footers_are_joined_from_parts_in_order() -> None:
    join = FootersJoin()
    join.add(join_footers(PACKS[:2]), mask(1, 1))
    join.add(join_footers([]), mask())
    join.add(join_footers(PACKS[2:]), mask(1, 1))
    assert plain(join.finish()) == plain(PACKS)
    assert plain(FootersJoin().finish()) == []


@pytest.mark.parametrize("taken", [(0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 1, 1)])
def test_packs_may_be_left_out(taken: tuple[int, ...]) -> None:
    join = FootersJoin()
    join.add(join_footers(PACKS), mask(*taken))
    join.add(join_footers(PACKS[:1]), mask(1))
    kept = [pack for pack, one in zip(PACKS, taken, strict=True) if one]
    assert plain(join.finish()) == plain([*kept, PACKS[0]])


def test_chunks_may_be_left_out() -> None:
    footers = join_footers(PACKS)
    chosen = np.arange(len(footers.chunks)) % 3 == 0
    join = FootersJoin()
    join.add(footers, mask(1, 1, 0, 1), chosen)
    left = join.finish()
    expected = [pack.footer.chunks for pack in footers]
    starts = footers.chunk_starts
    for at, number in enumerate((0, 1, 3)):
        wanted = expected[number][chosen[starts[number] : starts[number + 1]]]
        assert left[at].footer.chunks.tobytes() == wanted.tobytes()
        assert left[at].footer.segments.tobytes() == footers[number].footer.segments.tobytes()


def test_joining_many_grows_in_place_and_leaves_nothing_over() -> None:
    join = FootersJoin()
    packs = [packed(ORIGINS[:1], [number % 5]) for number in range(500)]
    for pack in packs:
        join.add(join_footers([pack]), mask(1))
    footers = join.finish()
    assert plain(footers) == plain(packs)
    rows = sum(number % 5 for number in range(500))
    assert footers.nbytes == rows * 44 + 500 * (20 + 32 + 8 + 4) + 3 * 4 * 501
    with pytest.raises(ValueError, match="read-only"):
        footers.chunks["length"] = 1


@pytest.mark.parametrize("memory", [0, 44, 500, 10**6])
def test_a_large_table_goes_on_in_a_file_and_reads_the_same(memory: int) -> None:
    opened: list[IO[bytes]] = []

    def open_file() -> IO[bytes]:
        opened.append(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        return opened[-1]

    packs = [packed(ORIGINS[:1], [number % 5]) for number in range(50)]
    join = FootersJoin(open_file, memory_bytes=memory)
    for pack in packs:
        join.add(join_footers([pack]), mask(1))
    footers = join.finish()
    assert plain(footers) == plain(packs)
    assert len(opened) == (memory < 10**6)
    for file in opened:
        assert file.seek(0, os.SEEK_END) == len(footers.chunks) * 44
        file.close()
    assert plain(footers) == plain(packs), "it is mapped, whoever closes the file"
    with pytest.raises(ValueError, match="read-only"):
        footers.chunks["length"] = 1


@pytest.mark.parametrize("writable", [0, 10, 1000])
def test_where_the_disk_is_full_the_rest_stays_in_memory(writable: int) -> None:
    """A file that grows to so many bytes and no further: RLIMIT_FSIZE in a process of its own, as a full disk is."""
    program = f"""
import resource, signal, tempfile
import numpy as np
from tests.unit.format.test_footers import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = tempfile.TemporaryFile(buffering=0)
resource.setrlimit(resource.RLIMIT_FSIZE, ({writable}, {writable}))
packs = [packed(ORIGINS[:1], [number % 5]) for number in range(50)]
join = FootersJoin(lambda: file, memory_bytes=0)
for pack in packs:
    join.add(join_footers([pack]), mask(1))
assert plain(join.finish()) == plain(packs)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_where_no_file_can_be_opened_all_stays_in_memory() -> None:
    def refuse() -> IO[bytes]:
        raise PermissionError

    join = FootersJoin(refuse, memory_bytes=0)
    join.add(join_footers(PACKS), mask(1, 1, 1, 1))
    assert plain(join.finish()) == plain(PACKS)


@pytest.mark.parametrize(
    ("table", "field", "row", "value", "message"),
    [
        ("segments", "origin", 0, 1, "origin it does not list"),  # which the fragment's other packs have
        ("segments", "offset", 0, HEADER_BYTES - 1, "segment outside the pack"),
        ("segments", "offset", 1, limits.PACK_BYTES_MAX - 99, "segment outside the pack"),
        ("segments", "raw", 0, limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX + 1, "segment outside the pack"),
        ("chunks", "segment", 1, 2, "segment it does not list"),  # likewise
        ("chunks", "offset", 4, 1, "chunk outside its segment"),
        ("chunks", "length", 4, (1 << 32) - 1, "chunk outside its segment"),
    ],
)
def test_a_reference_that_leads_out_of_its_pack_is_corrupt(
    table: str, field: str, row: int, value: int, message: str
) -> None:
    footer = PACKS[0].footer
    tables = {"segments": footer.segments.copy(), "chunks": footer.chunks.copy()}
    tables[table][field][row] = value
    wrong = PackedFooter(PACKS[0].pack_id, 1, Footer(footer.origins, tables["segments"], tables["chunks"]))
    for among in ([wrong], [PACKS[2], wrong], [wrong, PACKS[2]]):
        with pytest.raises(ObjectCorrupt, match=message):
            decode_footers(plain(among))


def test_a_footer_of_another_length_than_reported_is_corrupt() -> None:
    (one,) = plain(PACKS[:1])
    for footer in (one[2] + b"\0", one[2][:-1], b"", one[2][:2]):
        with pytest.raises(ObjectCorrupt):
            decode_footers([(one[0], 1, footer), *plain(PACKS[2:])])
