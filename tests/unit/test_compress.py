from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zstandard

from farshore.compress import CODEC_NONE, CODEC_ZSTD, compress, decompress_into, opens_to
from farshore.errors import ObjectCorrupt

NOISE = random.Random(1).randbytes(10_000)
TEXT = b"the same words again and again " * 1000


def decompress(codec: int, stored: bytes, length: int) -> bytes:
    """Return the bytes that must be `length` long."""
    raw = bytearray(length)
    decompress_into(codec, stored, memoryview(raw))
    return bytes(raw)


def test_what_shrinks_is_compressed() -> None:
    codec, stored = compress(TEXT)
    assert codec == CODEC_ZSTD
    assert len(stored) < len(TEXT) // 10
    assert decompress(codec, bytes(stored), len(TEXT)) == TEXT


@pytest.mark.parametrize("raw", [b"", b"x", NOISE])
def test_what_does_not_shrink_is_kept(raw: bytes) -> None:
    codec, stored = compress(raw)
    assert (codec, bytes(stored)) == (CODEC_NONE, raw)
    assert decompress(codec, bytes(stored), len(raw)) == raw


def test_where_there_is_time_less_is_stored_and_never_more() -> None:
    sources = sorted(Path(random.__file__).parent.glob("*.py"))[:40]
    prose = b"".join(source.read_bytes() for source in sources)
    assert len(compress(prose, thorough=True)[1]) < len(compress(prose)[1])
    pages = Path(np.__file__).read_bytes()
    for raw in (prose, pages, TEXT, NOISE):
        codec, stored = compress(raw, thorough=True)
        assert len(stored) <= len(compress(raw)[1])
        assert decompress(codec, bytes(stored), len(raw)) == raw


def test_any_buffer_is_taken() -> None:
    for buffer in (bytearray(TEXT), memoryview(TEXT)):
        codec, stored = compress(buffer)
        assert decompress(codec, bytes(stored), len(TEXT)) == TEXT


def test_a_wrong_length_is_corrupt() -> None:
    _, stored = compress(TEXT)
    for codec, data in ((CODEC_NONE, NOISE), (CODEC_ZSTD, bytes(stored))):
        right = len(NOISE) if codec == CODEC_NONE else len(TEXT)
        for length in (0, 1, right - 1, right + 1):
            with pytest.raises(ObjectCorrupt):
                decompress(codec, data, length)


def test_an_unknown_codec_is_corrupt() -> None:
    with pytest.raises(ObjectCorrupt, match="codec 2"):
        decompress(2, b"", 0)


def test_a_frame_that_would_grow_without_bound_is_refused() -> None:
    """Nothing is allocated beyond what the sealed length says, whether the frame declares its size or not."""
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(50_000_000))
    stream = zstandard.ZstdCompressor(level=3, write_content_size=False).compress(bytes(50_000_000))
    for frame in (bomb, stream):
        with pytest.raises(ObjectCorrupt):
            decompress(CODEC_ZSTD, frame, 1000)


def test_bytes_open_to_what_they_were_made_of_and_to_nothing_else() -> None:
    """Also where they differ behind the first piece that is compared, at the last byte, or in length alone."""
    long = (TEXT * 20)[:600_000]
    for raw in (b"", b"x", NOISE, TEXT, long, long[: 512 * 1024], memoryview(long)):
        codec, stored = compress(raw)
        assert opens_to(codec, bytes(stored), raw)
        for at in {0, len(raw) // 2, len(raw) - 1} if raw else ():
            other = bytearray(raw)
            other[at] ^= 1
            assert not opens_to(codec, bytes(stored), bytes(other))
    assert opens_to(CODEC_NONE, NOISE, NOISE)
    assert not opens_to(CODEC_NONE, NOISE, NOISE + b"x")
    assert not opens_to(CODEC_NONE, NOISE, NOISE[:-1])


def test_what_does_not_open_is_reported_when_it_is_compared() -> None:
    _, stored = compress(TEXT)
    for codec, data, raw in (
        (2, b"", b""),
        (CODEC_ZSTD, b"no frame", b"no frame"),
        (CODEC_ZSTD, undeclared(TEXT), TEXT),
        (CODEC_ZSTD, bytes(stored), TEXT[:-1]),
        (CODEC_ZSTD, bytes(stored)[:9] + b"\xff" + bytes(stored)[10:], TEXT),
    ):
        with pytest.raises(ObjectCorrupt):
            opens_to(codec, data, raw)


def undeclared(raw: bytes) -> bytes:
    """Return a frame without its length: opening one may need a window of 128 MiB."""
    return zstandard.ZstdCompressor(level=1, write_content_size=False).compress(raw)


def test_every_damage_of_a_frame_is_corrupt_or_gives_that_length() -> None:
    _, stored = compress(TEXT)
    data = bytes(stored)
    for at in range(len(data)):
        try:
            raw = decompress(CODEC_ZSTD, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :], len(TEXT))
        except ObjectCorrupt:
            continue
        assert len(raw) == len(TEXT)
    for length in range(len(data)):
        with pytest.raises(ObjectCorrupt):
            decompress(CODEC_ZSTD, data[:length], len(TEXT))


def test_a_frame_of_the_first_version_opens() -> None:
    frame = bytes.fromhex("28b52ffd204bad00007066617273686f7265207a7374642001000a692a01")
    assert decompress(CODEC_ZSTD, frame, 75) == b"farshore zstd " * 5 + b"farsh"


def test_threads_do_not_share_a_compressor() -> None:
    inputs = [random.Random(seed).randbytes(50) * (seed + 20) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda raw: (raw, *compress(raw)), inputs))
        restored = list(pool.map(lambda one: decompress(one[1], bytes(one[2]), len(one[0])), outputs))
    assert restored == inputs


def test_bytes_may_come_into_memory_that_is_there() -> None:
    for given in (TEXT, NOISE, b"", b"x"):
        codec, stored = compress(given)
        room = bytearray(b"?" * (len(given) + 2))
        decompress_into(codec, bytes(stored), memoryview(room)[1:-1])
        assert room == b"?" + given + b"?"


def test_nothing_is_written_outside_memory_that_is_there() -> None:
    for given in (TEXT, NOISE):
        codec, stored = compress(given)
        for length in (0, 1, len(given) - 1, len(given) + 1):
            room = bytearray(b"?" * (length + 100_000))
            with pytest.raises(ObjectCorrupt):
                decompress_into(codec, bytes(stored), memoryview(room)[:length])
            assert room[length:] == b"?" * 100_000
    undeclared = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    for length in (len(TEXT) - 1, len(TEXT) + 1):
        with pytest.raises(ObjectCorrupt):
            decompress_into(CODEC_ZSTD, undeclared, memoryview(bytearray(length)))
    with pytest.raises(ObjectCorrupt, match="codec 2"):
        decompress_into(2, b"", memoryview(bytearray(0)))
    with pytest.raises(ObjectCorrupt, match="does not open"):
        decompress_into(CODEC_ZSTD, b"no frame", memoryview(bytearray(9)))
