"""Content of large files goes to the target as it came: in order, with its holes, past the page cache where it can."""

from __future__ import annotations

import mmap
import os
import random
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import TargetFailed
from farshore.model import Entry, EntryKind
from farshore.ops.restore.file_write_buffer import FileWriteBuffer
from farshore.sealed.content_hash import ContentHash
from farshore.targets.directory.target import DirectoryTarget

STAGE = limits.STAGE_BYTES
CHANCE = random.Random(5)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DirectoryTarget]:
    target = DirectoryTarget(path=tmp_path / "restored", clock=SystemClock(), direct_bytes_min=1)
    target.begin()
    yield target
    target.close()


def file(size: int) -> Entry:
    return Entry(b"f", EntryKind.FILE, 0o644, os.geteuid(), os.getegid(), size=size, mtime_ns=1)


def restore(target: DirectoryTarget, pieces: Sequence[bytes | memoryview | int]) -> bytes:
    """Restore a file of data and holes; return its hash as it was reported by the way."""
    entry = file(sum(piece if isinstance(piece, int) else len(piece) for piece in pieces))
    hasher = ContentHash()
    buffer = FileWriteBuffer(target=target)
    target.make(entry)
    offset = 0
    try:
        for piece in pieces:
            if isinstance(piece, int):
                buffer.flush(entry, hasher)
                hasher.skip(piece)
                offset += piece
            else:
                buffer.add(entry, hasher, offset, memoryview(piece))
                offset += len(piece)
        buffer.flush(entry, hasher)
        buffer.wait()
        target.settle(entry)
        target.finish()
    finally:
        buffer.close()
    return hasher.digest()


@pytest.mark.parametrize(
    "sizes",
    [
        [1],
        [4096],
        [STAGE],
        [STAGE + 1],
        [3 * STAGE + 12_345],
        [1 << 20] * 17,
        [8192] * 600,
        [7] * 1000 + [5 * STAGE],
        [limits.STAGES * 3 * STAGE],
    ],
    ids=lambda sizes: f"{len(sizes)}x{sizes[-1]}",
)
def test_pieces_of_any_size_come_out_as_they_are(target: DirectoryTarget, tmp_path: Path, sizes: list[int]) -> None:
    pieces: list[bytes | int] = [CHANCE.randbytes(size) for size in sizes]
    content = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    plain = ContentHash()
    plain.update(content)
    assert restore(target, pieces) == plain.digest()
    assert (tmp_path / "restored" / "f").read_bytes() == content


class Watched(DirectoryTarget):
    """A target that remembers where the memory lay that it was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path=path, clock=SystemClock())
        self.addresses: list[int] = []

    def write(self, entry: Entry, offset: int, data: bytes | memoryview) -> None:
        self.addresses.append(address(data))
        super().write(entry, offset, data)


def address(data: bytes | memoryview) -> int:
    return np.frombuffer(data, np.uint8).ctypes.data


def test_pages_that_a_disk_can_read_are_written_where_they_are(tmp_path: Path) -> None:
    target = Watched(tmp_path / "restored")
    target.begin()
    pages = memoryview(mmap.mmap(-1, 40 << 20))
    pages[:] = CHANCE.randbytes(len(pages))
    pieces = [pages[start : start + (1 << 20)] for start in range(0, len(pages), 1 << 20)]
    random.Random(7).shuffle(pieces)
    unaligned = [pages[1 : 1 + (1 << 20)], pages[: (1 << 20) + 100], pages[:4096]]
    try:
        content = restore(target, [*pieces, *unaligned])
    finally:
        target.close()
    whole = b"".join([*pieces, *unaligned])
    plain = ContentHash()
    plain.update(whole)
    assert content == plain.digest()
    assert (tmp_path / "restored" / "f").read_bytes() == whole
    assert sorted(set(target.addresses) & set(map(address, pieces))) == sorted(map(address, pieces))
    assert len(target.addresses) > len(pieces)  # the others were gathered elsewhere


def test_holes_stay_holes(target: DirectoryTarget, tmp_path: Path) -> None:
    first, second = CHANCE.randbytes(STAGE + 4096), CHANCE.randbytes(100)
    reported = restore(target, [1 << 20, first, 64 << 20, second, 8 << 20])
    hasher = ContentHash()
    hasher.skip(1 << 20)
    hasher.update(first)
    hasher.skip(64 << 20)
    hasher.update(second)
    hasher.skip(8 << 20)
    assert reported == hasher.digest()
    path = tmp_path / "restored" / "f"
    assert path.read_bytes() == bytes(1 << 20) + first + bytes(64 << 20) + second + bytes(8 << 20)
    assert path.stat().st_blocks * 512 < 2 * (STAGE + (1 << 20))


def test_memory_that_a_disk_cannot_read_is_written_through_the_cache(target: DirectoryTarget, tmp_path: Path) -> None:
    content = CHANCE.randbytes((1 << 20) + 1)
    entry = file(1 << 20)
    target.make(entry)
    target.write(entry, 0, memoryview(content)[1:])  # of a size and place like those of aligned memory
    target.settle(entry)
    target.finish()
    assert (tmp_path / "restored" / "f").read_bytes() == content[1:]


def test_a_file_stays_open_while_it_is_written_whatever_the_cache_forgets(tmp_path: Path) -> None:
    """Two threads that open the same file at once drop each other's handle; a number alone would be somebody else's."""
    target = DirectoryTarget(
        path=tmp_path / "restored", clock=SystemClock(), direct_bytes_min=1,
        open_files_max=0,  # every handle is dropped as soon as it is kept
    )  # fmt: skip
    target.begin()
    try:
        content = CHANCE.randbytes(3 * STAGE)
        restore(target, [content])
    finally:
        target.close()
    assert (tmp_path / "restored" / "f").read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no such way")
def test_large_stretches_go_past_the_cache(target: DirectoryTarget, tmp_path: Path) -> None:
    entry = file(2 * STAGE)
    target.make(entry)
    buffer = FileWriteBuffer(target=target)
    try:
        buffer.add(entry, ContentHash(), 0, memoryview(CHANCE.randbytes(2 * STAGE)))
        buffer.wait()
    finally:
        buffer.close()
    flags = [
        int((Path("/proc/self/fdinfo") / fd).read_text().split()[3], 8)
        for fd in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{fd}") == str(tmp_path / "restored" / "f")
    ]
    assert any(one & os.O_DIRECT for one in flags)


def test_what_cannot_be_written_is_reported(target: DirectoryTarget) -> None:
    entry = file(8 * STAGE)
    target.make(entry)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    buffer = FileWriteBuffer(target=target)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (STAGE, hard))
        with pytest.raises(TargetFailed, match=r"cannot restore f to .*: file too large"):
            write_all(buffer, entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        buffer.close()


def write_all(buffer: FileWriteBuffer, entry: Entry) -> None:
    buffer.add(entry, ContentHash(), 0, memoryview(bytes(entry.size)))
    buffer.wait()
