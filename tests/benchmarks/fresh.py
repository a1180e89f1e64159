"""An empty directory for files that are restored, on a file system that never held any.

A file system that others' files were just removed from passes over the inodes that were free a moment ago and looks for
others, so what a tool writes there takes the longer the more was removed before it. A disaster restore meets no such
past. The file system is ext4 at its defaults, in a sparse file on a loop device that reads and writes past the page
cache, so that no byte is cached twice. Where none can be mounted, it is a plain directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.benchmarks.measuring import BenchFailed

FRESH = "restores go onto a fresh ext4 each, on a loop device"
PLAIN = "restores go into a directory, since no file system can be mounted here"
_BYTES_MIN = 1536 * 1024**2  # smaller ones get smaller blocks and another layout
_BYTES_PER_BYTE = 2.5  # a mirror has a changed file twice while it is brought up to date; and journal, and last blocks
_BYTES_PER_FILE = 16 * 1024  # mkfs makes one inode for so many bytes
_RELEASE_S = 30.0  # processes of an interrupted tool are gone long before


def can_mount(work: Path) -> bool:
    """Return whether file systems can be made and mounted below `work`: by root, where there are loop devices."""
    try:
        with fresh_directory(work / "probe", content_bytes=0, files=0, mounts=True):
            return True
    except BenchFailed:
        return False


@contextmanager
def fresh_directory(place: Path, *, content_bytes: int, files: int, mounts: bool) -> Iterator[Path]:
    """Make `place`, yield an empty directory in it, and remove all of it; what an earlier run left goes first.

    Args:
        content_bytes: What will be put there.
        files: How many files and directories that is.
        mounts: Make and mount a file system, rather than a directory.

    Raises:
        BenchFailed: No file system can be made or mounted, or it is still in use after `_RELEASE_S`.
    """
    release(place)
    try:
        place.mkdir(parents=True)
        if mounts:
            _mount(place, max(_BYTES_MIN, int(content_bytes * _BYTES_PER_BYTE)) + files * _BYTES_PER_FILE)
        directory = place / "files"  # beside the lost+found of a file system
        directory.mkdir()
        yield directory
    finally:
        release(place)


def release(place: Path) -> None:
    """Unmount and remove what `fresh_directory` made at a place, whatever there is of it. Safe to repeat.

    Raises:
        BenchFailed: It is still in use after `_RELEASE_S`.
    """
    deadline = time.monotonic() + _RELEASE_S
    while place.is_mount():
        try:
            _call("umount", place)
        except BenchFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    image = _image(place)
    if image.exists():
        with suppress(BenchFailed):  # no loop devices here, so it is on none
            for line in _call("losetup", "--noheadings", "--output", "NAME", "--associated", image).splitlines():
                _call("losetup", "--detach", line.strip())
        image.unlink()
    shutil.rmtree(place, ignore_errors=True)


def _mount(place: Path, size: int) -> None:
    """Mount a new ext4 at a place. Whoever unmounts it, the loop device goes with it."""
    image = _image(place)
    with image.open("wb") as file:
        file.truncate(size)
    device = _call("losetup", "--direct-io=on", "--find", "--show", image).strip()
    try:
        _call("mkfs.ext4", "-q", device)
        # inode tables are zeroed as they are used, by no thread of the kernel beside the tool
        _call("mount", "-t", "ext4", "-o", "noinit_itable", device, place)
    finally:
        _call("losetup", "--detach", device)  # as soon as it is no longer mounted


def _image(place: Path) -> Path:
    return place.with_name(f"{place.name}.ext4")


def _call(*command: str | Path) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(command, env={"PATH": path, "LANG": "C"}, capture_output=True, text=True, check=True)
    except OSError as error:
        raise BenchFailed(f"{command[0]}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise BenchFailed(f"{' '.join(map(str, command))}: {error.stderr.strip()}") from error
    return done.stdout
