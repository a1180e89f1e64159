"""A large tree that was backed up before is walked by several processes, and nobody can tell from what it keeps."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore.catalog.snapshots import list_snapshots
from farshore.errors import ToolUnavailable
from farshore.model import Entry, Problem
from farshore.ops.restore.restore import restore_snapshot
from farshore.replicas.repository import BackupSizes
from farshore.results import BackupResult
from farshore.run import Run
from farshore.sources.base import Capture, Listing
from farshore.sources.directory.source import DirectoryCapture, DirectorySource
from tests.contract.child_processes import running
from tests.contract.directory_trees import ROOT, build_everything, differences
from tests.doubles.clock import FixedClock
from tests.unit.ops.engine import Engine
from tests.unit.replicas.clocks import StillClock

LATER = FixedClock(datetime.now(UTC) + timedelta(hours=1))  # by then everything has settled
FILES = 6000
WALKING = "walking_process"


class WatchedSource(DirectorySource):
    """A directory; `each` is called with the number of every listing before the backup gets it."""

    def __init__(self, path: Path, each: Callable[[int], None]) -> None:
        super().__init__(name="tree", path=path, clock=LATER)
        self._each = each

    @contextmanager
    def capture(self, **given: int) -> Iterator[Capture]:
        with super().capture(**given) as capture:
            assert isinstance(capture, DirectoryCapture)
            inner = capture.listings

            def listings(cuts: Sequence[bytes], processes: int) -> Iterator[Listing]:
                def watched() -> Iterator[Listing]:
                    for number, listing in enumerate(found):
                        self._each(number)
                        yield listing

                found = inner(cuts, processes)
                return watched()

            capture.listings = listings  # type: ignore[method-assign]  # the source is watched, not the engine
            yield capture


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    sizes = BackupSizes(walking_processes_entries_min=FILES, walk_span_entries=300)
    clock = StillClock(datetime.now(UTC) + timedelta(hours=1))
    return Engine(tmp_path / "engine", clock=clock, sizes=sizes).initialize()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one of everything, directories with more files than a span has, deep ones, links and odd names."""
    root = tmp_path / "tree"
    (root / "everything").mkdir(parents=True)
    build_everything(os.fsencode(root / "everything"))
    for number in range(FILES):
        directory = root / ("flat" if number % 2 else f"d{number % 38}/a b/a")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}").write_bytes(b"%d" % number)
        if number % 100 == 0:
            os.link(directory / f"f{number}", root / f"d{number % 38}/link{number}")
            (root / f"d{number % 38}/symlink{number}").symlink_to(f"to{number}")
    Path(os.fsdecode(os.path.join(os.fsencode(root), b"d0/\xff\n"))).write_bytes(b"odd")
    return root


def back_up(engine: Engine, root: Path, each: Callable[[int], None] = lambda _: None) -> BackupResult:
    """Back up, and see that processes have walked."""
    seen: list[int] = []

    def watch(number: int) -> None:
        seen.append(number)
        each(number)

    result = engine.backup(WatchedSource(root, watch))
    assert len(seen) > 10, "no process has walked, so this shows nothing"
    return result


def differences_of(engine: Engine, result: BackupResult, root: Path, target: Path) -> list[str]:
    with engine.opened() as repository:
        (snapshot,) = [one for one in list_snapshots(repository) if one.snapshot_id == result.snapshot_id]
        restore_snapshot(repository, snapshot, target, run=Run.start(engine.clock))
    return list(map(str, differences(os.fsencode(root), os.fsencode(target))))


def walked(root: Path) -> tuple[list[Entry], list[Problem]]:
    """Return what one walk finds."""
    with DirectorySource(name="tree", path=root, clock=LATER).capture() as capture:
        entries = [item.stat_entry for item in capture.items()]
        capture.finish()
        return entries, capture.problems()


def listed(root: Path, cuts: Sequence[bytes]) -> tuple[list[Entry], list[Problem]]:
    """Return what several processes find."""
    with DirectorySource(name="tree", path=root, clock=LATER).capture() as capture:
        assert isinstance(capture, DirectoryCapture)
        entries = [one.item(at).stat_entry for one in capture.listings(cuts, 3) for at in range(one.count)]
        capture.finish()
        return entries, capture.problems()


def test_processes_find_what_one_walk_finds(tree: Path) -> None:
    whole = walked(tree)
    draw = random.Random(3)
    paths = [entry.path for entry in whole[0][1:]]
    for count in (0, 1, 40):
        places = sorted(draw.sample(range(len(paths)), count))
        assert listed(tree, [paths[at] for at in places]) == whole


def test_what_is_unchanged_is_seen_to_be(engine: Engine, tree: Path, tmp_path: Path) -> None:
    first = engine.backup(DirectorySource(name="tree", path=tree, clock=LATER))
    engine.clock.advance(7200)
    again = back_up(engine, tree)
    assert again.counts.entries == first.counts.entries == again.counts.entries_unchanged
    assert again.counts.bytes_read == again.counts.chunks_new == 0
    assert differences_of(engine, again, tree, tmp_path / "back") == []


