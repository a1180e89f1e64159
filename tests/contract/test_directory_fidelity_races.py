"""A directory source whose tree moves under it: nothing torn, nothing from outside, nothing lost in silence."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore import limits
from farshore.errors import SourceChanged
from farshore.model import Entry, EntryKind
from farshore.sources.base import Capture, Data, Item
from farshore.sources.directory.source import DirectorySource
from tests.contract.directory_trees import source_of, write_sparse
from tests.doubles.clock import FixedClock

SECRET = "not in the tree"
LARGE = 3 * limits.READ_BYTES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_text(SECRET)
    return path


@pytest.fixture
def capture(tree: Path) -> Iterator[Capture]:
    with source_of(tree).capture() as capture:
        yield capture


def item_at(capture: Capture, path: bytes) -> Item:
    return next(item for item in capture.items() if item.stat_entry.path == path)


def read(item: Item, *, between: Callable[[], object] = lambda: None) -> tuple[bytes, Entry]:
    """Read a file to its end, with something happening after its first piece."""
    data = b""
    with item.open() as content:
        for number, piece in enumerate(content.pieces()):
            data += piece.data if isinstance(piece, Data) else bytes(piece.length)
            if number == 0:
                between()
        return data, content.settled()


def rest() -> None:
    """Let the clock that stamps files tick, so that nothing here counts as written just now."""
    time.sleep(2 * limits.TIMESTAMP_TICK_S)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite_in_place(path: Path) -> None:
    """Change bytes and leave size and mtime as they were."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"changed")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_attribute(path: Path) -> None:
    os.setxattr(path, "user.new", b"1")


@pytest.mark.parametrize("change", [append, rewrite_in_place, change_attribute, lambda p: os.truncate(p, 5)])
def test_a_file_that_changes_while_it_is_read_is_reported(
    tree: Path, capture: Capture, change: Callable[[Path], None]
) -> None:
    file = tree / "file"
    file.write_bytes(bytes(LARGE))
    rest()
    item = item_at(capture, b"file")
    with pytest.raises(SourceChanged, match="file changed while it was read"):
        read(item, between=lambda: change(file))
    data, entry = read(item)  # again, and now it holds still
    assert data == file.read_bytes()
    assert entry.size == len(data)
    assert entry.ctime_ns == file.stat().st_ctime_ns


def test_a_file_that_was_changed_between_listing_and_opening_comes_with_its_new_metadata(
    tree: Path, capture: Capture
) -> None:
    file = tree / "file"
    file.write_text("before")
    item = item_at(capture, b"file")
    file.write_text("longer than before")
    os.setxattr(file, "user.new", b"1")
    data, entry = read(item)
    assert data == b"longer than before"
    assert (entry.size, entry.mtime_ns) == (len(data), file.stat().st_mtime_ns)
    assert entry.xattrs == ((b"user.new", b"1"),)


def test_a_file_that_was_replaced_whole_comes_as_the_new_file(tree: Path, capture: Capture) -> None:
    (tree / "file").write_text("before")
    item = item_at(capture, b"file")
    (tree / "new").write_text("the new one")
    os.rename(tree / "new", tree / "file")
    data, entry = read(item)
    assert data == b"the new one"
    assert entry.inode == (tree / "file").stat().st_ino != item.stat_entry.inode


def test_a_file_with_other_names_is_not_replaced_behind_their_back(tree: Path, capture: Capture) -> None:
    (tree / "file").write_text("before")
    os.link(tree / "file", tree / "other name")
    item = item_at(capture, b"file")
    (tree / "new").write_text("not what the other name holds")
    os.rename(tree / "new", tree / "file")
    with pytest.raises(SourceChanged, match="another file has taken one of its names"):
        read(item)


def test_a_file_that_vanishes_before_it_is_opened_is_not_found(tree: Path, capture: Capture) -> None:
    (tree / "file").write_text("x")
    item = item_at(capture, b"file")
    (tree / "file").unlink()
    with pytest.raises(FileNotFoundError):
        read(item)


def test_a_file_that_vanishes_while_it_is_read_is_reported(tree: Path, capture: Capture) -> None:
    file = tree / "file"
    file.write_bytes(bytes(LARGE))
    rest()
    item = item_at(capture, b"file")
    with pytest.raises(SourceChanged):
        read(item, between=file.unlink)
    with pytest.raises(FileNotFoundError):
        read(item)


