from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.compare import DIFFERENCES_MAX, differences


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_bytes(b"x" * 3_000_000)
    (source / "plain").write_bytes(b"plain")
    (source / "link").symlink_to("plain")
    shutil.copytree(source, tmp_path / "restored", symlinks=True)
    return source, tmp_path / "restored"


def flip(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(2_500_000)
        file.write(b"y")
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "other content": lambda root: flip(root / "inner" / "file"),
    "not restored": lambda root: (root / "plain").unlink(),
    "not in the source": lambda root: (root / "more").touch(),
    "the link leads elsewhere": lambda root: relink(root / "link"),
    "another kind of file": lambda root: replace_by_directory(root / "plain"),
    "other permissions": lambda root: (root / "plain").chmod(0o600),
    "another time": lambda root: os.utime(root / "plain", ns=(0, 1)),
}


def test_an_exact_copy_has_no_differences(pair: tuple[Path, Path]) -> None:
    assert differences(*pair, metadata=True) == []


@pytest.mark.parametrize("kind", CHANGES)
def test_every_difference_is_found(kind: str, pair: tuple[Path, Path]) -> None:
    CHANGES[kind](pair[1])
    (found,) = differences(*pair, metadata=True)
    assert found.startswith(kind)


def test_permissions_and_times_can_be_left_out_and_times_can_be_coarse(pair: tuple[Path, Path]) -> None:
    os.utime(pair[0] / "plain", ns=(0, 1_000_000_001))
    os.utime(pair[1] / "plain", ns=(0, 1_999_999_999))
    assert differences(*pair, metadata=True, time_step_ns=1_000_000_000) == []
    assert differences(*pair, metadata=True) != []
    (pair[1] / "plain").chmod(0o600)
    assert differences(*pair, metadata=False) == []


def test_there_is_an_end_to_what_is_reported(pair: tuple[Path, Path]) -> None:
    for number in range(100):
        (pair[0] / f"more-{number}").touch()
    assert len(differences(*pair, metadata=True)) == DIFFERENCES_MAX
