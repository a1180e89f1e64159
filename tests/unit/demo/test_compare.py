"""The demo's judges must see every kind of difference, or its happy end means nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from infra.demo.compare import compare_directories, compare_ledgers
from infra.demo.diary import DemoFailed, format_table


def make_tree(root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    (root / ".cache").mkdir()
    (root / ".cache" / "junk").write_text("left out")
    (root / "folder" / "file").write_text("content")
    (root / "folder" / "twin").hardlink_to(root / "folder" / "file")
    (root / "link").symlink_to("folder")
    (root / "plain").write_text("plain")


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    original, restored = tmp_path / "original", tmp_path / "restored"
    make_tree(original)
    subprocess.run(["cp", "-a", f"{original}", f"{restored}"], check=True)
    (restored / ".cache" / "junk").unlink()
    os.utime(restored, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    return original, restored


def append_and_keep_times(path: Path) -> None:
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_text("CONTENT")
    os.utime(path, ns=times)


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def break_hard_link(path: Path) -> None:
    folder, times = path.parent.stat(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=times)
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: append_and_keep_times(root / "folder" / "file"),
    "missing": lambda root: (root / "plain").unlink(),
    "extra": lambda root: (root / "extra").touch(),
    "mode": lambda root: (root / "plain").chmod(0o600),
    "nanosecond": lambda root: os.utime(root / "plain", ns=(0, (root / "plain").stat().st_mtime_ns + 1)),
    "link": lambda root: relink(root / "link"),
    "attribute": lambda root: os.setxattr(root / "plain", "user.farshore", b"\x00"),
    "hard link": lambda root: break_hard_link(root / "folder" / "twin"),
}


def test_the_same_trees_are_the_same(trees: tuple[Path, Path]) -> None:
    assert compare_directories(*trees, leave_out=".cache").startswith("6 entries are the same")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_difference_of_trees_is_found(trees: tuple[Path, Path], change: Callable[[Path], object]) -> None:
    original, restored = trees
    change(restored)
    with pytest.raises(DemoFailed, match="differ"):
        compare_directories(original, restored, leave_out=".cache")


def make_ledger(path: Path, cents: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table booking (cents integer)")
        connection.executemany("insert into booking values (?)", ((number,) for number in range(1_000)))
        connection.execute("insert into booking values (?)", (cents,))


def test_ledgers_are_compared_row_for_row(tmp_path: Path) -> None:
    for name, cents in (("a", 1), ("same", 1), ("other", 2)):
        make_ledger(tmp_path / name, cents)
    assert "the same" in compare_ledgers(tmp_path / "a", tmp_path / "same")
    with pytest.raises(DemoFailed, match="differs"):
        compare_ledgers(tmp_path / "a", tmp_path / "other")


def test_columns_of_numbers_are_aligned_to_the_right() -> None:
    assert format_table(("what", "s"), [("long name", "1.5"), ("b", "10.0")]).splitlines() == [
        "what          s",
        "---------  ----",
        "long name   1.5",
        "b          10.0",
    ]