def test_a_symlink_in_place_of_a_file_is_not_followed(tree: Path, outside: Path, capture: Capture) -> None:
    (tree / "file").write_text("x")
    item = item_at(capture, b"file")
    (tree / "file").unlink()
    (tree / "file").symlink_to("/etc/passwd")
    with item.open() as content:
        assert list(content.pieces()) == []
        with pytest.raises(SourceChanged, match="no longer a regular file"):
            content.settled()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("replace", [os.mkfifo, os.mkdir])
def test_a_fifo_or_directory_in_place_of_a_file_does_not_block(
    tree: Path, capture: Capture, replace: Callable[[Path], None]
) -> None:
    (tree / "file").write_text("x")
    item = item_at(capture, b"file")
    (tree / "file").unlink()
    replace(tree / "file")
    with pytest.raises(SourceChanged, match="no longer a regular file"):
        read(item)


def test_a_directory_swapped_for_a_symlink_in_mid_walk_leads_nowhere(
    tree: Path, outside: Path, capture: Capture
) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "file").write_text("inside")
    (tree / "z").write_text("after")
    seen = []
    for item in capture.items():
        seen.append(item.stat_entry.path)
        if item.stat_entry.path == b"d":
            os.rename(tree / "d", tree / "moved")
            (tree / "d").symlink_to(outside)
    assert seen == [b"", b"d", b"z"]
    assert [(problem.path, problem.code) for problem in capture.problems()] == [(b"d", "changing")]
    capture.finish()


def test_a_parent_swapped_for_a_symlink_before_a_file_is_opened_leads_nowhere(
    tree: Path, outside: Path, capture: Capture
) -> None:
    for number in range(limits.OPEN_DIRECTORIES_MAX + 10):  # so many that the first is no longer open
        (tree / f"d{number:03}").mkdir()
        (tree / f"d{number:03}" / "file").write_text("inside")
    items = {item.stat_entry.path: item for item in capture.items()}
    os.rename(tree / "d000", tree / "moved")
    (tree / "d000").symlink_to(outside)
    with pytest.raises(FileNotFoundError):
        read(items[b"d000/file"])
    assert items[b"d000/file"].entry == items[b"d000/file"].stat_entry


def test_a_directory_that_vanishes_in_mid_walk_is_reported_and_the_rest_is_read(tree: Path, capture: Capture) -> None:
    for name in ("a", "b", "c"):
        (tree / name).mkdir()
        (tree / name / "file").write_text(name)
    seen = []
    for item in capture.items():
        seen.append(item.stat_entry.path)
        if item.stat_entry.path == b"b":
            (tree / "b" / "file").unlink()
            (tree / "b").rmdir()
    assert seen == [b"", b"a", b"a/file", b"b", b"c", b"c/file"]
    assert [(problem.path, problem.code) for problem in capture.problems()] == [(b"b", "vanished")]


def test_a_name_that_vanishes_after_it_was_listed_is_reported(tree: Path, capture: Capture) -> None:
    for name in ("a", "b", "c"):
        (tree / name).write_text(name)
    seen = []
    for item in capture.items():
        seen.append(item.stat_entry.path)
        if item.stat_entry.path == b"a":
            (tree / "b").unlink()
    assert seen == [b"", b"a", b"c"]
    assert [(problem.path, problem.code) for problem in capture.problems()] == [(b"b", "vanished")]


def test_a_root_that_is_removed_makes_no_snapshot(tree: Path, capture: Capture) -> None:
    (tree / "file").write_text("x")
    for _ in capture.items():
        pass
    (tree / "file").unlink()
    tree.rmdir()
    with pytest.raises(SourceChanged, match="removed while it was read"):
        capture.finish()


def test_a_linked_file_that_changes_between_its_names_is_kept_under_each_with_its_own_content(
    tree: Path, capture: Capture
) -> None:
    (tree / "a").write_text("short")
    (tree / "m").write_text("x")
    os.link(tree / "a", tree / "z")
    entries = {}
    for item in capture.items():
        entries[item.stat_entry.path] = item.stat_entry
        if item.stat_entry.path == b"m":
            append(tree / "a")  # an inode number that passed to a new file would look the same
    assert (entries[b"z"].kind, entries[b"z"].size) == (EntryKind.FILE, len(b"shortmore"))


