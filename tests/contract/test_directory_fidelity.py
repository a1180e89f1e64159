"""A tree with everything in it goes from directory source to directory target and comes back the same in every bit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farshore.format.choosing import sort_key
from farshore.model import EntryKind, Problem
from farshore.sources.base import Data, Hole
from tests.contract.directory_trees import (
    BLOCK,
    DEEP,
    ROOT,
    VAST,
    as_nobody,
    build_everything,
    copy_tree,
    data_runs,
    describe,
    differences,
    items_of,
    remove_tree,
    rsync_differences,
    source_of,
    target_at,
    tree_removed,
    write_sparse,
)


@pytest.fixture(scope="module")
def everything() -> Iterator[Path]:
    with tree_removed(Path(tempfile.mkdtemp(prefix="everything"))) as path:
        build_everything(os.fsencode(path))
        yield path


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Path]:
    with tree_removed(tmp_path / "restored") as path:
        yield path


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may write, with parents that everybody may pass."""
    with tree_removed(Path(tempfile.mkdtemp(prefix="public"))) as path:
        path.chmod(0o777)
        yield path


def paths(problems: list[Problem]) -> set[bytes]:
    return {problem.path for problem in problems}


def test_everything_comes_back_identical(everything: Path, restored: Path) -> None:
    before = describe(os.fsencode(everything))
    problems = copy_tree(source_of(everything), target_at(restored))
    assert paths(problems) == (set() if ROOT else {b"modes/0"}), problems
    assert describe(os.fsencode(everything)) == before, "reading left a trace in the source"
    missing = [] if ROOT else ["only in one: b'modes/0'"]  # a file of mode 000
    assert differences(os.fsencode(everything), os.fsencode(restored)) == missing
    if ROOT:
        assert rsync_differences(os.fsencode(everything), os.fsencode(restored)) == ""


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_somebody_without_privilege_restores_what_they_may(everything: Path, public: Path) -> None:
    problems: list[Problem] = as_nobody(lambda: copy_tree(source_of(everything), target_at(public / "restored")))
    reported = {(problem.path, problem.code) for problem in problems}
    assert (b"modes/closed", "unreadable") in reported, "the source tells what it could not list"
    assert (b"special/disk", "unsupported") in reported
    assert (b"modes/owner 1234", "metadata") in reported, "the target tells whom a file could not be given to"
    restored = describe(os.fsencode(public / "restored"))
    original = describe(os.fsencode(everything))
    losses = paths([problem for problem in problems if problem.code != "metadata"])
    missing = original.keys() - restored.keys()
    assert {b"modes/0", b"modes/400", b"modes/closed/inside", b"modes/d700/inside", b"special/null"} <= missing
    for path in missing:  # each is told of: itself, or the directory that could not be listed
        parts = path.split(b"/")
        assert losses & {b"/".join(parts[:count]) for count in range(1, len(parts) + 1)}, path
    assert original.keys() >= restored.keys()
    assert restored[b"modes/owner 1234"]["mode"] == oct(0o100755), (
        "nobody lends their powers to a file of somebody else"
    )
    assert restored[b"modes/444"]["mode"] == oct(0o100444)
    assert restored[b"attributes/read only"]["xattrs"]["user.mine"] == b"yes"


def test_the_comparers_see_the_smallest_change(everything: Path, restored: Path) -> None:
    copy_tree(source_of(everything), target_at(restored))
    file = restored / "contents" / "large"
    stamp = file.stat().st_mtime_ns
    with file.open("r+b") as opened:
        opened.seek(5_000_000)
        byte = opened.read(1)
        opened.seek(5_000_000)
        opened.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(0, stamp))
    os.removexattr(restored / "attributes" / "directory", "user.directory")
    os.utime(restored / "attributes" / "directory", ns=(0, 1))
    with (restored / "contents" / "hole between").open("r+b") as opened:
        os.pwrite(opened.fileno(), bytes(BLOCK), 4 * BLOCK)
    found = "\n".join(differences(os.fsencode(everything), os.fsencode(restored)))
    assert "contents/large': runs" in found
    assert "attributes/directory': xattrs" in found
    assert "contents/hole between': runs" in found
    assert "contents/large" in rsync_differences(os.fsencode(everything), os.fsencode(restored))


def test_entries_come_in_manifest_order_with_the_root_first(everything: Path) -> None:
    entries, _ = items_of(source_of(everything))
    order = [entry.path for entry in entries]
    assert order[0] == b""
    assert order == sorted(set(order), key=sort_key)
    assert set(order) == describe(os.fsencode(everything)).keys()
    assert max(len(path) for path in order) > 4096


def test_the_first_name_in_order_is_the_file_and_the_others_point_to_it(everything: Path) -> None:
    entries = {entry.path: entry for entry in items_of(source_of(everything))[0]}
    first = entries[b"links/a/first in order"]
    assert (first.kind, first.links, first.target) == (EntryKind.FILE, 3, b"")
    for path in (b"links/m", b"links/z/last in order"):
        assert (entries[path].kind, entries[path].target) == (EntryKind.HARDLINK, first.path)
    assert entries[b"links/dangling"].kind is EntryKind.SYMLINK
    assert entries[b"links/dangling again"].target == b"links/dangling"
    assert entries[b"links/z/fifo again"].target == b"links/fifo"


def test_any_name_of_a_file_opens_its_content(everything: Path) -> None:
    with source_of(everything).capture() as capture:
        found = {item.stat_entry.path: item for item in capture.items()}
        with found[b"links/z/last in order"].open() as content:
            assert b"".join(piece.data for piece in content.pieces() if isinstance(piece, Data)) == b"three names"
            entry = content.settled()
        assert (entry.kind, entry.target, entry.size) == (EntryKind.FILE, b"", 11)


