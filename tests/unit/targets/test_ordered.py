"""A stream as a target: what is wrong never goes out whole, and nothing goes out twice or in another order."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from blake3 import blake3

from farshore import limits
from farshore.errors import Bug, RestoreIncomplete
from farshore.format.extents import encode_extents
from farshore.model import HOLE, Entry, EntryKind, Extent, ProblemCode
from farshore.targets.base import SmallFile
from farshore.targets.stream.file import FileStream
from farshore.targets.stream.ordered import data_runs
from farshore.targets.stream.tar import TarStream
from farshore.targets.stream.tar_headers import whole_blocks

CHUNK = b"c" * 32


def small(path: bytes, content: bytes, *, hashed: bytes | None = None) -> tuple[SmallFile, list[memoryview]]:
    digest = blake3(content if hashed is None else hashed).digest()
    half = len(content) // 2
    return SmallFile(path, 0o644, 0, 0, 0, (), len(content), digest), [
        memoryview(content[:half]),
        memoryview(content[half:]),
    ]


def test_a_small_file_whose_content_is_not_what_it_should_be_is_left_out() -> None:
    outlet = io.BytesIO()
    target = TarStream(outlet)
    target.add(*small(b"good", b"right"))
    target.add(*small(b"bad", b"wrong", hashed=b"right"))
    target.make(Entry(b"link", EntryKind.HARDLINK, target=b"bad"))
    target.finish()
    placed = target.newly_placed()
    assert (placed.files, placed.bytes_written, [one.path for one in placed.lost]) == (2, 5, [b"bad"])
    assert [one.path for one in target.problems()] == [b"link"]
    with tarfile.open(fileobj=io.BytesIO(outlet.getvalue())) as archive:
        assert archive.getnames() == ["good"]


def test_problems_beyond_those_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBLEMS_MAX", 2)
    target = TarStream(io.BytesIO())
    for number in range(5):
        target.report(b"%d" % number, ProblemCode.UNSUPPORTED, "a socket")
    first, second, last = target.problems()
    assert (first.path, second.path) == (b"0", b"1")
    assert last.message == "there are 3 more problems than can be listed"


def test_content_after_a_gap_does_not_go_out_and_the_stream_ends() -> None:
    outlet = io.BytesIO()
    target = FileStream(outlet)
    entry = Entry(b"f", EntryKind.FILE, size=30)
    target.make(entry)
    target.write(entry, 0, b"0123456789")
    target.write(entry, 20, b"later")
    with pytest.raises(Bug):
        target.settle(entry)
    with pytest.raises(RestoreIncomplete, match="f has no good copy anywhere"):
        target.discard(entry)
    assert outlet.getvalue() == b"0123456789"


def test_a_file_that_is_not_whole_is_not_called_good() -> None:
    target = FileStream(io.BytesIO())
    entry = Entry(b"f", EntryKind.FILE, size=30)
    target.make(entry)
    target.write(entry, 0, b"0123456789")
    with pytest.raises(Bug):
        target.settle(entry)


def test_entries_do_not_come_inside_of_each_other() -> None:
    target = FileStream(io.BytesIO())
    target.make(Entry(b"f", EntryKind.FILE, size=3))
    with pytest.raises(Bug):
        target.make(Entry(b"g", EntryKind.FILE, size=3))
    with pytest.raises(Bug):
        target.write(Entry(b"g", EntryKind.FILE, size=3), 0, b"abc")


def runs(*pieces: int) -> list[list[int]] | None:
    found = data_runs(encode_extents([Extent(CHUNK if one > 0 else HOLE, 0, abs(one)) for one in pieces]))
    return None if found is None else found.tolist()


def test_where_a_file_has_data() -> None:
    assert runs(5, 6) is None
    assert runs() is None
    assert runs(5, -10, 6, 7, -1) == [[0, 5], [15, 13]]
    assert runs(-10, -5) == []
    assert runs(-10, 5) == [[10, 5]]


def test_runs_are_widened_to_blocks_and_joined_where_they_touch() -> None:
    def widened(size: int, *pairs: tuple[int, int]) -> list[list[int]]:
        found: list[list[int]] = whole_blocks(np.array(pairs, np.int64).reshape(-1, 2), size).tolist()
        return found

    assert widened(10_000, (600, 10), (5000, 5000)) == [[512, 512], [4608, 5392]]
    assert widened(10_000, (600, 10), (1030, 10)) == [[512, 1024]]
    assert widened(2000, (0, 1), (1023, 2)) == [[0, 1536]]
    assert widened(700, (600, 100)) == [[512, 188]]
    assert widened(700) == []
