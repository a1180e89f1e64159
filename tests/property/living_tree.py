"""A real directory tree that rules change, and fingerprints of it that tell everything a restore must bring back."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from farshore.clock import SystemClock

Fingerprint = dict[bytes, tuple[object, ...]]
_PAGED_BYTES = 1_300_000  # large enough to be cut by pages, under a name that says so


@dataclass
class ShiftedClock(SystemClock):
    """The machine's clock, ahead by what tests let pass: files on disk get old without anybody waiting."""

    ahead_s: float = 0.0

    def now_utc(self) -> datetime:
        return super().now_utc() + timedelta(seconds=self.ahead_s)

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        if until is not None:
            return super().wait_s(seconds, until)
        self.advance(seconds)
        return False

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead_s += seconds


class LivingTree:
    """A directory with a few names in it, which comes and goes in every way that a file system knows."""

    NAMES = ("a", "b", "d/a", "d/b", "d/e/a", "\udcff odd\n", "disk.img", "f")

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self._chance = random.Random(seed)
        root.mkdir()

    def write(self, name: str, size: int) -> None:
        """Write a file; a disk image keeps most of its pages."""
        path = self._free(name)
        if name.endswith(".img"):
            data = bytearray(path.read_bytes() if path.is_file() else self._chance.randbytes(_PAGED_BYTES))
            for _ in range(3):
                at = self._chance.randrange(len(data) // 4096) * 4096
                data[at : at + 4096] = self._chance.randbytes(4096)
            path.write_bytes(data)
            return
        path.write_bytes(self._chance.randbytes(size))

    def sparse(self, name: str) -> None:
        """Write a file with holes."""
        path = self._free(name)
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.seek(500_000)
            file.write(self._chance.randbytes(5000))
            file.truncate(900_000)

    def link(self, name: str, other: str) -> None:
        """Give a file one more name."""
        first = self.root / other
        if first.is_file() and not first.is_symlink() and name != other:
            path = self._free(name)
            if not path.exists() or not path.samefile(first):
                path.unlink(missing_ok=True)
                path.hardlink_to(first)

    def symlink(self, name: str, target: str) -> None:
        path = self._free(name)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def chmod(self, name: str, mode: int) -> None:
        path = self.root / name
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)

    def move(self, name: str, to: str) -> None:
        first = self.root / name
        if os.path.lexists(first) and name != to:
            self._free(to)
            if os.path.lexists(first):
                first.rename(self.root / to)

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _free(self, name: str) -> Path:
        """Return a path whose parent is there and which is no directory."""
        path = self.root / name
        for parent in list(path.relative_to(self.root).parents)[-2::-1]:
            above = self.root / parent
            if os.path.lexists(above) and (above.is_symlink() or not above.is_dir()):
                above.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        if path.is_symlink():
            path.unlink()
        return path


def fingerprint(root: Path) -> Fingerprint:
    """Return what every path is: kind, mode, time, content or target, extended attributes, and its first name."""
    top = os.fsencode(root)
    shown: Fingerprint = {}
    first_names: dict[int, bytes] = {}
    paths = [top]
    for folder, directories, files in os.walk(top):
        paths += [os.path.join(folder, name) for name in directories + files]
    for path in sorted(paths):
        status = os.lstat(path)
        relative = os.path.relpath(path, top)
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = (status.st_size, hashlib.sha256(file.read()).hexdigest())
        xattrs = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in _xattrs(path))
        name = first_names.setdefault(status.st_ino, relative)
        shown[relative] = (kind, stat.S_IMODE(status.st_mode), status.st_mtime_ns, content, xattrs, name)
    return shown


def _xattrs(path: bytes) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))
