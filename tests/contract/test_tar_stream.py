"""A snapshot sent as a tar archive is, once GNU tar has extracted it, what an ordinary restore makes."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from farshore.errors import OutletClosed, RestoreIncomplete
from farshore.model import Entry, EntryKind
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from farshore.targets.stream.tar import TarStream
from tests.contract.directory_trees import (
    DEEP,
    ROOT,
    build_everything,
    differences,
    rsync_differences,
    source_of,
    tree_removed,
)
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def everything() -> Iterator[Path]:
    with tree_removed(Path(tempfile.mkdtemp(prefix="everything"))) as path:
        build_everything(os.fsencode(path))
        yield path


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def send(engine: Engine, snapshot_id: str, outlet: IO[bytes], options: RestoreOptions) -> list[str]:
    """Send a snapshot as an archive; return what was told of single entries."""
    with engine.opened() as repository:
        (snapshot,) = [one for one in engine.snapshots() if one.snapshot_id == snapshot_id]
        result = restore_snapshot(repository, snapshot, TarStream(outlet), options=options, run=Run.start(engine.clock))
    return [f"{problem.path!r} {problem.code}" for problem in result.problems]


def extract(archive: Path, into: Path) -> str:
    """Have GNU tar extract an archive with all it has; return what it said."""
    into.mkdir()
    words = ["tar", "-x", "-f", str(archive), "-C", str(into), "--numeric-owner", "--xattrs", "--acls", "-p"]
    done = subprocess.run([*words, "--xattrs-include=*"], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(not ROOT, reason="owners and devices are for root alone")
def test_gnu_tar_extracts_what_a_restore_makes(engine: Engine, everything: Path, tmp_path: Path) -> None:
    snapshot_id = engine.backup(source_of(everything)).snapshot_id
    options = RestoreOptions(exclude=["/" + os.fsdecode(DEEP)])
    with engine.opened() as repository:
        (snapshot,) = engine.snapshots()
        restore_snapshot(repository, snapshot, tmp_path / "restored", options=options, run=Run.start(engine.clock))
    with (tmp_path / "archive.tar").open("wb") as outlet:
        reported = send(engine, snapshot_id, outlet, options)
    assert reported == ["b'special/socket' unsupported"]
    said = extract(tmp_path / "archive.tar", tmp_path / "extracted")
    assert all("time stamp" in line for line in said.splitlines()), said  # of 1960 and 2100
    (tmp_path / "restored" / "special" / "socket").unlink()
    subprocess.run(["touch", "-r", everything / "special", tmp_path / "restored" / "special"], check=True)
    assert differences(os.fsencode(tmp_path / "restored"), os.fsencode(tmp_path / "extracted")) == []
    assert rsync_differences(os.fsencode(tmp_path / "restored"), os.fsencode(tmp_path / "extracted")) == ""


def backup_and_lose(engine: Engine, source: TreeSource, add: Callable[[], None]) -> str:
    """Back up, add something, back up again, and lose a pack of what was added everywhere; return the second one."""
    engine.backup(source)
    before = set(engine.objects("a", "packs/"))
    add()
    snapshot_id = engine.backup(source).snapshot_id
    pack = max(set(engine.objects("a", "packs/")) - before)
    for replica in "abc":
        engine.lose(replica, pack)
    engine.forget_cache()
    return snapshot_id


def test_a_small_file_without_a_good_copy_is_left_out_and_the_archive_is_whole(engine: Engine, tmp_path: Path) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a", os.urandom(5_000_000))

    def add() -> None:
        source.file(b"small", b"small")
        source.link(b"zlink", b"small")

    snapshot_id = backup_and_lose(engine, source, add)
    outlet = io.BytesIO()
    with pytest.raises(RestoreIncomplete, match="small"):
        send(engine, snapshot_id, outlet, RestoreOptions())
    (tmp_path / "archive.tar").write_bytes(outlet.getvalue())
    assert extract(tmp_path / "archive.tar", tmp_path / "extracted") == ""
    assert sorted(path.name for path in (tmp_path / "extracted").iterdir()) == ["a"]


def test_a_large_file_without_a_good_copy_ends_the_archive_and_every_reader_sees_it(
    engine: Engine, tmp_path: Path
) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"before")
    source.file(b"z", b"after")
    snapshot_id = backup_and_lose(engine, source, lambda: source.file(b"large", os.urandom(40_000_000)))
    outlet = io.BytesIO()
    with pytest.raises(RestoreIncomplete, match=r"large has no good copy anywhere.*the output ends here") as caught:
        send(engine, snapshot_id, outlet, RestoreOptions())
    assert "--exclude" in caught.value.hint
    (tmp_path / "archive.tar").write_bytes(outlet.getvalue())
    done = subprocess.run(["tar", "-t", "-f", tmp_path / "archive.tar"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "z" not in done.stdout.split()
    again = io.BytesIO()
    send(engine, snapshot_id, again, RestoreOptions(exclude=["large"]))
    with tarfile.open(fileobj=io.BytesIO(again.getvalue())) as archive:
        assert archive.getnames() == [".", "a", "z"]


def test_holes_stay_holes_for_gnu_tar_whatever_their_number(engine: Engine, tmp_path: Path) -> None:
    source = TreeSource(clock=engine.clock)
    pieces = [part for number in range(400) for part in (bytes([number % 255 + 1]) * 700, 100_000)]
    source.file(b"many", *pieces)
    source.file(b"all", 1 << 40)
    source.file(b"end", 5_000_000, b"x")
    source.file(b"empty")
    snapshot_id = engine.backup(source).snapshot_id
    with (tmp_path / "archive.tar").open("wb") as outlet:
        send(engine, snapshot_id, outlet, RestoreOptions())
    assert (tmp_path / "archive.tar").stat().st_size < 1_000_000
    extract(tmp_path / "archive.tar", tmp_path / "extracted")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "extracted").iterdir()}
    assert sizes == {"many": 400 * 100_700, "all": 1 << 40, "end": 5_000_001, "empty": 0}
    expected = b"".join(bytes(one) if isinstance(one, int) else one for one in pieces)
    assert (tmp_path / "extracted" / "many").read_bytes() == expected


def test_a_reader_that_goes_away_is_no_fault_of_the_target(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"large", os.urandom(5_000_000))
    snapshot_id = engine.backup(source).snapshot_id
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", 0) as outlet, pytest.raises(OutletClosed):
        send(engine, snapshot_id, outlet, RestoreOptions())


def test_another_name_of_what_is_left_out_is_left_out_too(engine: Engine, tmp_path: Path) -> None:
    source = TreeSource(clock=engine.clock)
    source.put(Entry(b"socket", EntryKind.SOCKET))
    source.link(b"socket2", b"socket")
    source.symlink(b"link", b"nowhere")
    source.link(b"link2", b"link")
    snapshot_id = engine.backup(source).snapshot_id
    with (tmp_path / "archive.tar").open("wb") as outlet:
        reported = send(engine, snapshot_id, outlet, RestoreOptions())
    assert reported == ["b'socket' unsupported", "b'socket2' vanished"]
    extract(tmp_path / "archive.tar", tmp_path / "extracted")
    assert os.readlink(tmp_path / "extracted" / "link2") == "nowhere"