def test_exactly_what_changed_is_recorded(engine: Engine, tree: Path, tmp_path: Path) -> None:
    engine.backup(DirectorySource(name="tree", path=tree, clock=LATER))
    engine.clock.advance(7200)
    (tree / "flat/f1001").write_bytes(b"changed")
    (tree / "flat/f2001").write_bytes(b"2OO1")  # as long as it was
    (tree / "flat/f3001").chmod(0o600)
    (tree / "flat/f301").unlink()
    (tree / "d2/a b/a/f2").rename(tree / "d2/a b/a/g2")
    (tree / "d4/new").write_bytes(b"new")
    (tree / "d6/symlink500").unlink(missing_ok=True)
    shutil.rmtree(tree / "d8")
    link = next(tree.glob("d*/symlink*"))
    link.unlink()
    link.symlink_to("elsewhere")
    (tree / "everything/zz").mkdir()
    result = back_up(engine, tree)
    assert differences_of(engine, result, tree, tmp_path / "back") == []
    assert result.counts.entries == len(walked(tree)[0])
    assert result.counts.bytes_read == len(b"changed") + len(b"2OO1") + len(b"3001") + len(b"2") + len(b"new")
    assert engine.verify().clean


def test_times_that_no_snapshot_holds_are_kept_as_the_nearest_and_reported(
    engine: Engine, tree: Path, tmp_path: Path
) -> None:
    """Trial F2: `touch -d 2263-01-01` by anybody, and there was no backup of the source at all."""
    late = [tree / "d2/a b/a/f2", tree / "flat/f3001", tree / "d4", tree / "d0/symlink0"]
    for path in late:
        os.utime(path, ns=(0, 9_300_000_000_123_456_789), follow_symlinks=False)
        assert path.lstat().st_mtime_ns == 9_300_000_000_123_456_789, "this file system holds no such time"
    expected = sorted(os.fsencode(path.relative_to(tree)) for path in late)
    first = engine.backup(DirectorySource(name="tree", path=tree, clock=LATER))
    engine.clock.advance(7200)
    (tree / "flat/f3001").write_bytes(b"read again")
    os.utime(tree / "flat/f3001", ns=(0, 9_300_000_000_123_456_789))
    again = back_up(engine, tree)
    for result in (first, again):
        assert sorted((one.path, one.code, one.matters) for one in result.problems) == [
            (path, "metadata", False) for path in expected
        ]
    assert again.counts.entries - again.counts.entries_unchanged == 1
    with engine.opened() as repository:
        restore_snapshot(repository, list_snapshots(repository)[-1], tmp_path / "back", run=Run.start(engine.clock))
    for path in late:
        assert (tmp_path / "back" / path.relative_to(tree)).lstat().st_mtime_ns == 2**63 - 1


@pytest.mark.skipif(ROOT and not shutil.which("setpriv"), reason="root reads everything, and nothing takes that away")
def test_a_directory_that_cannot_be_read_is_reported_once(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for directory in ("a", "closed", "closing/deep", "z"):
        (root / directory).mkdir(parents=True)
        for number in range(30):
            (root / directory / f"{number}").touch()
    (root / "closed").chmod(0)
    (root / "closing/deep").chmod(0)
    cuts = [b"a/5", b"closed/1", b"closed/3", b"closed/3/x", b"closing", b"closing/deep/1", b"closing/deep/7", b"z/2"]
    story = f"""
        import sys
        sys.path[:] = {[str(one) for one in sys.path]!r}
        from pathlib import Path
        from tests.contract.test_walking_processes import listed, walked
        root = Path({str(root)!r})
        found = listed(root, {cuts!r})
        assert found == walked(root), found
        print(*(problem.path.decode() for problem in found[1]))
    """
    unprivileged = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if ROOT else ()
    command = [*unprivileged, sys.executable, "-c", textwrap.dedent(story)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "closed closing/deep\n"), done.stderr
    finally:
        (root / "closed").chmod(0o700)
        (root / "closing/deep").chmod(0o700)


def test_a_process_that_is_killed_ends_the_backup_with_nothing_committed(engine: Engine, tree: Path) -> None:
    engine.backup(DirectorySource(name="tree", path=tree, clock=LATER))

    def each(number: int) -> None:
        if number == 1:
            for pid in running(WALKING):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(ToolUnavailable, match="SIGKILL"):
        back_up(engine, enlarged(tree), each)
    assert len(engine.snapshots()) == 1
    assert running(WALKING) == []
    assert back_up(engine, tree).replicas[0].committed


def test_no_process_outlives_a_backup_that_fails(engine: Engine, tree: Path) -> None:
    engine.backup(DirectorySource(name="tree", path=tree, clock=LATER))

    def each(number: int) -> None:
        if number == 1:
            assert running(WALKING)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(engine, enlarged(tree), each)
    assert running(WALKING) == []


def enlarged(tree: Path) -> Path:
    """Return a tree with so much in its last directory that no process is done with it before its names are taken."""
    for number in range(30_000):
        os.symlink("x" * 200, tree / f"flat/{number}")
    return tree
