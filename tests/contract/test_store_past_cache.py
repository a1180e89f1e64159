"""A directory store writes large objects past the page cache, and every byte arrives whatever the memory is like."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.limits import DIRECT_WRITE_BYTES_MIN, MIB
from farshore.page_pool import make_pages
from farshore.sources.directory.page_cache import is_cached
from farshore.stores.base import PacedBody
from farshore.stores.directory import DirectoryStore

ROOT = Path(__file__).resolve().parents[2]
LARGE = 40 * MIB + 4097


class Pieces:
    """A pace that never waits and asks for pieces of one size."""

    def __init__(self, piece_bytes: int) -> None:
        self.piece_bytes = piece_bytes

    def consume(self, count: int) -> None:
        assert count <= self.piece_bytes


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(path=tmp_path, clock=SystemClock())


def in_pages(data: bytes) -> memoryview:
    """Return the bytes as a pack has them."""
    pages = make_pages(len(data))
    pages[:] = data
    return pages


def goes_past_the_cache(folder: Path) -> bool:
    """Whether the file system can do it; asked without the code under test.

    The trial is as long as what is asked about: the first question brings the bytes next to it into the cache.
    """
    with (folder / "trial").open("wb") as file, mmap.mmap(-1, LARGE // 4096 * 4096) as pages:
        try:
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_DIRECT)
            os.write(file.fileno(), pages)
        except OSError:
            return False
    return not cached(folder / "trial", LARGE // 4096 * 4096)


def cached(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        return is_cached(file.fileno(), 0, size)


@pytest.mark.parametrize("beyond", [-1, 0, 1, 4095, 4096, 3 * MIB, 17 * MIB + 5])
def test_every_byte_arrives(store: DirectoryStore, beyond: int) -> None:
    data = os.urandom(DIRECT_WRITE_BYTES_MIN + beyond)
    bodies: tuple[bytes | memoryview, ...] = (data, in_pages(data), in_pages(b"x" + data)[1:])
    for number, body in enumerate(bodies):
        store.put(f"packs/{number}", body)
        assert store.get(f"packs/{number}") == data


@pytest.mark.parametrize("piece_bytes", [4096, 5000, 3 * 4096 + 1, MIB])
def test_every_byte_arrives_at_a_pace(store: DirectoryStore, piece_bytes: int) -> None:
    data = os.urandom(2 * MIB + 77)
    body = PacedBody(in_pages(data), Pieces(piece_bytes))
    store.put("packs/paced", body)
    assert store.get("packs/paced") == data
    assert body.consumed_bytes == len(data)


def test_a_pack_does_not_pass_through_the_cache(store: DirectoryStore, tmp_path: Path) -> None:
    data = os.urandom(LARGE)
    expected = not goes_past_the_cache(tmp_path)
    store.put("packs/one", in_pages(data))
    assert cached(tmp_path / "packs" / "one", LARGE) is expected
    store.put("packs/two", data)  # memory that is not aligned
    assert store.get("packs/one") == store.get("packs/two") == data


@pytest.mark.parametrize("refused", ["flag", "write"])
def test_a_file_system_that_cannot_gets_the_bytes_through_the_cache(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Few file systems of today refuse, so the kernel's answer is put in its place."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    if refused == "flag":
        monkeypatch.setattr(fcntl, "fcntl", lambda *given: refuse() if len(given) > 2 else 0)  # setting
    else:
        write = os.write

        def only_through_the_cache(file: int, view: memoryview) -> int:
            direct = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT
            return refuse() if direct else write(file, view)

        monkeypatch.setattr(os, "write", only_through_the_cache)
    data = os.urandom(2 * MIB + 1)
    store.put("packs/one", in_pages(data))
    assert store.get("packs/one") == data


def test_a_short_write_is_gone_on_with(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, view: write(file, view[: max(len(view) // 3, 1)]))
    data = os.urandom(2 * MIB + 1)
    store.put("packs/one", in_pages(data))
    assert store.get("packs/one") == data


LIMITED = """
import resource, sys
from pathlib import Path
from farshore.clock import SystemClock
from farshore.errors import StoreFull
from farshore.page_pool import make_pages
from farshore.stores.directory import DirectoryStore
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
store = DirectoryStore(path=Path(sys.argv[1]), clock=SystemClock())
store.put("fits", make_pages(3_000_000))
try:
    store.put("does-not", make_pages(3_000_001))
except StoreFull as error:
    print(error.code, [info.name for info in store.list()])
"""


def test_a_full_store_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "store-full ['fits']"
