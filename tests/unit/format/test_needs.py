from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, decode_needs, encode_needs, join_needs

A, B, C = "a" * 64, "b" * 64, "c" * 64
NEEDS = Needs(
    packs=(NeededPack(A, 16_777_216, (9, 0b1_0000_0001)), NeededPack(B, 300)),
    data_keys=(NeededKey("1" * 32, "2" * 32, A), NeededKey("1" * 32, "2" * 32, B)),
    fragments=(NeededFragment(A, 7), NeededFragment(C, 1 << 40)),
)
BODY = encode_needs(NEEDS)
HEADER_BYTES = 20


def test_needs_are_read_as_they_were_written() -> None:
    assert decode_needs(BODY, "it") == NEEDS
    assert decode_needs(encode_needs(Needs()), "it") == Needs()


def test_the_bytes_are_those_of_the_format() -> None:
    assert b"".join([
        b"FSND\x01\0\0\0", struct.pack("<III", 2, 2, 2),
        b"\xaa" * 32, struct.pack("<IH", 16_777_216, 9), b"\x01\x01", b"\xbb" * 32, struct.pack("<IH", 300, 0),
        b"\x11" * 16, b"\x22" * 16, b"\xaa" * 32, b"\x11" * 16, b"\x22" * 16, b"\xbb" * 32,
        b"\xaa" * 32, struct.pack("<Q", 7), b"\xcc" * 32, struct.pack("<Q", 1 << 40),
    ]) == BODY  # fmt: skip


def test_equal_needs_are_equal_bytes() -> None:
    shuffled = Needs(NEEDS.packs[::-1], NEEDS.data_keys[::-1], NEEDS.fragments[::-1])
    assert encode_needs(shuffled) == BODY
    assert encode_needs(join_needs([NEEDS, shuffled])) == BODY


def test_a_bit_says_whether_a_segment_is_in_use_and_no_bits_mean_all_are() -> None:
    some, every = NEEDS.packs
    assert [number for number in range(9) if some.uses(number)] == [0, 8]
    assert all(every.uses(number) for number in range(100))


def test_a_pack_of_two_needs_is_used_in_the_segments_of_both() -> None:
    one, other = NeededPack(A, 9, (3, 0b001)), NeededPack(A, 9, (3, 0b100))
    assert join_needs([Needs(packs=(one,)), Needs(packs=(other,))]).packs == (NeededPack(A, 9, (3, 0b101)),)
    for doubtful in (NeededPack(A, 9), NeededPack(A, 9, (4, 0b001))):  # all of it, or nobody knows how many it has
        assert join_needs([Needs(packs=(one,)), Needs(packs=(doubtful,))]).packs == (NeededPack(A, 9),)


def test_a_data_key_is_named_by_its_parts() -> None:
    assert NEEDS.data_keys[0].name == names.data_key("1" * 32, "2" * 32, A)


def test_needs_that_are_cut_or_longer_are_damaged() -> None:
    for length in range(len(BODY)):
        with pytest.raises(ObjectCorrupt, match="it"):
            decode_needs(BODY[:length], "it")
    with pytest.raises(ObjectCorrupt, match="another length"):
        decode_needs(BODY + b"\0", "it")


def test_a_later_version_is_reported() -> None:
    with pytest.raises(FormatTooNew, match="version 2"):
        decode_needs(BODY[:4] + b"\x02" + BODY[5:], "it")


@pytest.mark.parametrize("at", [8, 12, 16])
def test_counts_that_cannot_be_are_found_before_anything_is_allocated(at: int) -> None:
    with pytest.raises(ObjectCorrupt, match="shorter"):
        decode_needs(BODY[:at] + b"\xff\xff\xff\xff" + BODY[at + 4 :], "it")


def test_tables_that_are_not_in_order_or_name_one_thing_twice_are_damaged() -> None:
    twice = [
        replace(NEEDS, packs=(NEEDS.packs[1], NEEDS.packs[1])),
        replace(NEEDS, data_keys=NEEDS.data_keys[:1] * 2),
        replace(NEEDS, fragments=NEEDS.fragments[:1] * 2),
    ]
    for one in twice:
        with pytest.raises(ObjectCorrupt, match="order"):
            decode_needs(encode_needs(one), "it")
    first, second = BODY[HEADER_BYTES : HEADER_BYTES + 40], BODY[HEADER_BYTES + 40 : HEADER_BYTES + 78]
    with pytest.raises(ObjectCorrupt, match="order"):
        decode_needs(BODY[:HEADER_BYTES] + second + first + BODY[HEADER_BYTES + 78 :], "it")


@pytest.mark.parametrize(
    "pack", [NeededPack(A, limits.PACK_BYTES_MAX + 1), NeededPack(A, 9, (3, 0b1000))], ids=["too-large", "no-segment"]
)
def test_a_pack_that_cannot_be_is_damage(pack: NeededPack) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_needs(encode_needs(Needs(packs=(pack,))), "it")


def test_no_bytes_end_in_an_error_that_is_not_ours() -> None:
    noise = random.Random(5)
    for _ in range(2_000):
        body = bytearray(BODY)
        for _ in range(noise.randrange(1, 4)):
            body[noise.randrange(len(body))] = noise.randrange(256)
        try:
            decode_needs(bytes(body), "it")
        except (ObjectCorrupt, FormatTooNew):
            continue