def test_a_file_written_just_now_is_given_a_tick_before_it_is_trusted(tree: Path) -> None:
    file = tree / "file"
    file.write_text("x")
    clock = StandingClock(file)
    with DirectorySource(name="t", path=tree, clock=clock).capture() as capture:
        item = item_at(capture, b"file")
        read(item)
        assert 0 < sum(clock.waits) <= 1.1 * limits.TIMESTAMP_TICK_S
        clock.advance(10)
        clock.waits.clear()
        read(item)
        assert clock.waits == []


def test_a_file_written_at_every_tick_is_changing(tree: Path) -> None:
    file = tree / "file"
    file.write_text("x")
    clock = StandingClock(file, write_while_waiting=True)
    with DirectorySource(name="t", path=tree, clock=clock).capture() as capture:
        item = item_at(capture, b"file")
        with pytest.raises(SourceChanged, match="written to all the time"):
            read(item)
        assert len(clock.waits) == limits.TIMESTAMP_WAITS_MAX


class StandingClock(FixedClock):
    """Stands at the moment a file was last written, and notes every wait."""

    def __init__(self, file: Path, *, write_while_waiting: bool = False) -> None:
        super().__init__()
        self.file = file
        self.waits: list[float] = []
        self.write_while_waiting = write_while_waiting
        self._stand()

    def _stand(self) -> None:
        self.advance(self.file.stat().st_ctime_ns / 1e9 - self.moment_utc.timestamp())

    def wait_s(self, seconds: float, until: object = None) -> bool:
        self.waits.append(seconds)
        self.advance(seconds)
        if self.write_while_waiting:
            append(self.file)
            self._stand()
        return False


TORN_BYTES = 2 * limits.READ_BYTES


def _write_generations(path: str) -> None:
    """Rewrite a file in place for ever; each generation is one byte repeated."""
    with open(path, "r+b", buffering=0) as file:
        generation = 0
        while True:
            generation = generation % 250 + 1
            for start in range(0, TORN_BYTES, 1 << 16):
                os.pwrite(file.fileno(), bytes([generation]) * (1 << 16), start)
            time.sleep(0.08)  # longer than a tick, so that some reads can be trusted


def test_what_is_trusted_was_never_torn(tree: Path, capture: Capture) -> None:
    file = tree / "file"
    file.write_bytes(bytes([1]) * TORN_BYTES)
    item = item_at(capture, b"file")
    writer = multiprocessing.get_context("spawn").Process(target=_write_generations, args=(str(file),), daemon=True)
    writer.start()
    trusted = changed = 0
    try:
        deadline = time.monotonic() + 20
        while (trusted < 20 or changed < 5) and time.monotonic() < deadline:
            try:
                data, _ = read(item)
            except SourceChanged:
                changed += 1
            else:
                trusted += 1
                assert data.count(data[0]) == len(data), "a torn file was trusted"
    finally:
        writer.kill()
        writer.join()
    assert changed, "the writer never got in between, so this proves nothing"
    print(f"{trusted} trusted, {changed} told to be changing")


HOLDER = """
import fcntl, os, signal, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
def give_way(*_):
    time.sleep(0.2)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, give_way)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_file_leased_by_a_file_server_is_waited_for(tree: Path, capture: Capture) -> None:
    (tree / "file").write_text("leased")
    item = item_at(capture, b"file")
    command = [sys.executable, "-c", HOLDER, str(tree / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == b"ready\n"
        data, _ = read(item)
        holder.stdin.close()
    assert data == b"leased"


def test_a_hole_that_is_filled_while_it_is_read_is_reported(tree: Path, capture: Capture) -> None:
    file = tree / "file"
    write_sparse(os.fsencode(file), 1 << 20, (0, b"x" * 4096))
    rest()

    def fill() -> None:
        with file.open("r+b") as opened:
            os.pwrite(opened.fileno(), b"y" * 4096, 1 << 19)

    with pytest.raises(SourceChanged):
        read(item_at(capture, b"file"), between=fill)
