"""Reading a large file leaves the page cache as it was: what was hot stays hot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.sources.base import Data
from farshore.sources.directory.page_cache import LARGE_BYTES, begin_reading, drop, is_cached
from farshore.sources.directory.source import DirectorySource

SIZE = 4 * LARGE_BYTES


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file on the disk, every byte of it in the page cache too."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(SIZE // LARGE_BYTES):
            file.write(os.urandom(LARGE_BYTES))
        file.flush()
        os.fsync(file.fileno())
    path.read_bytes()
    return path


def read_all(path: Path) -> int:
    """Read the file as a backup does; return its bytes."""
    source = DirectorySource(name="s", path=path.parent, clock=SystemClock())
    with source.capture() as capture:
        (item,) = [one for one in capture.items() if one.stat_entry.path == b"large"]
        with item.open() as content:
            total = sum(len(piece.data) for piece in content.pieces() if isinstance(piece, Data))
            content.settled()
    return total


def cached(path: Path) -> bool:
    """Whether it is cached; asked once, since asking makes the kernel read what it is asked for."""
    with path.open("rb") as file:
        return is_cached(file.fileno(), 0, SIZE)


def forget(path: Path) -> None:
    with path.open("rb") as file:
        drop(file.fileno(), 0, SIZE)


def test_what_was_in_the_cache_is_left_there(large: Path) -> None:
    assert read_all(large) == SIZE
    assert cached(large)


def test_what_was_not_in_the_cache_is_dropped_again(large: Path) -> None:
    other = large.rename(large.parent.parent / "other")  # of the same content, to see what this file system does
    large.write_bytes(other.read_bytes())
    os.sync()
    for path in (large, other):
        forget(path)
    assert read_all(large) == SIZE
    assert cached(large) == cached(other)  # one in memory has nowhere to drop it to


def test_a_stretch_is_dropped_behind_the_reader_unless_it_is_small_or_mostly_cached(large: Path) -> None:
    with large.open("rb") as file:
        assert not begin_reading(file.fileno(), 0, SIZE)
        assert not begin_reading(file.fileno(), 0, LARGE_BYTES - 1)
        drop(file.fileno(), 0, SIZE)
        assert not begin_reading(file.fileno(), 0, LARGE_BYTES - 1)
