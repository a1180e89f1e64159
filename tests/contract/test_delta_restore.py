"""`restore --delta` on real trees: afterwards the tree is what a fresh restore makes, and no more was written."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farshore import limits
from farshore.errors import TargetFailed, TargetNotEmpty
from tests.contract.delta_trees import PAGE, Shelter, mangle, scribble
from tests.contract.directory_trees import as_nobody, build_everything, may_mount, tree_removed

CHANCE = random.Random(11)
IMAGE_PAGES = 1000


@pytest.fixture
def shelter(tmp_path: Path) -> Shelter:
    """Made without a snapshot yet."""
    return Shelter(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    with tree_removed(tmp_path / "target") as path:
        yield path


@pytest.fixture
def everything(shelter: Shelter) -> Iterator[Shelter]:
    """One of everything, and an image; backed up."""
    build_everything(os.fsencode(shelter.source))
    (shelter.source / "disk.img").write_bytes(CHANCE.randbytes(IMAGE_PAGES * PAGE))
    shelter.backup()
    with tree_removed(shelter.source):
        yield shelter


def test_one_of_everything_comes_back_however_it_was_mangled(everything: Shelter, target: Path) -> None:
    everything.restore(target, fresh=True)
    assert everything.differences(target) == []
    mangle(target, CHANCE)
    scribble(target / "disk.img", [3, 4, 700], CHANCE)
    result = everything.restore(target, delete=True)
    assert not result.problems
    assert everything.differences(target) == []
    assert everything.actions()[b"disk.img"] == "patch"
    assert everything.actions()[b"contents/large"] == "patch"
    assert everything.actions()[b"contents/zeros"] == "metadata"  # read here, not fetched
    assert everything.restore(target, delete=True).delta.differences == 0  # type: ignore[union-attr]


def test_a_tree_that_is_as_it_was_costs_no_content_and_no_index(everything: Shelter, target: Path) -> None:
    everything.restore(target, fresh=True)
    result = everything.restore(target)
    assert result.delta is not None
    assert (result.delta.differences, result.delta.bytes_read, result.bytes_restored) == (0, 0, 0)
    assert result.requests[0].bytes_down < 30_000  # commit, header, log, slots; the manifest is cached
    assert everything.differences(target) == []


def test_by_content_sees_what_size_and_time_hide(everything: Shelter, target: Path) -> None:
    everything.restore(target, fresh=True)
    for name in ("contents/one", "disk.img", "contents/large", "contents/hole between"):
        path = target / name
        before = path.stat()
        with path.open("r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert everything.restore(target, dry_run=True).delta.differences == 0  # type: ignore[union-attr]
    result = everything.restore(target, by_content=True)
    assert result.delta is not None
    assert (result.delta.replaced, result.delta.patched) == (2, 2)
    assert everything.differences(target) == []


def test_a_new_directory_and_one_that_was_restored_half(everything: Shelter, target: Path) -> None:
    everything.restore(target)
    assert everything.differences(target) == []
    for name in ("contents", "names", "links"):
        subprocess.run(["rm", "-rf", target / name], check=True)
    (target / "contents").mkdir(mode=0o700)
    (target / "contents/large").write_bytes((everything.source / "contents/large").read_bytes()[: 5 * limits.MIB])
    with pytest.raises(TargetNotEmpty) as refused:
        everything.restore(target, fresh=True)
    assert "--delta" in refused.value.hint
    result = everything.restore(target)
    assert everything.actions()[b"contents/large"] == "patch"
    assert result.bytes_restored < 6 * limits.MIB  # what was there of the large file was not fetched again
    assert everything.differences(target) == []


def test_an_image_with_one_page_in_a_hundred_changed_is_read_once_and_written_by_a_hundredth(
    shelter: Shelter, target: Path
) -> None:
    data = CHANCE.randbytes(IMAGE_PAGES * PAGE)
    (shelter.source / "disk.img").write_bytes(data)
    shelter.backup()
    shelter.restore(target, fresh=True)
    inode = (target / "disk.img").stat().st_ino
    scribble(target / "disk.img", CHANCE.sample(range(IMAGE_PAGES), IMAGE_PAGES // 100), CHANCE)
    result = shelter.restore(target)
    assert result.delta is not None
    assert result.delta.bytes_read == len(data)
    assert result.bytes_restored == IMAGE_PAGES // 100 * PAGE
    assert shelter.differences(target) == []
    assert (target / "disk.img").stat().st_ino == inode  # this file system shares no content: patched in place


def test_an_image_that_grew_or_shrank_and_one_with_holes(shelter: Shelter, target: Path) -> None:
    for name in ("grown.img", "shrunken.img", "holes.img"):
        with (shelter.source / name).open("wb") as file:
            file.write(CHANCE.randbytes(2 * limits.MIB))
            if name == "holes.img":
                file.seek(6 * limits.MIB)
                file.write(CHANCE.randbytes(limits.MIB))
    shelter.backup()
    shelter.restore(target, fresh=True)
    with (target / "grown.img").open("ab") as file:
        file.write(b"x" * 10_000)
    os.truncate(target / "shrunken.img", limits.MIB + 1)
    with (target / "holes.img").open("r+b") as file:
        file.seek(4 * limits.MIB)
        file.write(b"y" * 10_000)
    result = shelter.restore(target)
    assert result.delta is not None
    assert result.delta.patched == 3
    assert result.bytes_restored <= limits.MIB
    assert shelter.differences(target) == []


@pytest.mark.parametrize(
    ("selected", "fetched"),
    [
        ({"below": b"old"}, 3 * PAGE),
        ({"below": b"old/disk.img"}, 3 * PAGE),
        ({"include": ["/old"], "strip": 1}, 3 * limits.MIB),  # its chunks are compared
    ],
    ids=["subtree", "file", "strip"],
)
def test_an_image_is_not_compared_with_the_pages_of_another_at_the_place_that_it_gets(
    shelter: Shelter, target: Path, selected: dict[str, Any], fetched: int
) -> None:
    """`restore SNAPSHOT:/old` puts old/disk.img where the snapshot has a disk.img of its own."""
    (shelter.source / "old").mkdir()
    for name in ("disk.img", "old/disk.img"):
        (shelter.source / name).write_bytes(CHANCE.randbytes(IMAGE_PAGES * PAGE))
    shelter.backup()
    shelter.restore(target, fresh=True)
    shelter.restore(target, by_content=True, **selected)
    wanted = (shelter.source / "old/disk.img").read_bytes()
    assert (target / "disk.img").read_bytes() == wanted
    scribble(target / "disk.img", [3, 4, 700], CHANCE)
    result = shelter.restore(target, by_content=True, **selected)
    assert (target / "disk.img").read_bytes() == wanted
    assert 0 < result.bytes_restored <= fetched, "its own pages were not compared with"


def test_an_open_file_keeps_its_content_while_its_name_gets_the_new_one(shelter: Shelter, target: Path) -> None:
    (shelter.source / "config").write_text("good")
    shelter.backup()
    target.mkdir()
    (target / "config").write_text("bad")
    with (target / "config").open() as held:
        shelter.restore(target)
        assert held.read() == "bad"
    assert (target / "config").read_text() == "good"


def test_without_delete_extra_names_stay_and_a_full_directory_in_the_way_is_reported(
    shelter: Shelter, target: Path
) -> None:
    (shelter.source / "a").write_text("a")
    (shelter.source / "b").write_text("b")
    shelter.backup()
    (target / "a").mkdir(parents=True)
    (target / "a/precious").write_text("precious")
    (target / "b").mkdir()
    (target / "more").write_text("more")
    result = shelter.restore(target)
    assert [(one.path, one.code) for one in result.problems] == [(b"a", "refused")]
    assert (target / "a/precious").read_text() == "precious"
    assert (target / "b").read_text() == "b"  # the directory was empty
    assert (target / "more").exists()
    assert result.delta is not None
    assert result.delta.extra == 2


def test_delete_touches_nothing_outside_and_nothing_behind_a_symlink(
    shelter: Shelter, target: Path, tmp_path: Path
) -> None:
    (shelter.source / "d").mkdir()
    (shelter.source / "d/file").write_text("file")
    shelter.backup()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("outside")
    (outside / "other").write_text("outside")
    target.mkdir()
    (target / "d").symlink_to(outside)
    (target / "extra").symlink_to(outside)
    result = shelter.restore(target, delete=True)
    assert not result.problems
    assert sorted(one.name for one in outside.iterdir()) == ["file", "other"]
    assert (outside / "file").read_text() == "outside"
    assert not (target / "d").is_symlink()
    assert not os.path.lexists(target / "extra")
    assert shelter.differences(target) == []


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_delete_leaves_what_is_mounted_inside(shelter: Shelter, target: Path, tmp_path: Path, kind: str) -> None:
    (shelter.source / "file").write_text("file")
    shelter.backup()
    (target / "mounted").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("precious")
    mount = ["mount", "-t", "tmpfs", "none"] if kind == "tmpfs" else ["mount", "--bind", str(other)]
    subprocess.run([*mount, target / "mounted"], check=True)
    try:
        (target / "mounted/precious").write_text("precious")
        (target / "gone").write_text("gone")
        shelter.restore(target, delete=True)
        assert (target / "mounted/precious").read_text() == "precious"
        assert not (target / "gone").exists()
        assert (target / "file").exists()
    finally:
        subprocess.run(["umount", target / "mounted"], check=True)


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_what_the_snapshot_has_below_a_mount_is_restored_there_and_the_rest_of_it_left(
    shelter: Shelter, target: Path, tmp_path: Path, kind: str
) -> None:
    (shelter.source / "mounted").mkdir()
    (shelter.source / "mounted/same").write_text("same")
    (shelter.source / "mounted/other").write_text("other")
    shelter.backup()
    (target / "mounted").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    mount = ["mount", "-t", "tmpfs", "none"] if kind == "tmpfs" else ["mount", "--bind", str(tmp_path / "elsewhere")]
    subprocess.run([*mount, target / "mounted"], check=True)
    try:
        shelter.restore(target)
        (target / "mounted/other").write_text("changed")
        (target / "mounted/precious").write_text("precious")
        shelter.restore(target, delete=True)
        assert shelter.actions()[b"mounted/other"] == "replace"
        assert b"mounted/same" not in shelter.actions()
        assert (target / "mounted/other").read_text() == "other"
        assert (target / "mounted/precious").read_text() == "precious"
    finally:
        subprocess.run(["umount", target / "mounted"], check=True)


def test_delete_with_patterns_deletes_only_what_they_mean(shelter: Shelter, target: Path) -> None:
    (shelter.source / "docs").mkdir()
    (shelter.source / "docs/a.txt").write_text("a")
    (shelter.source / "other").write_text("other")
    shelter.backup()
    (target / "docs").mkdir(parents=True)
    for name in ("docs/b.txt", "docs/keep.me", "more"):
        (target / name).write_text(name)
    shelter.restore(target, delete=True, include=["docs/"], exclude=["*.me"])
    assert sorted(str(one.relative_to(target)) for one in target.rglob("*")) == [
        "docs", "docs/a.txt", "docs/keep.me", "more",
    ]  # fmt: skip


def test_hard_links_are_shared_as_in_the_snapshot_and_with_nobody_else(shelter: Shelter, target: Path) -> None:
    (shelter.source / "a").write_text("same")
    (shelter.source / "b").hardlink_to(shelter.source / "a")
    (shelter.source / "c").write_text("same")
    os.utime(shelter.source / "c", ns=(0, (shelter.source / "a").stat().st_mtime_ns))
    shelter.backup()
    target.mkdir()
    (target / "a").write_text("same")
    os.utime(target / "a", ns=(0, (shelter.source / "a").stat().st_mtime_ns))
    (target / "c").hardlink_to(target / "a")
    (target / "b").write_text("same")
    shelter.restore(target)
    assert shelter.differences(target) == []


def test_an_image_with_another_name_outside_is_not_changed_there(
    shelter: Shelter, target: Path, tmp_path: Path
) -> None:
    (shelter.source / "disk.img").write_bytes(CHANCE.randbytes(300 * PAGE))
    shelter.backup()
    shelter.restore(target, fresh=True)
    scribble(target / "disk.img", [7], CHANCE)
    outside = tmp_path / "outside.img"
    outside.hardlink_to(target / "disk.img")
    before = outside.read_bytes()
    shelter.restore(target)
    assert shelter.actions()[b"disk.img"] == "patch"
    assert outside.read_bytes() == before
    assert shelter.differences(target) == []


def test_a_file_with_a_name_outside_is_replaced_and_not_given_to_anybody(
    shelter: Shelter, target: Path, tmp_path: Path
) -> None:
    """Or a user would become the owner of a file elsewhere, by one more name for it, of a file like theirs."""
    (shelter.source / "like").write_text("same")
    (shelter.source / "like").chmod(0o666)
    shelter.backup()
    target.mkdir()
    outside = tmp_path / "outside"
    outside.write_text("same")
    outside.chmod(0o600)
    os.utime(outside, ns=(0, (shelter.source / "like").stat().st_mtime_ns))
    (target / "like").hardlink_to(outside)
    shelter.restore(target)
    assert shelter.actions()[b"like"] == "replace"
    assert outside.stat().st_mode & 0o777 == 0o600
    assert shelter.differences(target) == []


@pytest.mark.skipif(not may_mount(), reason="needs the rights of root")
@pytest.mark.parametrize("attribute", ["i", "a"])
def test_an_immutable_file_is_reported_and_the_rest_is_restored(shelter: Shelter, target: Path, attribute: str) -> None:
    for name in ("fixed", "free"):
        (shelter.source / name).write_text("good")
    shelter.backup()
    target.mkdir()
    for name in ("fixed", "free", "extra"):
        (target / name).write_text("bad")
    paths = [target / "fixed", target / "extra"]
    subprocess.run(["chattr", f"+{attribute}", *paths], check=True)
    try:
        result = shelter.restore(target, delete=True)
    finally:
        subprocess.run(["chattr", f"-{attribute}", *paths], check=True)
    word = "immutable" if attribute == "i" else "append-only"
    said = {one.path: one.message for one in result.problems}
    assert set(said) == {b"fixed", b"extra"}
    assert all(word in message for message in said.values())
    assert (target / "fixed").read_text() == "bad"
    assert (target / "free").read_text() == "good"
    assert result.delta is not None
    assert result.delta.deleted == 0
    assert [one.name for one in target.iterdir() if one.name.startswith(".farshore")] == []


def test_a_dry_run_lists_everything_and_changes_nothing(everything: Shelter, target: Path) -> None:
    everything.restore(target, fresh=True)
    mangle(target, CHANCE)
    before = os.fsencode(target)
    seen = subprocess.run(["find", before, "-printf", "%p %i %C@ %s\\n"], check=True, capture_output=True).stdout
    result = everything.restore(target, dry_run=True, delete=True)
    after = subprocess.run(["find", before, "-printf", "%p %i %C@ %s\\n"], check=True, capture_output=True).stdout
    assert seen == after
    assert result.delta is not None
    assert result.delta.differences == len(everything.reported) > 15
    assert {"add", "replace", "patch", "link", "metadata", "delete"} == set(everything.actions().values())


def test_a_dry_run_of_a_directory_that_is_not_there_makes_none(shelter: Shelter, target: Path) -> None:
    (shelter.source / "a").write_text("a")
    shelter.backup()
    result = shelter.restore(target, dry_run=True)
    assert shelter.actions() == {b"": "metadata", b"a": "add"}
    assert result.delta is not None
    assert result.delta.bytes_fetched == 1
    assert not target.exists()


def test_what_a_killed_run_left_is_removed_and_nothing_that_only_looks_like_it(shelter: Shelter, target: Path) -> None:
    (shelter.source / "a").write_text("a")
    shelter.backup()
    target.mkdir()
    left = target / f".farshore-restoring-{'0' * 32}"
    alike = [target / f".farshore-restoring-{'0' * 31}", target / ".farshore-restoring-notes"]
    for path in (left, *alike):
        path.write_text("?")
    result = shelter.restore(target)
    assert not left.exists()
    assert all(path.exists() for path in alike)
    assert result.delta is not None
    assert result.delta.leftovers == 1


def test_two_restores_into_one_tree_do_not_run_at_once(shelter: Shelter, target: Path) -> None:
    (shelter.source / "a").write_text("a")
    shelter.backup()
    target.mkdir()
    holder = subprocess.Popen(["flock", target, "cat"], stdin=subprocess.PIPE)
    try:
        for _ in range(1000):
            if subprocess.run(["flock", "-n", target, "true"], check=False).returncode:
                break
        with pytest.raises(TargetFailed, match="another restore"):
            shelter.restore(target)
    finally:
        holder.communicate()
    shelter.restore(target)


def test_a_directory_with_a_default_acl_gives_none_to_what_is_restored_in_it(everything: Shelter, target: Path) -> None:
    everything.restore(target, fresh=True)
    (target / "attributes/default acl/without").unlink()
    (target / "attributes/default acl/inherits").unlink()
    everything.restore(target)
    assert everything.differences(target) == []


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_a_lost_found_of_the_file_system_stays(shelter: Shelter, tmp_path: Path) -> None:
    (shelter.source / "a").write_text("a")
    shelter.backup()
    image, target = tmp_path / "image", tmp_path / "mounted"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * limits.MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        (target / "extra").write_text("extra")
        shelter.restore(target, delete=True)
        assert sorted(one.name for one in target.iterdir()) == ["a", "lost+found"]
    finally:
        subprocess.run(["umount", target], check=True)


def test_modes_of_directories_that_are_closed_to_us_are_as_they_were(shelter: Shelter, target: Path) -> None:
    (shelter.source / "d").mkdir()
    (shelter.source / "d/a").write_text("a")
    (shelter.source / "d").chmod(0o555)
    shelter.backup()
    shelter.restore(target, fresh=True)
    (target / "d/a").write_text("changed")
    shelter.restore(target)
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o555
    assert shelter.differences(target) == []


@pytest.mark.skipif(not may_mount(), reason="needs root, to be somebody else")
def test_without_root_directories_that_are_closed_to_their_owner_are_worked_in() -> None:
    root = Path(tempfile.mkdtemp(prefix="farshore-delta-test-"))
    with tree_removed(root):
        shelter = Shelter(root)
        (shelter.source / "closed").mkdir()
        for name, mode in (("a", 0o4755), ("b", 0o400)):
            (shelter.source / "closed" / name).write_text(name)
            os.chown(shelter.source / "closed" / name, 65534, 65534)
            (shelter.source / "closed" / name).chmod(mode)
        for path in (shelter.source, shelter.source / "closed"):
            os.chown(path, 65534, 65534)
        (shelter.source / "closed").chmod(0o555)
        shelter.backup()
        subprocess.run(["chown", "-R", "65534:65534", root], check=True)
        (shelter.source / "closed/a").chmod(0o4755)  # which a new owner takes away
        target = root / "target"

        def restored(**options: bool) -> tuple[object, int]:
            result = shelter.restore(target, **options)  # type: ignore[arg-type]
            return result.problems, result.delta.differences if result.delta else -1

        assert as_nobody(lambda: restored(fresh=True)) == ((), -1)
        (target / "closed/a").write_text("changed")
        (target / "closed/more").write_text("more")
        assert as_nobody(lambda: restored(delete=True))[0] == ()
        assert shelter.differences(target) == []
        assert as_nobody(lambda: restored(by_content=True, dry_run=True)) == ((), 0)
