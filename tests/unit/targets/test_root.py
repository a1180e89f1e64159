"""The root of a restore: the way to it, and whose it is meanwhile."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import TargetFailed, TargetNotEmpty
from farshore.handles import Handle
from farshore.model import Entry, EntryKind
from farshore.targets.directory.existing import ExistingDirectoryTarget
from farshore.targets.directory.root import open_root, path_of
from farshore.targets.directory.target import DirectoryTarget
from tests.contract.directory_trees import ROOT

OTHER = 1234
for_root = pytest.mark.skipif(not ROOT, reason="only root can give something away")


def opened(path: Path) -> Path:
    """Where the way to a root leads."""
    root = Handle(open_root(path))
    return Path(os.readlink(f"/proc/self/fd/{root.fd}"))


def ownership(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def test_own_symlinks_are_followed_and_what_is_missing_is_made(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "far").symlink_to(tmp_path / "near")
    (tmp_path / "near").symlink_to("./real/../real")
    assert opened(tmp_path / "far" / "a" / ".." / "b") == tmp_path / "real" / "b"
    assert (tmp_path / "real" / "a").is_dir()


def test_a_relative_path_begins_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened(Path("a/b")) == tmp_path / "a" / "b"


def test_a_circle_of_symlinks_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(TargetFailed, match="too many levels of symbolic links"):
        DirectoryTarget(path=tmp_path / "a", clock=SystemClock()).begin()


@for_root
@pytest.mark.parametrize("kind", [DirectoryTarget, ExistingDirectoryTarget])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_symlink_of_another_user_is_not_followed(
    tmp_path: Path, kind: type[DirectoryTarget | ExistingDirectoryTarget], below: str
) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    os.lchown(link, OTHER, OTHER)
    with pytest.raises(TargetFailed, match="symlink link, which belongs to another user") as failure:
        kind(path=link / below, clock=SystemClock()).begin()
    assert "Name the directory" in failure.value.hint
    assert not list((tmp_path / "real").iterdir())


@for_root
def test_an_empty_target_of_another_user_is_roots_until_the_end(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, OTHER, OTHER + 1)
    place.chmod(0o2777)
    target = DirectoryTarget(path=place, clock=SystemClock())
    target.begin()
    assert ownership(place) == (0, OTHER + 1, 0o700)
    target.place(Entry(b"file", EntryKind.FILE, 0o600), b"")
    target.finish()
    assert ownership(place) == (OTHER, OTHER + 1, 0o2777)  # no entry says otherwise


@for_root
def test_an_entry_of_the_root_says_whose_it_is_in_the_end(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, OTHER, OTHER)
    target = DirectoryTarget(path=place, clock=SystemClock())
    target.begin()
    target.make(Entry(b"", EntryKind.DIRECTORY, 0o750, 77, 78))
    target.finish()
    assert ownership(place) == (77, 78, 0o750)


@for_root
def test_a_target_that_is_not_empty_stays_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    (place / "something").mkdir(parents=True)
    os.chown(place, OTHER, OTHER)
    place.chmod(0o755)
    with pytest.raises(TargetNotEmpty):
        DirectoryTarget(path=place, clock=SystemClock()).begin()
    assert ownership(place) == (OTHER, OTHER, 0o755)


@for_root
def test_a_target_that_cannot_be_taken_over_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, OTHER, OTHER)
    place.chmod(0o777)
    tmp_path.chmod(0o755)
    script = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from farshore.clock import SystemClock\n"
        "from farshore.errors import TargetFailed\n"
        "from farshore.targets.directory.target import DirectoryTarget\n"
        "try:\n"
        f"    DirectoryTarget(path=Path({str(place)!r}), clock=SystemClock()).begin()\n"
        "except TargetFailed as error:\n"
        "    print(error.message, error.hint)\n"
    )
    # Root of a user namespace is not root of what others own, like root at a server that squashes it.
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "belongs to another user" in done.stdout
    assert "cannot be taken over" in done.stdout
    assert "Restore as that user" in done.stdout


def test_the_path_to_an_open_root_outlives_its_name(tmp_path: Path) -> None:
    root = Handle(open_root(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (path_of(root, tmp_path / "a") / "file").touch()
    assert (tmp_path / "b" / "file").exists()
