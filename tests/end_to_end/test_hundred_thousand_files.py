"""A large tree of real files: backed up by a host that cannot read, restored identical, then again with few changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.setting import Place, Setting, rsync_differences

ENTRIES = 100_000


@pytest.mark.timeout(900)
def test_a_hundred_thousand_real_files_restore_identical(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    _fill(tree)
    places: dict[str, Place] = {
        name: {"url": (tmp_path / name).as_uri(), "endpoint": None, "credentials": {}} for name in ("one", "two")
    }
    for name in places:
        (tmp_path / name).mkdir()
    setting = Setting(tmp_path, places, {"tree": f'type = "directory"\npath = "{tree}"'})
    setting.initialize(write_only=True)
    time.sleep(2.1)  # an entry stamped within two seconds of a backup is read again by the next, to be safe
    first = setting.backup("tree")
    assert first.counts.files >= ENTRIES
    assert first.problems == ()
    target = tmp_path / "restored"
    setting.restore("tree", target, replica="two")
    assert rsync_differences(tree, target) == ""
    _change(tree)
    second = setting.backup("tree")
    assert second.counts.bytes_read < 1_000_000
    assert second.counts.entries_unchanged > ENTRIES
    again = tmp_path / "again"  # the first stays: inodes that were free a moment ago make ext4 look long for others
    setting.restore("tree", again, replica="one")
    assert rsync_differences(tree, again) == ""


def _fill(tree: Path) -> None:
    """Copy what is installed, again until there is enough, and add what a plain copy would lose."""
    installed = [Path("/usr/share"), Path(sys.prefix) / "lib", Path("/usr/lib/python3"), Path("/usr/include")]
    count = 0
    for number in range(100):
        for source in installed:
            if source.is_dir() and count < ENTRIES:
                name = tree / f"{number}{str(source).replace('/', '-')}"
                # Small files alone: a hundred thousand of them are the point, not gigabytes.
                done = subprocess.run(
                    ["rsync", "-rlptgoD", "--max-size=60k", "--stats", f"{source}/", str(name)],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                line = next(line for line in done.stdout.splitlines() if "regular files transferred" in line)
                count += int(line.rpartition(":")[2].replace(",", "").replace(".", ""))
    with (tree / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"in the middle")
        file.truncate(9_000_000)
    (tree / "first name").write_bytes(os.urandom(10_000))
    os.link(tree / "first name", tree / "0-usr-share" / "second name")
    os.setxattr(tree / "first name", "user.origin", b"\x00\xffbinary")
    (Path(os.fsdecode(os.fsencode(tree) + b"/odd \xff\n name"))).write_bytes(b"odd")
    (tree / "empty").mkdir(mode=0o711)
    os.mkfifo(tree / "pipe")
    os.utime(tree / "empty", ns=(1, 1_234_567_890_123_456_789))


def _change(tree: Path) -> None:
    (tree / "added").write_bytes(os.urandom(100_000))
    (tree / "first name").write_bytes(os.urandom(10_000))
    os.truncate(tree / "sparse", 8_000_000)
    shutil.rmtree(next(path for path in sorted((tree / "0-usr-share").iterdir()) if path.is_dir()))
