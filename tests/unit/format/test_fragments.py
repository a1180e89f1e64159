"""Index fragments: well-formed or refused, and every pack by what proves it."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.fragments import FragmentEntry, decode_fragment, encode_body, encode_fragment
from farshore.format.origin import Origin
from farshore.format.pack import HEADER_BYTES, TAIL_BYTES, PackHeader, PackTail, encode_header, encode_tail
from farshore.format.pack_id import hash_pack
from farshore.model import Signature

CHANCE = random.Random(6)
SIGNATURE = Signature("cd" * 16, b"f" * 64)


def pack(body_bytes: int, footer: bytes) -> tuple[bytes, FragmentEntry]:
    header = encode_header(
        PackHeader(Origin(CHANCE.randbytes(16), CHANCE.randbytes(32)), b"t" * 16, HEADER_BYTES + body_bytes)
    )
    tail = encode_tail(PackTail(Signature("ab" * 16, CHANCE.randbytes(64)), len(footer)))
    body = header + CHANCE.randbytes(body_bytes)
    data = body + footer + tail
    return data, FragmentEntry(blake3(body).digest(), len(data), header, footer, tail)


PACKS = [pack(10, b"a footer"), pack(0, b""), pack(1000, bytes(300))]
ENTRIES = tuple(entry for _, entry in PACKS)


def test_a_fragment_is_read_as_it_was_written() -> None:
    body = encode_body(ENTRIES, [b"o" * 32, b"p" * 32])
    read = decode_fragment(encode_fragment(body, SIGNATURE))
    assert body[:16] == b"FSIX\x01\0\0\0\x03\0\0\0\x02\0\0\0"
    assert (read.entries, read.superseded) == (ENTRIES, (b"o" * 32, b"p" * 32))
    assert (read.signature, read.digest) == (SIGNATURE, blake3(body).digest())
    assert decode_fragment(encode_fragment(encode_body([]), SIGNATURE)).entries == ()


def test_the_id_of_each_pack_follows_from_its_entry() -> None:
    for data, entry in PACKS:
        assert entry.pack_id == hash_pack(data)
        assert entry.signature.ed25519 == data[-TAIL_BYTES + 16 : -8]


def test_a_fragment_cut_anywhere_or_longer_is_corrupt() -> None:
    data = encode_fragment(encode_body(ENTRIES, [b"o" * 32]), SIGNATURE)
    for length in range(len(data)):
        with pytest.raises(ObjectCorrupt):
            decode_fragment(data[:length])
    with pytest.raises(ObjectCorrupt):
        decode_fragment(data + b"x")


def test_counts_that_are_not_there_are_corrupt() -> None:
    data = bytearray(encode_fragment(encode_body(ENTRIES), SIGNATURE))
    for at, value in ((8, 4), (8, 0xFF), (12, 1), (15, 0xFF)):
        wrong = bytes(data[:at]) + bytes([value]) + bytes(data[at + 1 :])
        with pytest.raises(ObjectCorrupt):
            decode_fragment(wrong)


def test_another_object_and_a_later_version_are_told_apart() -> None:
    data = encode_fragment(encode_body(ENTRIES), SIGNATURE)
    with pytest.raises(ObjectCorrupt, match="not a fragment"):
        decode_fragment(b"FSOB" + data[4:])
    with pytest.raises(FormatTooNew):
        decode_fragment(data[:4] + b"\x02" + data[5:])


@pytest.mark.parametrize("part", ["pack_bytes", "header", "tail"])
def test_parts_that_do_not_fit_each_other_are_corrupt(part: str) -> None:
    """Else a pack could be given another size than its name proves."""
    one = ENTRIES[0]
    parts = {name: getattr(one, name) for name in ("body_hash", "pack_bytes", "header", "sealed_footer", "tail")}
    parts[part] = one.pack_bytes + 1 if part == "pack_bytes" else getattr(ENTRIES[2], part)
    with pytest.raises(ObjectCorrupt, match="do not fit"):
        decode_fragment(encode_fragment(encode_body([FragmentEntry(**parts)]), SIGNATURE))
