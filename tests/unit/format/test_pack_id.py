"""The id of a pack: by two hashes, in pieces of any length, and of nothing that is no pack."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3

from farshore.format import names
from farshore.format.origin import Origin
from farshore.format.pack import HEADER_BYTES, TAIL_BYTES, PackHeader, PackTail, encode_header, encode_tail
from farshore.format.pack_id import PackHasher, hash_object, hash_pack, pack_id_of, signed_digest
from farshore.model import Signature

CHANCE = random.Random(5)
BODY, FOOTER = CHANCE.randbytes(300), CHANCE.randbytes(140)


def pack(body: bytes = BODY, footer: bytes = FOOTER, *, begins: int = 0, length: int = -1) -> bytes:
    header = PackHeader(Origin(b"k" * 16, b"s" * 32), b"t" * 16, begins or HEADER_BYTES + len(body))
    tail = PackTail(Signature("ab" * 16, b"e" * 64), len(footer) if length < 0 else length)
    return encode_header(header) + body + footer + encode_tail(tail)


def in_pieces(data: bytes, piece: int) -> bytes:
    hasher = PackHasher()
    for at in range(0, len(data), piece):
        hasher.update(data[at : at + piece])
    return hasher.digest()


@pytest.mark.parametrize("data", [pack(), pack(b"", b""), pack(CHANCE.randbytes(3)), b"", b"FSPK", bytes(5000)])
def test_pieces_of_any_length_give_one_hash(data: bytes) -> None:
    assert {in_pieces(data, piece) for piece in (*range(1, 180), 299, 1 << 20)} == {hash_pack(data)}
    assert hash_pack(memoryview(data)) == hash_pack(bytearray(data)) == hash_pack(data)


def test_an_id_follows_from_the_hash_of_the_body_and_what_is_behind_it() -> None:
    data = pack()
    begins = HEADER_BYTES + len(BODY)
    body, rest = blake3(data[:begins]).digest(), data[begins:]
    assert hash_pack(data) == blake3(body + blake3(rest).digest()).digest()
    assert hash_pack(data) == pack_id_of(body, FOOTER, rest[-TAIL_BYTES:])
    assert signed_digest(body, FOOTER) == blake3(body + blake3(FOOTER).digest()).digest()


def test_every_flipped_byte_and_every_cut_gives_another_id() -> None:
    data = pack(BODY[:50])
    ids = {hash_pack(data)} | {hash_pack(data[:at]) for at in range(len(data))}
    ids |= {hash_pack(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) for at in range(len(data))}
    assert len(ids) == 2 * len(data) + 1


@pytest.mark.parametrize(
    "data",
    [
        pack(begins=HEADER_BYTES + len(BODY) - 1),
        pack(length=len(FOOTER) + 1),
        b"FSPX" + pack()[4:],
        pack()[:-4] + b"FSPX",
        pack(begins=10),
    ],
    ids=["begins-elsewhere", "longer", "no-header", "no-tail", "in-header"],
)
def test_bytes_whose_ends_do_not_agree_have_the_id_of_no_pack(data: bytes) -> None:
    """Nobody can move the border and keep the id: such bytes are hashed with a text before them."""
    begins = HEADER_BYTES + len(BODY)
    for at in (begins - 1, begins, len(data)):
        assert hash_pack(data) != blake3(blake3(data[:at]).digest() + blake3(data[at:]).digest()).digest()
    assert hash_pack(data) != blake3(data).digest()


def test_a_pack_of_a_later_version_is_as_whole() -> None:
    data = pack()
    later = data[:4] + b"\x02" + data[5:]
    begins = HEADER_BYTES + len(BODY)
    assert hash_pack(later) == blake3(blake3(later[:begins]).digest() + blake3(later[begins:]).digest()).digest()


def test_the_name_of_an_object_decides_how_it_is_hashed() -> None:
    data = pack()
    assert hash_object(names.pack("ab" * 32), data) == hash_pack(data).hex()
    assert hash_object(names.fragment("ab" * 32), data) == blake3(data).hexdigest()
