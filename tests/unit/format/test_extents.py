from __future__ import annotations

import pytest

from farshore.errors import ObjectCorrupt
from farshore.format.extents import EXTENT_BYTES, decode_extents, encode_extents, view_extents
from farshore.model import HOLE, Extent

EXTENTS = [Extent(b"\xaa" * 32, 1, 2), Extent(HOLE, 0, 1 << 63), Extent(bytes(range(32)), (1 << 32) - 1, (1 << 64) - 1)]


def test_they_are_44_bytes_each_as_the_format_says() -> None:
    data = encode_extents(EXTENTS)
    assert data[:44] == b"\xaa" * 32 + b"\x01\0\0\0" + b"\x02" + bytes(7)
    assert len(data) == EXTENT_BYTES * 3
    assert decode_extents(data) == EXTENTS
    assert decode_extents(b"") == []


def test_a_view_shows_the_same() -> None:
    view = view_extents(encode_extents(EXTENTS))
    assert [(bytes(row["chunk"]), int(row["offset"]), int(row["length"])) for row in view] == [
        (extent.chunk, extent.offset, extent.length) for extent in EXTENTS
    ]


@pytest.mark.parametrize("cut", [1, 43, 45, 87])
def test_what_is_cut_short_is_corrupt(cut: int) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_extents(encode_extents(EXTENTS)[:cut])
