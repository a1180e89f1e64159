from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import ObjectCorrupt
from farshore.replicas.cache import ObjectCache

NAME = "snapshots/a/b/manifest"


def test_what_was_put_is_had_until_it_is_dropped(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, "r" * 32)
    assert (cache.get(NAME), cache.path(NAME)) == (None, None)
    cache.put(NAME, b"one")
    assert cache.get(NAME) == b"one"
    path = cache.path(NAME)
    assert path is not None
    assert path.read_bytes() == b"one"
    cache.put(NAME, b"two")
    assert cache.get(NAME) == b"two"
    cache.drop(NAME)
    cache.drop(NAME)
    assert cache.get(NAME) is None


def test_pieces_are_kept_when_they_come_to_their_end(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, "r" * 32)

    def pieces(error: Exception | None) -> Iterator[bytes]:
        yield b"one "
        assert cache.get(NAME) is None
        yield b"two"
        if error:
            raise error

    with pytest.raises(ObjectCorrupt):
        cache.put_pieces(NAME, pieces(ObjectCorrupt("not what it should be")))
    assert cache.get(NAME) is None
    cache.put_pieces(NAME, pieces(None))
    assert cache.get(NAME) == b"one two"
    assert [path.name for path in cache.root.rglob("*") if path.is_file()] == ["manifest"]


def test_repositories_share_nothing(tmp_path: Path) -> None:
    ObjectCache(tmp_path, "r" * 32).put(NAME, b"one")
    assert ObjectCache(tmp_path, "s" * 32).get(NAME) is None
    assert ObjectCache(tmp_path, "r" * 32).get(NAME) == b"one"


def test_a_file_is_moved_in(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache", "r" * 32)
    source = tmp_path / "spooled"
    source.write_bytes(b"large")
    cache.put_file(NAME, source)
    assert cache.get(NAME) == b"large"
    assert not source.exists()
    cache.put_file(NAME, tmp_path / "not-there")
    assert cache.get(NAME) == b"large"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache", "r" * 32)
    cache.put(NAME, b"one")
    path = cache.path(NAME)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


def test_no_half_written_file_is_ever_seen_or_left(tmp_path: Path) -> None:
    """A disk that fills up makes a slower cache, never a wrong one, and not a folder of half files."""
    script = f"""
import resource, signal
from pathlib import Path
from farshore.replicas.cache import ObjectCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = ObjectCache(Path({str(tmp_path)!r}), "r" * 32)
cache.put({NAME!r}, b"x" * 5000)
assert cache.get({NAME!r}) is None
cache.put({NAME!r}, b"x" * 500)
assert cache.get({NAME!r}) == b"x" * 500
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["manifest"]


def test_a_cache_that_cannot_be_written_is_only_a_slower_one(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file is in the way")
    cache = ObjectCache(tmp_path, "r" * 32)
    cache.put(NAME, b"one")
    cache.put_file(NAME, tmp_path / "objects")
    cache.drop(NAME)
    assert cache.get(NAME) is None
