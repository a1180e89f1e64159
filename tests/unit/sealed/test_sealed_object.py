"""The frame format: whatever is cut, extended, moved, renamed or flipped does not open, and never gives wrong bytes."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from farshore.errors import FarshoreError, FormatTooNew, ObjectCorrupt, ObjectTooLarge
from farshore.sealed.sealed_object import (
    HEADER_BYTES,
    INDEX_KEY_ID,
    Checked,
    SealedKind,
    SealedReader,
    SealedWriter,
    key_id_of,
    open_object,
    seal_object,
)

MIB = 1 << 20
FRAME = MIB + 16
SECRET, SALT, REPOSITORY, NAME = b"s" * 32, b"t" * 32, b"r" * 16, "leases/x/000000"
NOISE = random.Random(5).randbytes(3 * MIB + 100)


def seal(payload: bytes, *, compress: bool = False, name: str = NAME, kind: SealedKind = SealedKind.CACHE) -> bytes:
    return seal_object(
        payload, secret=SECRET, key_id=bytes(16), salt=SALT, kind=kind, name=name, repository_id=REPOSITORY,
        compress=compress,
    )  # fmt: skip


def unseal(
    sealed: bytes, *, secret: bytes = SECRET, kind: SealedKind = SealedKind.CACHE, name: str = NAME,
    repository_id: bytes = REPOSITORY,
) -> bytes:  # fmt: skip
    return open_object(sealed, secret=secret, kind=kind, name=name, repository_id=repository_id)


def reader(sealed: bytes) -> SealedReader:
    return SealedReader(
        fetch=lambda offset, length, check: check(sealed[offset : offset + length]), sealed_bytes=len(sealed),
        secret=SECRET, kind=SealedKind.CACHE, name=NAME, repository_id=REPOSITORY,
    )  # fmt: skip


@pytest.mark.parametrize("length", [0, 1, 100, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 100])
@pytest.mark.parametrize("compress", [False, True])
def test_it_opens_to_what_was_sealed(length: int, compress: bool) -> None:
    payload = NOISE[:length]
    assert unseal(seal(payload, compress=compress)) == payload


@pytest.mark.parametrize(("length", "frames"), [(0, 1), (1, 1), (MIB, 1), (MIB + 1, 2), (2 * MIB, 2), (2 * MIB + 1, 3)])
def test_only_the_last_frame_is_shorter_and_it_is_empty_only_for_nothing(length: int, frames: int) -> None:
    assert len(seal(NOISE[:length])) == 2 * HEADER_BYTES + length + 16 * frames


def test_the_header_has_the_bytes_of_the_format() -> None:
    sealed = seal(b"x", compress=True)
    assert sealed[:HEADER_BYTES] == b"FSOB\x01\x07\x01\x14" + bytes(16) + SALT
    assert sealed[-HEADER_BYTES:] == sealed[:HEADER_BYTES]
    assert key_id_of(sealed) == INDEX_KEY_ID
    assert seal(b"x", kind=SealedKind.MANIFEST)[7] == 15


def test_an_object_of_the_first_version_opens() -> None:
    sealed = bytes.fromhex(
        "46534f4201070014000000000000000000000000000000007474747474747474747474747474747474747474747474747474"
        "747474747474852324838d4ee906ed794eeb336c718b6a698f2bd739b221c3af24f09a77aef50162c5bd4241e03f240b5de9"
        "46534f4201070014000000000000000000000000000000007474747474747474747474747474747474747474747474747474"
        "747474747474"
    )
    assert unseal(sealed) == b"a cache of the first version"
    assert seal(b"a cache of the first version") == sealed


def test_a_large_payload_shrinks_when_asked() -> None:
    assert len(seal(b"again " * 100_000, compress=True)) < 1000


def test_another_key_kind_name_or_repository_opens_nothing() -> None:
    sealed = seal(b"secret")
    with pytest.raises(ObjectCorrupt):
        unseal(sealed, secret=b"x" * 32)
    with pytest.raises(ObjectCorrupt, match="not a sealed manifest"):
        unseal(sealed, kind=SealedKind.MANIFEST)
    with pytest.raises(ObjectCorrupt):
        unseal(sealed, name="leases/x/000001")
    with pytest.raises(ObjectCorrupt):
        unseal(sealed, repository_id=b"x" * 16)


def test_a_kind_is_bound_and_not_only_written_down() -> None:
    sealed = bytearray(seal(b"secret"))
    sealed[5] = SealedKind.MANIFEST
    with pytest.raises(ObjectCorrupt):
        unseal(bytes(sealed), kind=SealedKind.MANIFEST)


@pytest.mark.parametrize("compress", [False, True])
def test_every_flipped_byte_is_noticed(compress: bool) -> None:
    sealed = seal(b"a payload that is short enough to try every byte of it", compress=compress)
    for at in range(len(sealed)):
        with pytest.raises((ObjectCorrupt, FormatTooNew)):
            unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])


def test_a_later_version_is_reported() -> None:
    sealed = seal(b"x")
    with pytest.raises(FormatTooNew):
        unseal(sealed.replace(b"FSOB\x01", b"FSOB\x02"))


@pytest.mark.parametrize("payload_bytes", [0, 10, MIB, 2 * MIB, 2 * MIB + 10], ids=str)
def test_a_cut_at_or_near_every_border_is_noticed(payload_bytes: int) -> None:
    sealed = seal(NOISE[:payload_bytes])
    borders = {0, 4, HEADER_BYTES, len(sealed) - HEADER_BYTES, len(sealed), *range(HEADER_BYTES, len(sealed), FRAME)}
    lengths = {border + near for border in borders for near in range(-18, 19)}
    for length in sorted(lengths):
        if 0 <= length < len(sealed):
            with pytest.raises(ObjectCorrupt):
                unseal(sealed[:length])


@pytest.mark.parametrize("payload_bytes", [0, 10, MIB, 2 * MIB], ids=str)
def test_an_extension_is_noticed(payload_bytes: int) -> None:
    sealed = seal(NOISE[:payload_bytes])
    for more in (b"\0", b"\0" * 16, b"\0" * 17, b"x" * FRAME, sealed[HEADER_BYTES:], sealed[HEADER_BYTES:][:FRAME]):
        if more:
            with pytest.raises(ObjectCorrupt):
                unseal(sealed + more)


def test_frames_in_another_order_are_noticed() -> None:
    sealed = seal(NOISE)
    end = len(sealed) - HEADER_BYTES
    frames = [sealed[at : min(at + FRAME, end)] for at in range(HEADER_BYTES, end, FRAME)]
    for order in ((1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3), (0, 1, 1, 3), (0, 1, 2, 2), (3,)):
        with pytest.raises(ObjectCorrupt):
            unseal(sealed[:HEADER_BYTES] + b"".join(frames[at] for at in order) + sealed[end:])


def test_frames_of_a_twin_are_noticed() -> None:
    """Two objects under one key share nothing: the salt in the header makes the keys differ."""
    one = seal(NOISE)
    two = seal_object(
        NOISE, secret=SECRET, key_id=bytes(16), salt=b"u" * 32, kind=SealedKind.CACHE, name=NAME,
        repository_id=REPOSITORY,
    )  # fmt: skip
    with pytest.raises(ObjectCorrupt):
        unseal(one[: HEADER_BYTES + FRAME] + two[HEADER_BYTES + FRAME :])


def test_it_is_read_at_random() -> None:
    view = reader(seal(NOISE))
    chance = random.Random(2)
    assert view.seek(0, io.SEEK_END) == len(NOISE)
    assert view.read() == b""
    for _ in range(60):
        start, length = chance.randrange(len(NOISE) + 10), chance.choice([0, 1, 7, 5000, MIB, 2 * MIB])
        assert view.seek(start) == start
        assert view.read(length) == NOISE[start : start + length]
        assert view.tell() == max(min(start + length, len(NOISE)), start)
    view.seek(-5, io.SEEK_END)
    assert view.read() == NOISE[-5:]
    view.seek(-5, io.SEEK_CUR)
    buffer = bytearray(10)
    assert view.readinto(memoryview(buffer)) == 5
    assert buffer == NOISE[-5:] + bytes(5)
    assert view.readable()
    assert view.seekable()


def test_only_the_frames_asked_for_are_fetched() -> None:
    sealed = seal(NOISE)
    asked: list[int] = []

    def fetch(offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
        asked.append(offset)
        return check(sealed[offset : offset + length])

    view = SealedReader(
        fetch=fetch, sealed_bytes=len(sealed), secret=SECRET, kind=SealedKind.CACHE, name=NAME, repository_id=REPOSITORY
    )
    view.seek(MIB + 5)
    view.read(10)
    view.read(10)
    view.seek(0)
    view.read(2 * MIB)
    assert asked == [HEADER_BYTES + 3 * FRAME, HEADER_BYTES + FRAME, HEADER_BYTES]


def test_the_end_is_one_request_with_the_frames_that_are_asked_for_there() -> None:
    sealed = seal(NOISE)
    asked: list[tuple[int, int]] = []

    def fetch(offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
        asked.append((offset, length))
        return check(sealed[offset : offset + length])

    view = SealedReader(
        fetch=fetch, sealed_bytes=len(sealed), secret=lambda _: lambda attempt: attempt(SECRET),
        kind=SealedKind.CACHE, name=NAME, repository_id=REPOSITORY, tail_bytes=MIB,
    )  # fmt: skip
    view.seek(-MIB // 2, io.SEEK_END)
    assert view.read() == NOISE[-MIB // 2 :]
    start = HEADER_BYTES + 2 * FRAME
    assert asked == [(start, len(sealed) - start)]


def test_a_copy_whose_end_does_not_open_gives_way_to_the_next() -> None:
    sealed = seal(NOISE)
    copies = [flipped_at(sealed, len(sealed) - HEADER_BYTES - 5), sealed]

    def fetch(offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
        for copy in copies:
            try:
                return check(copy[offset : offset + length])
            except ObjectCorrupt:
                continue
        raise ObjectCorrupt("no copy is good")

    view = SealedReader(
        fetch=fetch, sealed_bytes=len(sealed), secret=SECRET, kind=SealedKind.CACHE, name=NAME, repository_id=REPOSITORY
    )
    assert view.read() == NOISE
    copies[:] = [flipped_at(sealed, len(sealed) - 40)]
    with pytest.raises(ObjectCorrupt):
        SealedReader(
            fetch=fetch, sealed_bytes=len(sealed), secret=SECRET, kind=SealedKind.CACHE, name=NAME,
            repository_id=REPOSITORY,
        )  # fmt: skip


def flipped_at(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_size_that_lies_is_noticed_at_once() -> None:
    """The size comes from a listing or a record; the last frame proves it before a byte of payload is trusted."""
    sealed = seal(NOISE)
    for size in (len(sealed) - FRAME, len(sealed) - 1, len(sealed) + 1, HEADER_BYTES + FRAME, HEADER_BYTES, 10, 0):
        with pytest.raises(ObjectCorrupt):
            SealedReader(
                fetch=lambda offset, length, check: check(sealed[offset : offset + length]), sealed_bytes=size,
                secret=SECRET, kind=SealedKind.CACHE, name=NAME, repository_id=REPOSITORY,
            )  # fmt: skip


@pytest.mark.parametrize("step", [1, 1000, MIB, MIB + 1, 5 * MIB])
def test_a_writer_takes_any_pieces(step: int) -> None:
    payload = NOISE if step > 1 else NOISE[:3000]
    sink = io.BytesIO()
    writer = SealedWriter(
        sink=sink, secret=SECRET, key_id=bytes(16), salt=SALT, kind=SealedKind.CACHE, name=NAME,
        repository_id=REPOSITORY,
    )  # fmt: skip
    for start in range(0, len(payload), step):
        assert writer.write(memoryview(payload)[start : start + step]) == len(payload[start : start + step])
    assert writer.tell() == len(payload)
    digest = writer.finish()
    assert sink.getvalue() == seal(payload)
    assert writer.sealed_bytes == len(sink.getvalue())
    assert len(digest) == 64


def claiming(payload: bytes, kind: SealedKind) -> bytes:
    """An object that says its payload is compressed, which only holders of a key can make."""
    sink = io.BytesIO()
    writer = SealedWriter(
        sink=sink, secret=SECRET, key_id=INDEX_KEY_ID, salt=SALT, kind=kind, name=NAME, repository_id=REPOSITORY,
        flags=1,
    )  # fmt: skip
    writer.write(payload)
    writer.finish()
    return sink.getvalue()


@pytest.mark.parametrize("kind", [kind for kind in SealedKind if kind is not SealedKind.CACHE])
def test_a_payload_that_grows_without_bound_is_refused_before_it_does(kind: SealedKind) -> None:
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=1 << 30)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(1 << 10)) + compressor.flush()
    assert len(bomb) < 100_000
    sealed = claiming(bomb, kind)
    tracemalloc.start()
    with pytest.raises(ObjectTooLarge, match="1,073,741,824"):
        unseal(sealed, kind=kind)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_a_frame_that_gives_more_than_it_declares_is_corrupt() -> None:
    """The size in a frame's head is altered; nothing beyond it is allocated."""
    frame = bytearray(zstandard.ZstdCompressor(level=3).compress(bytes(50_000_000)))
    assert zstandard.frame_content_size(bytes(frame)) == 50_000_000
    at = bytes(frame).index((50_000_000).to_bytes(4, "little"))
    frame[at : at + 4] = (1000).to_bytes(4, "little")
    two = zstandard.ZstdCompressor(level=3).compress(b"one") * 2
    for payload in (bytes(frame), two):
        with pytest.raises(ObjectCorrupt):
            unseal(claiming(payload, SealedKind.MANIFEST), kind=SealedKind.MANIFEST)


def test_a_large_file_of_this_host_opens() -> None:
    """More than an object of any replica may have."""
    payload = NOISE.hex().encode() * 3
    assert len(payload) > 16 * MIB
    assert unseal(seal(payload, compress=True, kind=SealedKind.CACHE), kind=SealedKind.CACHE) == payload
    with pytest.raises(ObjectTooLarge):
        seal(payload, compress=True, kind=SealedKind.MANIFEST)


def test_a_payload_that_says_it_is_compressed_and_is_not_is_corrupt() -> None:
    for payload in (b"", b"no zstd", zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 50)):
        sink = io.BytesIO()
        writer = SealedWriter(
            sink=sink, secret=SECRET, key_id=bytes(16), salt=SALT, kind=SealedKind.CACHE, name=NAME,
            repository_id=REPOSITORY, flags=1,
        )  # fmt: skip
        writer.write(payload)
        writer.finish()
        with pytest.raises(FarshoreError):
            unseal(sink.getvalue())