def test_the_entry_for_change_detection_is_the_entry_without_attributes(everything: Path) -> None:
    with source_of(everything).capture() as capture:
        for item in capture.items():
            cheap, whole = item.stat_entry, item.entry
            assert cheap.xattrs == ()
            assert (cheap.size, cheap.mtime_ns, cheap.ctime_ns, cheap.inode, cheap.device, cheap.target) == (
                whole.size, whole.mtime_ns, whole.ctime_ns, whole.inode, whole.device, whole.target
            )  # fmt: skip


def test_a_terabyte_of_hole_is_read_in_no_time(everything: Path) -> None:
    with source_of(everything).capture() as capture:
        item = next(item for item in capture.items() if item.stat_entry.path == VAST)
        with item.open() as content:
            assert [type(piece) for piece in content.pieces()] == [Hole, Data]
            assert content.settled().size == (1 << 40) + 5


def test_facts_tell_an_unmounted_volume_from_an_empty_one(everything: Path) -> None:
    with source_of(everything).capture() as capture:
        count = sum(1 for _ in capture.items())
        facts = capture.finish()
    assert facts["entries"] == str(count)
    assert facts["path_kind"] == "directory"
    assert facts["root_inode"] == str(everything.stat().st_ino)
    assert facts["file_system"]
    with source_of(Path("/proc/self/fd")).capture() as capture:
        list(capture.items())
        assert capture.finish()["file_system"] == "proc"


def test_a_path_deeper_than_the_process_may_open_files(tmp_path: Path) -> None:
    levels = 1200  # above the usual limit of 1,024 open files
    with tree_removed(tmp_path / "well") as well, tree_removed(tmp_path / "copy") as copy:
        well.mkdir()
        fd = os.open(well, os.O_RDONLY)
        for level in range(levels):
            os.mkdir(b"d", dir_fd=fd)
            if level % 100 == 0:
                os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            below = os.open(b"d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        assert copy_tree(source_of(well), target_at(copy)) == []
        entries, problems = items_of(source_of(copy))
        assert problems == []
        assert [entry.path for entry in entries] == [entry.path for entry in items_of(source_of(well))[0]]
        assert len(entries) == levels + levels // 100 + 1


def test_waiting_items_hold_nothing_open(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "file").write_text(str(number))
    before = len(os.listdir("/proc/self/fd"))
    with source_of(tmp_path).capture() as capture:
        items = [item for item in capture.items() if item.stat_entry.kind is EntryKind.FILE]
        assert len(os.listdir("/proc/self/fd")) < before + 70
        for item in items:
            with item.open() as content:
                assert [piece.data for piece in content.pieces() if isinstance(piece, Data)] == [
                    item.stat_entry.path.split(b"/")[0]
                ]
    assert len(os.listdir("/proc/self/fd")) == before


NAMES = st.binary(min_size=1, max_size=60).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))
RUNS = st.lists(st.tuples(st.sampled_from("dh"), st.integers(1, 5 * BLOCK)), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, unique=True, max_size=12), below=NAMES)
def test_any_bytes_make_a_name(names: list[bytes], below: bytes) -> None:
    top = tempfile.mkdtemp().encode()
    try:
        os.makedirs(top + b"/tree/" + below)
        for name in names:
            with open(top + b"/tree/" + below + b"/" + name, "wb") as file:
                file.write(name)
        copy_tree(source_of(Path(os.fsdecode(top + b"/tree"))), target_at(Path(os.fsdecode(top + b"/copy"))))
        assert differences(top + b"/tree", top + b"/copy") == []
        entries, _ = items_of(source_of(Path(os.fsdecode(top + b"/tree"))))
        assert [entry.path for entry in entries] == sorted((entry.path for entry in entries), key=sort_key)
    finally:
        remove_tree(Path(os.fsdecode(top)))


@settings(max_examples=100, deadline=None)
@given(runs=RUNS, seed=st.binary(min_size=1, max_size=7))
def test_any_map_of_holes_and_data_comes_back(runs: list[tuple[str, int]], seed: bytes) -> None:
    top = tempfile.mkdtemp().encode()
    try:
        os.mkdir(top + b"/tree")
        data: list[tuple[int, bytes]] = []
        size = 0
        for kind, length in runs:
            if kind == "d":
                data.append((size, (seed * (length // len(seed) + 1))[:length]))
            size += length
        write_sparse(top + b"/tree/file", size, *data)
        with source_of(Path(os.fsdecode(top + b"/tree"))).capture() as capture:
            item = list(capture.items())[1]
            with item.open() as content:
                pieces = list(content.pieces())
                assert content.settled().size == size
        read = b"".join(piece.data if isinstance(piece, Data) else bytes(piece.length) for piece in pieces)
        with open(top + b"/tree/file", "rb") as file:
            assert read == file.read()
        copy_tree(source_of(Path(os.fsdecode(top + b"/tree"))), target_at(Path(os.fsdecode(top + b"/copy"))))
        assert data_runs(top + b"/copy/file") == data_runs(top + b"/tree/file")
        assert os.path.getsize(top + b"/copy/file") == size
    finally:
        remove_tree(Path(os.fsdecode(top)))


def test_the_deep_part_is_really_deep(everything: Path) -> None:
    deepest = max(describe(os.fsencode(everything)), key=len)
    assert deepest.startswith(DEEP)
    with pytest.raises(OSError, match="too long"):
        os.stat(os.fsencode(everything) + b"/" + deepest)
