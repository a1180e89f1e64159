"""One file to a stream: found by any way of writing its path, followed where it is a link, whole or known to be not."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from farshore.errors import RestoreIncomplete, SnapshotUnknown
from farshore.ops.restore.cat import cat_file
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

LARGE = random.Random(7).randbytes(9_000_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    source = TreeSource(clock=engine.clock)
    source.directory(b"d")
    source.file(b"d/large", LARGE)
    source.file(b"d/small", b"small")
    source.file(b"d/sparse", b"s" * 1000, 5_000_000, b"m", 3, b"e" * 1000, 70_000)
    source.file(b"empty")
    source.file(b"hole", 3_000_000)
    source.link(b"zlink", b"d/small")
    source.symlink(b"d/up", b"../empty")
    source.link(b"zup", b"d/up")
    source.symlink(b"d/sym", b"./zsym")
    source.symlink(b"d/zsym", b"small")
    source.symlink(b"absolute", b"/etc/passwd")
    source.symlink(b"outside", b"../secret")
    source.symlink(b"circle", b"circle")
    return source


def cat(engine: Engine, path: bytes) -> bytes:
    outlet = io.BytesIO()
    snapshot = engine.snapshots()[-1]
    with engine.opened() as repository:
        cat_file(repository, snapshot, path, outlet, run=Run.start(engine.clock))
    return outlet.getvalue()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"d/small", b"small"),
        (b"/d/small", b"small"),
        (b"./d//small", b"small"),
        (b"zlink", b"small"),
        (b"d/sym", b"small"),
        (b"d/up", b""),
        (b"zup", b""),
        (b"empty", b""),
        (b"d/large", LARGE),
        (b"d/sparse", b"s" * 1000 + bytes(5_000_000) + b"m" + bytes(3) + b"e" * 1000 + bytes(70_000)),
        (b"hole", bytes(3_000_000)),
    ],
)
def test_content_comes_out_as_it_was(engine: Engine, source: TreeSource, path: bytes, expected: bytes) -> None:
    engine.backup(source)
    assert cat(engine, path) == expected


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"d", "d is a directory"),
        (b"", "the root is a directory"),
        (b"d/nothing", "no path 'd/nothing'"),
        (b"absolute", "symlink to /etc/passwd, a path of its host"),
        (b"outside", "outside the snapshot"),
        (b"circle", "leads round in a circle"),
    ],
)
def test_what_has_no_content_is_an_error_that_says_what_it_is(
    engine: Engine, source: TreeSource, path: bytes, said: str
) -> None:
    engine.backup(source)
    with pytest.raises(SnapshotUnknown, match=said):
        cat(engine, path)


def test_a_small_file_that_is_bad_everywhere_sends_nothing(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"small", b"small")
    engine.backup(source)
    for replica in "abc":
        for name in engine.objects(replica, "packs/"):
            engine.lose(replica, name)
    outlet = io.BytesIO()
    with engine.opened() as repository, pytest.raises(RestoreIncomplete, match="small"):
        cat_file(repository, engine.snapshots()[-1], b"small", outlet, run=Run.start(engine.clock))
    assert outlet.getvalue() == b""


def test_a_large_file_that_is_bad_further_on_ends_there_with_an_error(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    content = random.Random(8).randbytes(40_000_000)
    source.file(b"large", content)
    engine.backup(source)
    pack = max(engine.objects("a", "packs/"))
    for replica in "abc":
        engine.lose(replica, pack)
    outlet = io.BytesIO()
    with engine.opened() as repository, pytest.raises(RestoreIncomplete, match="the output ends here, incomplete"):
        cat_file(repository, engine.snapshots()[-1], b"large", outlet, run=Run.start(engine.clock))
    assert len(outlet.getvalue()) < len(content)
    assert content.startswith(outlet.getvalue())
