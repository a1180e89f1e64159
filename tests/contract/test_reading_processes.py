"""A backup of many small files is read by several processes, and nobody can tell from what it keeps."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.fragments import read_footer
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import ToolUnavailable
from farshore.format import names
from farshore.handles import DirectoryHandles
from farshore.model import Entry, EntryKind
from farshore.ops.restore.restore import restore_snapshot
from farshore.results import BackupResult
from farshore.run import Run
from farshore.sources.base import Capture, Item
from farshore.sources.directory.small_files import SmallFiles
from farshore.sources.directory.source import DirectoryCapture, DirectorySource
from tests.contract.child_processes import running
from tests.contract.directory_trees import build_everything, differences, write_sparse
from tests.doubles.clock import FixedClock
from tests.unit.ops.engine import Engine

MANY = limits.READING_PROCESSES_FILES_MIN + 1500
LATER = FixedClock(datetime.now(UTC) + timedelta(hours=1))  # by then everything has settled
CHANCE = random.Random(11)


class WatchedSource(DirectorySource):
    """A directory; `each` is called with every item before the backup gets it."""

    def __init__(self, path: Path, each: Callable[[int, Item], None]) -> None:
        super().__init__(name="tree", path=path, clock=LATER)
        self._each = each

    @contextmanager
    def capture(self, **given: int) -> Iterator[Capture]:
        with super().capture(**given) as capture:
            assert isinstance(capture, DirectoryCapture)
            inner = capture.items

            def items() -> Iterator[Item]:
                for number, item in enumerate(inner()):
                    self._each(number, item)
                    yield item

            capture.items = items  # type: ignore[method-assign]  # the source is watched, the engine is not touched
            yield capture


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with many small files, some of them alike, some larger, some odd, and one of everything."""
    root = tmp_path / "tree"
    (root / "everything").mkdir(parents=True)
    build_everything(os.fsencode(root / "everything"))
    for number in range(MANY):
        directory = root / f"d{number % 37}"
        directory.mkdir(exist_ok=True)
        kind = number % 10
        size = CHANCE.randrange(40_000, 400_000) if kind == 0 and number < 1000 else CHANCE.randrange(3000)
        (directory / f"f{number}").write_bytes(b"alike" * 99 if kind == 1 else CHANCE.randbytes(size))
        if kind == 2:
            os.setxattr(directory / f"f{number}", "user.number", b"%d" % number)
    for number in range(5):
        write_sparse(os.fsencode(root / f"d3/sparse{number}"), 3_000_000, (4096 * number, b"data" * 2000))
        (root / f"d4/large{number}").write_bytes(CHANCE.randbytes(limits.SMALL_FILE_BYTES_MAX + 1))
    return root


def restored(engine: Engine, result: BackupResult, target: Path, replica: str) -> Path:
    with engine.opened() as repository:
        (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == result.snapshot_id]
        reported = restore_snapshot(repository, snapshot, target, replica=replica, run=Run.start(engine.clock))
    assert reported.problems == ()
    return target


def salts(engine: Engine) -> set[bytes]:
    """Return the salts of all segments: each process that seals has its own."""
    with engine.opened(Need.WRITE) as repository:
        replica = repository.replica("a")
        return {
            origin.salt
            for info in replica.store.list(names.PACKS)
            for origin in read_footer(
                repository.writing_keys(), replica, names.parse_pack(info.name) or "", info.size
            ).footer.origins
        }


def test_everything_comes_back_and_is_stored_once(engine: Engine, tree: Path, tmp_path: Path) -> None:
    source = DirectorySource(name="tree", path=tree, clock=LATER)
    result = engine.backup(source)
    assert len(salts(engine)) > 2, "no process has sealed anything, so this shows nothing"
    back = restored(engine, result, tmp_path / "back", "b")
    assert differences(os.fsencode(tree), os.fsencode(back)) == []
    assert engine.verify().clean
    contents = {path.read_bytes() for path in tree.glob("d*/f*")}
    assert result.counts.chunks_new >= len(contents)
    again = engine.backup(source)
    assert again.counts.chunks_new == 0


