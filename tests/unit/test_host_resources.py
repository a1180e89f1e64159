"""A want of this process is an error of the run, never a fault of what it reads or writes (trial F12)."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore import limits
from farshore.clock import SystemClock
from farshore.errors import HostExhausted, SourceUnavailable
from farshore.handles import HandleCache
from farshore.host_resources import CACHE, check_host, open_files_max, try_open_files, unusable, what_is_exhausted
from farshore.model import Entry, EntryKind
from farshore.sources.directory.source import DirectorySource
from farshore.sources.posix_mounts import is_mount_point, mount_id
from farshore.sources.sqlite.check import translate_error
from farshore.stores.directory import DirectoryStore
from farshore.targets.directory.target import DirectoryTarget


@contextmanager
def open_files(more: int) -> Iterator[None]:
    """Let this process open only so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 64, before[1]))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE  # noqa: PT017 - `raises` cannot tell how far it went
    try:
        for _ in range(more):
            os.close(taken.pop())
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Directories below each other and beside each other, with a file in each, one that may be a database, a cache."""
    for name in ("a/b/c/d", "e/f", "g"):
        folder = tmp_path / "tree" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"content")
    (tmp_path / "tree/g/x.db").write_bytes(bytes(limits.PAGED_FILE_BYTES_MIN))
    (tmp_path / "tree/g/CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    return tmp_path / "tree"


@pytest.mark.parametrize("more", range(1, 8))
def test_of_a_source_everything_is_read_or_the_run_ends(tree: Path, more: int) -> None:
    """Trial F12: it committed 555 of 2,001 entries, the others `unreadable: too many open files`."""
    source = DirectorySource(name="s", path=tree, clock=SystemClock(), exclude_caches=True)
    expected = [
        b"",
        b"a",
        b"a/b",
        b"a/b/c",
        b"a/b/c/d",
        b"a/b/c/d/file",
        b"e",
        b"e/f",
        b"e/f/file",
        b"g",
        b"g/CACHEDIR.TAG",
    ]
    found: list[bytes] = []
    with open_files(more):
        try:
            with source.capture() as capture:
                for item in capture.items():
                    found.append(item.entry.path)
                    if item.entry.kind is EntryKind.FILE:
                        with item.open() as content:
                            list(content.pieces())
                            content.settled()
                assert capture.problems() == []
            assert found == expected
        except HostExhausted as error:
            assert "too many open files: this process may have" in error.message  # noqa: PT017
        except OSError as error:  # of a file's content: the engine asks
            with pytest.raises(HostExhausted):
                check_host(error)


def test_each_place_that_would_go_on_without_asks(tree: Path) -> None:
    source = DirectorySource(name="s", path=tree, clock=SystemClock())
    with source.capture() as capture:
        items = {item.stat_entry.path: item for item in capture.items()}
        capture._handles.close()  # type: ignore[attr-defined]  # noqa: SLF001 - as if so many were used since
        with open_files(0), pytest.raises(HostExhausted):
            _ = items[b"a/b/c/d/file"].entry
        capture._handles.get(b"g")  # type: ignore[attr-defined]  # noqa: SLF001
        with open_files(0), pytest.raises(HostExhausted):
            _ = items[b"g/x.db"].entry
        fd = capture.root.fd  # type: ignore[attr-defined]
        with open_files(0), pytest.raises(HostExhausted):
            mount_id(fd)
        with open_files(0), pytest.raises(HostExhausted):
            is_mount_point(fd)


def test_a_target_ends_for_that_reason(tmp_path: Path) -> None:
    target = DirectoryTarget(path=tmp_path / "back", clock=SystemClock())
    target.begin()
    try:
        target.make(Entry(b"d", EntryKind.DIRECTORY, mode=0o755))
        with open_files(0), pytest.raises(HostExhausted):
            target.make(Entry(b"d/f", EntryKind.FILE, size=1))
        assert target.problems() == []
    finally:
        target.close()


def test_a_replica_is_not_blamed(tmp_path: Path) -> None:
    store = DirectoryStore(path=tmp_path, clock=SystemClock())
    with open_files(0), pytest.raises(HostExhausted):
        store.get("x/y", 0, 1)


def test_a_library_that_cannot_open_a_file_is_not_believed_at_once(tmp_path: Path) -> None:
    """SQLite says no more than that; a database is not taken for unreadable, nor for one of another user."""
    path = tmp_path / "x.db"
    sqlite3.connect(path).close()
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    for more in (0, 2):
        with open_files(more):
            assert isinstance(translate_error(error, path), HostExhausted)
    assert isinstance(translate_error(error, path), SourceUnavailable)
    assert try_open_files() is None


def test_caches_of_open_files_keep_as_many_as_the_process_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for soft, expected in ((1024, 64), (512, 32), (64, 4), (20, 4)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
            assert open_files_max(64) == expected
            assert HandleCache(open_max=64)._open_max == expected  # noqa: SLF001 - what it will keep
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENFILE, "x"), "too many open files on this host"),
        (OSError(errno.ENOMEM, "x"), "out of memory"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_is_exhausted_is_named(error: BaseException, said: str) -> None:
    exhausted = what_is_exhausted(error)
    assert exhausted is not None
    assert said in exhausted.message
    assert exhausted.hint.endswith("run again.")


def test_only_what_nobody_expected_is_a_want_of_processes() -> None:
    """A file that a file server has leased says the same."""
    for error in (BlockingIOError(errno.EAGAIN, "x"), RuntimeError("can't start new thread")):
        assert what_is_exhausted(error) is None
        exhausted = what_is_exhausted(error, unexpected=True)
        assert exhausted is not None
        assert "no further process" in exhausted.message
    assert what_is_exhausted(ValueError("x"), unexpected=True) is None


def test_a_full_disk_is_none_of_what_is_read() -> None:
    check_host(OSError(errno.ENOSPC, "x"))
    with pytest.raises(HostExhausted, match="no space is left"):
        check_host(OSError(errno.ENOSPC, "x"), reading=True)


def test_a_directory_of_this_host_is_not_blamed(tmp_path: Path) -> None:
    assert isinstance(unusable(CACHE, tmp_path, OSError(errno.EMFILE, "x")), HostExhausted)


def test_a_process_that_may_start_no_thread_at_all_says_so() -> None:
    script = (
        "import sys, threading\n"
        'def start(self):\n    raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start\n"
        "from farshore.cli.main import run\n"
        "sys.argv = ['farshore', 'snapshots']\nrun()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == HostExhausted.exit_code
    assert done.stderr.startswith("error[host-exhausted]: no further process or thread can be started")
