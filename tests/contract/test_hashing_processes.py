"""Pages of large files are hashed by several processes, and nobody can tell from what a backup keeps."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.chunking.content import CutSizes
from farshore.chunking.page_hashes import hash_pages
from farshore.errors import ToolUnavailable
from farshore.format.manifest import CHANGING
from farshore.model import HOLE
from farshore.ops.backup.backup import run_backup
from farshore.ops.backup.pages.hashers import HashedData, PageHashers
from farshore.ops.backup.pages.paged_file import FileRead, PreviousPages
from farshore.ops.backup.pipeline.read_file import ContentReader, ReportBytes
from farshore.results import Progress
from farshore.run import Run
from farshore.sealed.content_hash import ContentHash
from farshore.sources.base import BufferedContent
from farshore.sources.directory.source import DirectorySource
from tests.contract.child_processes import running
from tests.contract.directory_trees import write_sparse
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys
from tests.doubles.page_maps import cursor_of, page_runs, with_all_pages
from tests.unit.ops.engine import Engine

LATER = FixedClock(datetime.now(UTC) + timedelta(hours=1))  # by then everything has settled
KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
MODULE = "hashing_process"
MIB = limits.MIB
BUFFER = limits.HASHING_BUFFER_BYTES
LARGE = limits.HASHING_FILE_BYTES_MIN + 5 * MIB


class Chunks:
    """What was emitted, by name."""

    def __init__(self) -> None:
        self.by_id: dict[bytes, bytes | memoryview] = {}

    def emit(self, chunk_id: bytes, data: bytes | memoryview) -> None:
        self.by_id.setdefault(chunk_id, data)

    def content(self, result: FileRead) -> bytes:
        return b"".join(
            bytes(length) if chunk == HOLE else self.by_id[chunk][offset : offset + length]
            for chunk, offset, length in result.extents
        )

    def hash_of(self, result: FileRead) -> bytes:
        whole = ContentHash()
        for chunk, offset, length in result.extents:
            whole.skip(length) if chunk == HOLE else whole.update(self.by_id[chunk][offset : offset + length])
        return whole.digest()


@pytest.fixture
def hashers() -> Iterator[PageHashers]:
    with closing(PageHashers(page_key=KEYS.page_key, processes=2, file_bytes_min=0)) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree" / "database.db"


def source_of(path: Path) -> DirectorySource:
    return DirectorySource(name="tree", path=path.parent, clock=LATER, paged=("*.db",))


def read(
    path: Path,
    hashers: PageHashers | None,
    chunks: Chunks,
    *,
    before: FileRead | None = None,
    report_bytes: ReportBytes = lambda _: None,
) -> FileRead:
    """Read the one file of a tree, compared with the state before."""
    reader = ContentReader(keys=KEYS, sizes=CutSizes(), hashers=hashers)

    def previous_pages() -> PreviousPages | None:
        return PreviousPages(before.extents, cursor_of(before)) if before else None

    with source_of(path).capture() as capture:
        (item,) = [one for one in capture.items() if one.stat_entry.path == os.fsencode(path.name)]
        result = reader.read(
            item, chunks.emit, previous_pages=previous_pages, attempts=2, report_bytes=report_bytes, ahead=True
        )
    assert isinstance(result, FileRead)
    return with_all_pages(result, before)


def facts(result: FileRead) -> tuple[object, ...]:
    """Return all of a result that reaches the repository."""
    return (
        result.entry, result.content_hash, result.extents, result.bytes_read, result.state, list(result.pages),
    )  # fmt: skip


def with_pages_of(page: int, data: bytes) -> bytes:
    """Return the data so that it passes for a database with pages of this size."""
    return data if page == limits.PAGE_BYTES else b"SQLite format 3\0" + page.to_bytes(2, "big") + data[18:]


SHAPES: dict[str, Sequence[tuple[int, int]]] = {  # runs of data: offset, length
    "whole buffers": [(0, 9 * BUFFER)],
    "an odd end": [(0, 7 * BUFFER + 12_345)],
    "less than a buffer": [(0, 1_500_000)],
    "holes that cut blocks": [
        (0, 3 * BUFFER + 4096),
        (5 * BUFFER - 8192, 4 * MIB),
        (31 * MIB + 4096, 3 * BUFFER + 777),
    ],
    "data after a hole": [(6 * MIB + 12_288, 20 * MIB)],
    "many holes": [(start * 3 * MIB // 2, 600_000 + start * 4096) for start in range(40)],
}


@pytest.mark.parametrize("page", [512, 4096, 8192, 16384])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_kept_is_the_same_with_processes_and_without(
    path: Path, hashers: PageHashers, shape: str, page: int
) -> None:
    chance = random.Random(page)
    runs = [(start, with_pages_of(page, chance.randbytes(count)) if not start else chance.randbytes(count))
            for start, count in SHAPES[shape]]  # fmt: skip
    write_sparse(os.fsencode(path), max(start + len(data) for start, data in runs), *runs)
    before: FileRead | None = None
    here, there = Chunks(), Chunks()
    for generation in range(3):
        plain = path.read_bytes()
        alone, result = read(path, None, here, before=before), read(path, hashers, there, before=before)
        assert running(MODULE)
        assert alone.entry.page_bytes == (page if runs[0][0] == 0 else 4096)
        assert facts(result) == facts(alone)
        assert there.by_id == here.by_id
        assert there.content(result) == plain, "a buffer was used again while a chunk was made of it"
        if generation == 0 and len(SHAPES[shape]) == 1 and runs[0][0] == 0:
            assert b"".join(row.hashes for row in result.pages) == hash_pages(plain, page, KEYS.page_key)
        before = result
        with path.open("r+b") as file:  # a few pages, then a longer file, then a shorter one
            for start, data in runs:
                file.seek(start + chance.randrange(max(1, len(data) - 9000)) // 2)
                file.write(chance.randbytes(chance.randrange(1, 9000)))
            file.truncate(len(plain) + 3 * MIB + 77 if generation == 0 else len(plain) - 1_234_567)


@pytest.mark.parametrize("shrinks", [False, True])
def test_what_changes_while_it_is_read_is_stored_as_it_was_hashed(
    path: Path, hashers: PageHashers, *, shrinks: bool
) -> None:
    chance = random.Random(3)
    path.write_bytes(chance.randbytes(20 * MIB))

    def change(_: int) -> None:
        with path.open("r+b") as file:
            for _ in range(50):
                file.seek(chance.randrange(20 * MIB - 4096))
                file.write(chance.randbytes(4096))
            if shrinks:
                file.truncate(chance.randrange(12 * MIB, 20 * MIB))

    chunks = Chunks()
    first = read(path, hashers, chunks)
    result = read(path, hashers, chunks, before=first, report_bytes=change)
    assert result.state == CHANGING
    content = chunks.content(result)
    assert content not in (chunks.content(first), path.read_bytes())
    assert chunks.hash_of(result) == result.content_hash
    for row in result.pages:  # a write behind its new end leaves a hole before it, which has no pages
        for first_page, hashes in page_runs(row):
            start = first_page * 4096
            assert hashes == hash_pages(content[start : start + len(hashes) // 16 * 4096], 4096, KEYS.page_key)
    if not shrinks:
        assert sum(row.pages for row in result.pages) == 20 * MIB // 4096
        again = read(path, hashers, chunks, before=result)
        assert chunks.content(again) == path.read_bytes(), "a page that changed was taken as unchanged"


def test_a_file_that_is_left_in_the_middle_spoils_nothing_for_the_next(path: Path, hashers: PageHashers) -> None:
    path.write_bytes(random.Random(4).randbytes(20 * MIB + 5))
    with source_of(path).capture() as capture:
        (item,) = [one for one in capture.items() if one.stat_entry.path == b"database.db"]
        for taken in range(4):
            with item.open() as content:
                assert hashers.reads(content, item.entry)
                assert isinstance(content, BufferedContent)
                with closing(hashers.read(content, 4096)) as pieces:  # type: ignore[type-var]
                    for _ in range(taken):
                        piece = next(pieces)
                        assert isinstance(piece, HashedData)
                        assert piece.hashes == hash_pages(piece.data, 4096, KEYS.page_key)
    assert facts(read(path, hashers, Chunks())) == facts(read(path, None, Chunks()))


def test_only_large_files_start_processes(path: Path) -> None:
    path.write_bytes(bytes(limits.PAGED_FILE_BYTES_MIN * 4))
    with closing(PageHashers(page_key=KEYS.page_key, processes=2)) as hashers:
        read(path, hashers, Chunks())
        assert running(MODULE) == []
        with path.open("ab") as file:
            file.write(b"much " * (LARGE // 5))
        read(path, hashers, Chunks())
        assert len(running(MODULE)) == 2
    assert running(MODULE) == []


@contextmanager
def when_they_run(act: Callable[[Sequence[int]], None]) -> Iterator[None]:
    """Act, in another thread, as soon as there are hashing processes."""
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if found := running(MODULE):
                act(found)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def large(path: Path) -> Path:
    part = random.Random(5).randbytes(MIB)
    with path.open("wb") as file:
        for number in range(200):
            file.write(b"%8d" % number + part[8:])
    return path


def test_a_backup_uses_them_and_comes_back(tmp_path: Path, large: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    seen: list[int] = []
    source = source_of(large)
    with when_they_run(seen.extend):
        first = engine.backup(source)
    assert seen
    with large.open("r+b") as file:
        for number in range(100):
            file.seek(number * 2 * MIB + 4096 * number)
            file.write(b"changed" * 500)
    second = engine.backup(source)
    assert second.counts.bytes_new < 100 * 4096 + limits.PAGE_BYTES
    assert second.snapshot_id != first.snapshot_id
    _, files = engine.restore(second.snapshot_id)
    assert files[b"database.db"] == large.read_bytes()
    assert running(MODULE) == []


def test_a_process_that_is_killed_ends_the_backup_with_nothing_committed(tmp_path: Path, large: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = source_of(large)
    with (
        when_they_run(lambda found: os.kill(found[0], signal.SIGKILL)),
        pytest.raises(ToolUnavailable, match="SIGKILL"),
    ):
        engine.backup(source)
    assert engine.snapshots() == []
    assert running(MODULE) == []
    assert engine.backup(source).replicas[0].committed


def test_no_process_outlives_a_backup_that_is_interrupted(tmp_path: Path, large: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = source_of(large)

    def interrupt(progress: Progress) -> None:
        if progress.bytes_done:
            assert running(MODULE)
            signal.raise_signal(signal.SIGINT)

    with engine.opened(Need.WRITE) as repository, pytest.raises(KeyboardInterrupt):
        run_backup(repository, source, run=Run.start(engine.clock, progress=interrupt))
    assert engine.snapshots() == []
    assert running(MODULE) == []