def test_neighbors_stay_neighbors_whichever_process_sealed_them(engine: Engine, tmp_path: Path) -> None:
    """Else a restore would ask for many small ranges, and for some of them twice."""
    root = tmp_path / "plain"
    root.mkdir()
    contents = [CHANCE.randbytes(CHANCE.randrange(500, 6000)) for _ in range(MANY)]
    for number, content in enumerate(contents):
        (root / f"f{number:06}").write_bytes(content)
    engine.backup(DirectorySource(name="tree", path=root, clock=LATER))
    with engine.opened(Need.WRITE) as repository:
        replica, keys = repository.replica("a"), repository.writing_keys()
        (pack,) = list(replica.store.list(names.PACKS))
        footer = read_footer(keys, replica, names.parse_pack(pack.name) or "", pack.size).footer
    numbers = {blake3(content, key=keys.chunk_key).digest(): number for number, content in enumerate(contents)}
    order = [numbers[bytes(chunk_id)] for chunk_id in footer.chunks["id"]]
    assert sorted(order) == list(range(MANY))
    by_processes = [number for number in order if number > limits.READING_PROCESSES_FILES_MIN + limits.BATCH_ITEMS_MAX]
    assert by_processes == sorted(by_processes)
    assert len({origin.salt for origin in footer.origins}) > 2


def test_a_file_that_changes_after_it_was_listed_is_stored_as_it_is_then(
    engine: Engine, tree: Path, tmp_path: Path
) -> None:
    changed: list[Path] = []

    def each(number: int, item: Item) -> None:
        path = tree / os.fsdecode(item.stat_entry.path)
        if item.stat_entry.kind is EntryKind.FILE and item.stat_entry.links == 1 and number % 50 == 0:
            with path.open("ab") as file:
                file.write(b"grown since")
            os.utime(path, ns=(1_000_000_000, 1_000_000_000))
            changed.append(path)

    result = engine.backup(WatchedSource(tree, each))
    assert len(changed) > 50
    back = restored(engine, result, tmp_path / "back", "c")
    for path in changed:
        assert (back / path.relative_to(tree)).read_bytes() == path.read_bytes()
    assert differences(os.fsencode(tree), os.fsencode(back)) == []


def test_a_file_that_vanishes_is_a_problem_and_no_more(engine: Engine, tree: Path) -> None:
    gone: list[bytes] = []

    def each(number: int, item: Item) -> None:
        if item.stat_entry.path.startswith(b"d") and item.stat_entry.kind is EntryKind.FILE and number % 400 == 0:
            (tree / os.fsdecode(item.stat_entry.path)).unlink()
            gone.append(item.stat_entry.path)

    result = engine.backup(WatchedSource(tree, each))
    assert len(gone) > 5
    assert {(problem.path, problem.code) for problem in result.problems} >= {(path, "vanished") for path in gone}
    assert result.counts.entries > MANY - len(gone)


def test_a_process_that_is_killed_ends_the_backup_with_nothing_committed(engine: Engine, tree: Path) -> None:
    killed: list[int] = []

    def each(number: int, _: Item) -> None:
        if not killed and number > limits.READING_PROCESSES_FILES_MIN:
            for pid in running("reading_process"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    with pytest.raises(ToolUnavailable, match="SIGKILL"):
        engine.backup(WatchedSource(tree, each))
    assert killed
    assert engine.snapshots() == []
    assert running("reading_process") == []
    assert engine.backup(DirectorySource(name="tree", path=tree, clock=LATER)).replicas[0].committed


def test_no_process_outlives_a_backup_that_fails(engine: Engine, tree: Path) -> None:
    def each(number: int, _: Item) -> None:
        if number > limits.READING_PROCESSES_FILES_MIN + 500:
            assert running("reading_process")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.backup(WatchedSource(tree, each))
    assert running("reading_process") == []


def test_what_is_not_a_plain_settled_file_is_left_to_a_closer_look(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "plain").write_bytes(b"plain" * 2000)
    (root / "empty").touch()
    (root / "changed").write_bytes(b"before")
    (root / "replaced").write_bytes(b"before")
    write_sparse(os.fsencode(root / "sparse"), 1_000_000, (0, b"start"))
    source = DirectorySource(name="tree", path=root, clock=LATER)
    with source.capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        entries = {item.stat_entry.path: item.stat_entry for item in capture.items()}
        (root / "changed").write_bytes(b"after!")
        (root / "replaced").rename(root / "moved")
        (root / "replaced").symlink_to("plain")
        settled = capture.settled_before_ns
        files = SmallFiles(
            handles=DirectoryHandles(root=capture.root, open_max=4), settled_before_ns=settled
        )  # fmt: skip
        found = {path: read_of(files, entry) for path, entry in entries.items() if entry.kind is EntryKind.FILE}
        assert found == {
            b"plain": b"plain" * 2000, b"empty": b"", b"changed": None, b"replaced": None, b"sparse": None,
        }  # fmt: skip
        young = SmallFiles(
            handles=DirectoryHandles(root=capture.root, open_max=4),
            settled_before_ns=entries[b"plain"].ctime_ns,
        )
        assert young.read(entries[b"plain"]) is None, "a later write within the same tick would leave no trace"


def read_of(files: SmallFiles, entry: Entry) -> bytes | None:
    found = files.read(entry)
    return None if found is None else found[0]
