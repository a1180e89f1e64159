"""A12: nobody swaps symlinks into a directory of theirs while root restores there; a file of root keeps its mode."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.handles import Handle
from farshore.model import EntryKind, ProblemCode
from farshore.targets.directory import posix_metadata, target
from farshore.targets.directory.root import Ownership
from tests.attacks.local_user import NOBODY, attack_running
from tests.contract.delta_trees import Shelter
from tests.contract.directory_trees import ROOT

pytestmark = pytest.mark.skipif(not ROOT, reason="the restore under attack is one of root")
SCRIPT = Path(__file__).parent / "a12_symlink_swap.py"
FIFOS = 60
ROUNDS_MAX = 50  # of a mutant, which loses in the first or second
# Between making a FIFO and setting its mode, a restore sets these: some time to swap it.
ATTRIBUTES = {f"trusted.farshore-{number}": b"x" for number in range(60)}


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    top = Path(tempfile.mkdtemp(prefix="farshore-attacks-", dir="/dev/shm"))  # which keeps attributes of FIFOs
    top.chmod(0o755)
    shelter = Shelter(top)
    for number in range(FIFOS):
        path = shelter.source / f"fifo-{number:03d}"
        os.mkfifo(path)
        path.chmod(0o666)
        for name, value in ATTRIBUTES.items():
            os.setxattr(path, name, value)
    shelter.backup()
    yield shelter
    shutil.rmtree(top)


@pytest.fixture
def secret(shelter: Shelter) -> Path:
    path = shelter.root / "secret"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def restore_under_attack(shelter: Shelter, secret: Path, *, fresh: bool) -> tuple[int, list[str]]:
    """Restore once; return how many FIFOs were swapped, and the problems told of them."""
    place = shelter.root / "target"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    with attack_running(SCRIPT, str(place), str(secret)) as swapped:
        result = shelter.restore(place, fresh=fresh)
    return swapped[0], [one.message for one in result.problems if one.code is ProblemCode.METADATA]


def test_a_tree_that_others_own_is_restored_into_without_following_their_links(shelter: Shelter, secret: Path) -> None:
    for _ in range(ROUNDS_MAX):
        swapped, problems = restore_under_attack(shelter, secret, fresh=False)
        assert mode_of(secret) == 0o600
        assert all("could not be set" in one for one in problems)
        if swapped:
            return
    pytest.fail("the attack did nothing")


def test_an_empty_target_that_others_own_is_taken_over_until_all_is_there(shelter: Shelter, secret: Path) -> None:
    place = shelter.root / "target"
    assert restore_under_attack(shelter, secret, fresh=True) == (0, [])
    assert mode_of(secret) == 0o600
    assert place.stat().st_uid == 0  # as the snapshot has it, and not before
    assert not shelter.differences(place)


def follow(above: Handle, name: bytes, _kind: EntryKind, *, names_max: int = 1) -> Handle:
    """Hold whatever a path leads to, as a `chmod` by name does."""
    assert names_max
    return Handle(os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=above.fd))


def leave(root: Handle, _path: Path) -> Ownership:
    """Take nothing over."""
    status = os.fstat(root.fd)
    return Ownership(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


@pytest.mark.parametrize("fresh", [False, True], ids=["tree", "empty"])
def test_the_attack_succeeds_against_a_restore_by_name(
    shelter: Shelter, secret: Path, monkeypatch: pytest.MonkeyPatch, *, fresh: bool
) -> None:
    monkeypatch.setattr(posix_metadata, "open_itself", follow)
    monkeypatch.setattr(target, "claim", leave)
    for _ in range(ROUNDS_MAX):
        restore_under_attack(shelter, secret, fresh=fresh)
        if mode_of(secret) == 0o666:
            return
    pytest.fail("the attack is too weak to show anything")
