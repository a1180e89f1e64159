"""One segment by its footer row: the right bytes from any range of the pack, and an error for any other ones."""

from __future__ import annotations

import pytest
from blake3 import blake3

from farshore.errors import ObjectCorrupt
from farshore.format import pack as layout
from farshore.format.origin import Origin
from farshore.page_pool import make_pages
from farshore.sealed.data_key import DataKey
from farshore.sealed.open_segment import decompress_segment_at, decrypt_segment_at, open_segment_at
from farshore.sealed.packs import PackBuilder, open_footer
from farshore.sealed.segments import PlainSegment, seal_segment
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys

KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
DATA_KEY = DataKey(b"k" * 16, b"d" * 32)
ORIGIN = Origin(DATA_KEY.key_id, b"o" * 32)
TEXTS = (b"one" * 500, b"two" * 500)


def name_of(data: bytes) -> bytes:
    return blake3(data, key=KEYS.chunk_key).digest()


def pack_of(second_name: bytes) -> tuple[layout.Footer, memoryview]:
    """Return a pack of two segments of one chunk each, and its footer."""
    builder = PackBuilder(keys=KEYS, key_id=DATA_KEY.key_id, clock=FixedClock())
    for number, (text, name) in enumerate(zip(TEXTS, (name_of(TEXTS[0]), second_name), strict=True)):
        plain = PlainSegment(ORIGIN, number, text, ((name, 0, len(text)),))
        builder.add(seal_segment(plain, DATA_KEY, KEYS.repository_id))
    built = builder.build()
    return layout.decode_footer(open_footer(KEYS, built.entry.header, built.entry.sealed_footer)), built.body


def test_a_segment_opens_from_the_whole_pack_and_from_a_range_of_it() -> None:
    footer, body = pack_of(name_of(TEXTS[1]))
    for number, text in enumerate(TEXTS):
        at = int(footer.segments[number]["offset"])
        for start in (0, 56, at):
            data = body[start:]
            opened = open_segment_at(footer, number, data, make_pages, keys=KEYS, data_key=DATA_KEY, start=start)
            stored = decrypt_segment_at(footer, number, data, keys=KEYS, data_key=DATA_KEY, start=start)
            unpacked = decompress_segment_at(footer, number, stored, make_pages, keys=KEYS)
            assert bytes(opened) == bytes(unpacked) == text


def test_a_range_that_ends_too_early_is_named() -> None:
    footer, body = pack_of(name_of(TEXTS[1]))
    end = int(footer.segments[1]["offset"]) + int(footer.segments[1]["stored"])
    with pytest.raises(ObjectCorrupt, match="cut short in segment 1"):
        open_segment_at(footer, 1, body[: end - 1], make_pages, keys=KEYS, data_key=DATA_KEY)
    with pytest.raises(ObjectCorrupt, match="cut short in segment 1"):
        decrypt_segment_at(footer, 1, body[: end - 1], keys=KEYS, data_key=DATA_KEY)


def test_a_chunk_that_does_not_hash_to_its_name_is_found_both_ways() -> None:
    footer, body = pack_of(b"?" * 32)
    open_segment_at(footer, 0, body, make_pages, keys=KEYS, data_key=DATA_KEY)
    with pytest.raises(ObjectCorrupt, match="segment 1 does not hash to its name"):
        open_segment_at(footer, 1, body, make_pages, keys=KEYS, data_key=DATA_KEY)
    stored = decrypt_segment_at(footer, 1, body, keys=KEYS, data_key=DATA_KEY)
    with pytest.raises(ObjectCorrupt, match="segment 1 does not hash to its name"):
        decompress_segment_at(footer, 1, stored, make_pages, keys=KEYS)


def test_only_the_chunks_that_are_named_are_checked() -> None:
    footer, body = pack_of(b"?" * 32)
    raw = open_segment_at(footer, 1, body, make_pages, keys=KEYS, data_key=DATA_KEY, chunks=footer.chunks[:0])
    assert bytes(raw) == TEXTS[1]
