"""Bodies without needless copies, names, ranges, order of listings, and the answer to a name that is taken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.errors import Bug, ObjectNotFound, StoreConflict, StoreDenied, StoreUnavailable
from farshore.limits import COMPARE_BYTES_MAX
from farshore.stores.base import (
    NAME_LENGTH_MAX,
    Body,
    ObjectInfo,
    PutOutcome,
    body_bytes,
    check_name,
    check_range,
    in_order,
    is_name,
)
from farshore.stores.body import as_bytes, body_pieces, compare_present, in_pieces, open_body
from farshore.stores.memory import MemoryStore
from tests.doubles.clock import FixedClock

DATA = bytes(range(256)) * 100


@pytest.fixture(params=["bytes", "bytearray", "memoryview", "wide", "file"])
def body(request: pytest.FixtureRequest, tmp_path: Path) -> Body:
    (tmp_path / "body").write_bytes(DATA)
    made: dict[str, Body] = {
        "bytes": DATA,
        "bytearray": bytearray(DATA),
        "memoryview": memoryview(b"x" + DATA)[1:],
        "wide": memoryview(DATA).cast("Q"),
        "file": tmp_path / "body",
    }
    return made[request.param]


def test_a_body_has_a_size_pieces_and_bytes(body: Body) -> None:
    assert body_bytes(body) == len(DATA)
    pieces = [bytes(piece) for piece in body_pieces(body, 1000)]
    assert b"".join(pieces) == DATA
    assert {len(piece) for piece in pieces[:-1]} == {1000}
    assert as_bytes(body) == DATA
    with open_body(body) as file:
        assert file.read(10) == DATA[:10]
        assert file.tell() == 10
        file.seek(0)
        assert file.read() == DATA
        assert len(file.read(10)) == 0
        assert file.seek(0, io.SEEK_END) == len(DATA)
        file.seek(-10, io.SEEK_CUR)
        assert file.readinto(room := bytearray(20)) == 10  # type: ignore[attr-defined] # as binary files have it
        assert room[:10] == DATA[-10:]


def test_bytes_are_never_copied() -> None:
    assert as_bytes(DATA) is DATA
    assert as_bytes(memoryview(DATA)) is DATA
    (piece,) = body_pieces(DATA, len(DATA))
    assert isinstance(piece, memoryview)
    assert piece.obj is DATA
    memory = bytearray(DATA)
    with open_body(memory) as file:
        assert memoryview(file.read(10)).obj is memory
        memory[-1:] = b"!"  # its length is fixed while it is sent, its bytes are those of whoever made it
        assert bytes(file.read()[-1:]) == b"!"


def test_what_is_sent_piece_by_piece_is_what_would_take_long_at_once(body: Body) -> None:
    sent: list[int] = []
    assert in_pieces(b"short", sent.append) == b"short"
    assert in_pieces(None, sent.append) is None
    assert sent == [5]
    data = as_bytes(body) * 3
    for large in (data, bytearray(data), memoryview(data)):
        with in_pieces(large, sent.append) as file:
            assert file.read() == data


def test_an_empty_body_has_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for empty in (b"", bytearray(), memoryview(b""), tmp_path / "empty"):
        assert list(body_pieces(empty)) == []
        assert as_bytes(empty) == b""


def test_a_file_that_cannot_be_read_is_a_bug_of_ours(tmp_path: Path) -> None:
    uses: list[Callable[[Path], object]] = [body_bytes, as_bytes, open_body, lambda path: list(body_pieces(path))]
    for use in uses:
        with pytest.raises(Bug, match="made for upload"):
            use(tmp_path / "missing")


class Checksummed(MemoryStore):
    """A memory store whose `head` reports the checksum it is given."""

    checksum = ""
    gets = 0

    def head(self, name: str) -> ObjectInfo:
        info = super().head(name)
        return ObjectInfo(name=name, size=info.size, checksum=self.checksum)

    def get(self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = 0) -> bytes:
        self.gets += 1
        return super().get(name, offset, length, bytes_max=bytes_max)


def test_a_large_object_is_compared_by_checksum_and_a_small_one_by_bytes() -> None:
    store = Checksummed(clock=FixedClock())
    large, small = bytes(COMPARE_BYTES_MAX + 1), b"small"
    store.put("large", large)
    store.put("small", small)
    store.checksum = "sum:1"
    assert compare_present(store, "large", large, lambda _: "sum:1") is PutOutcome.PRESENT
    assert store.gets == 0
    with pytest.raises(StoreConflict):
        compare_present(store, "large", large, lambda _: "sum:2")
    assert compare_present(store, "large", large, lambda _: "other:1") is PutOutcome.PRESENT
    assert store.gets > 0
    assert compare_present(store, "small", small, lambda _: "sum:2") is PutOutcome.PRESENT
    with pytest.raises(StoreConflict):
        compare_present(store, "small", b"smalL", lambda _: "sum:1")
    with pytest.raises(StoreConflict):
        compare_present(store, "small", b"smaller", None)


def test_an_object_that_is_gone_again_is_passing() -> None:
    with pytest.raises(StoreUnavailable):
        compare_present(MemoryStore(clock=FixedClock()), "gone", b"")

    class Shrinking(MemoryStore):
        def get(self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = 0) -> bytes:
            raise ObjectNotFound(name)

    store = Shrinking(clock=FixedClock())
    store.put("a", b"1")
    with pytest.raises(StoreUnavailable):
        compare_present(store, "a", b"1")


def test_names() -> None:
    for good in ("a", "a/b.c-d_e=f", "x" * NAME_LENGTH_MAX, "...", "a/..b"):
        assert check_name(good) == good
    for bad in ("", "/", "a/", "/a", "a//b", ".", "..", "a/..", "x" * (NAME_LENGTH_MAX + 1), "a\n", "ß", "~a", "a:b"):
        assert not is_name(bad)
        with pytest.raises(Bug):
            check_name(bad)
    check_range(0, None)
    check_range(5, 0)
    for offset, length in ((-1, None), (0, -1)):
        with pytest.raises(Bug):
            check_range(offset, length)


def infos(*names: str) -> Iterator[ObjectInfo]:
    return (ObjectInfo(name=name, size=0) for name in names)


def test_order_is_checked_as_a_listing_goes_by() -> None:
    assert [info.name for info in in_order(infos("a", "a-b", "a/b", "b"), "s3://bucket")] == ["a", "a-b", "a/b", "b"]
    for wrong in (("a/b", "a-b"), ("a", "a"), ("b", "a")):
        found = in_order(infos(*wrong), "s3://bucket")
        assert next(found).name == wrong[0]
        with pytest.raises(StoreDenied, match="s3://bucket"):
            next(found)


def test_the_same_bytes_object_twice_is_created_once() -> None:
    store = MemoryStore(clock=FixedClock())
    assert store.put("a", DATA) is PutOutcome.CREATED
    assert store.put("a", DATA) is PutOutcome.PRESENT
