"""A tree of many small files, drawn from what is installed on the machine: the same machine gives the same tree.

Regular files and symlinks are taken in the order of their sorted paths until there are enough. Where the machine has
too few, numbered variants of those that were taken follow, each with a first line of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

FILE_BYTES_MAX = 16 * 1024 * 1024  # the others are few, and the image is there for large files
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class TreeCounts:
    """What a tree holds."""

    files: int
    links: int
    directories: int
    bytes_total: int


def installed_roots() -> list[Path]:
    """Return where software is installed, without what users keep: system, Python, its environment, node modules."""
    roots = [Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), _REPOSITORY / ".cache" / "npm"]
    chosen: list[Path] = []
    for root in roots:
        if root.is_dir() and not any(root.is_relative_to(other) for other in chosen):
            chosen.append(root)
    return chosen


def make_tree(target: Path, *, files_wanted: int, roots: Sequence[Path]) -> TreeCounts:
    """Copy files and symlinks below `target`, which must not exist, until there are `files_wanted` files."""
    taken: list[Path] = []
    for number, root in enumerate(roots):
        for source in _sorted_files(root):
            if len(taken) == files_wanted:
                return count_tree(target)
            place = target / f"{number}" / source.relative_to(root)
            if _copy(source, place):
                taken.append(place)
    if not taken:
        raise FileNotFoundError(f"no files to draw from in {', '.join(map(str, roots))}")
    for number, original in zip(count(1), cycle(taken)):
        if len(taken) == files_wanted:
            break
        place = target / "variants" / f"{number // 1000:04}" / f"{number:06}-{original.name}"[:200]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(f"variant {number}\n".encode() + original.read_bytes())
        taken.append(place)
    return count_tree(target)


def count_tree(root: Path) -> TreeCounts:
    """Return what a tree holds, without following links."""
    files = links = directories = bytes_total = 0
    for entry in _entries(root):
        status = entry.stat(follow_symlinks=False)
        files += stat.S_ISREG(status.st_mode)
        links += stat.S_ISLNK(status.st_mode)
        directories += stat.S_ISDIR(status.st_mode)
        bytes_total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return TreeCounts(files=files, links=links, directories=directories, bytes_total=bytes_total)


def _copy(source: Path, place: Path) -> bool:
    """Copy a file with its mode and time, or a symlink; return whether it was a file. What vanishes is left out."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_symlink():
            place.symlink_to(os.readlink(source))
            return False
        shutil.copyfile(source, place)
        shutil.copystat(source, place)
    except OSError:
        place.unlink(missing_ok=True)
        return False
    return True


def _sorted_files(root: Path) -> Iterator[Path]:
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if os.access(entry.path, os.R_OK | os.X_OK) and entry.name != "__pycache__":
                yield from _sorted_files(Path(entry.path))
        elif entry.is_symlink() or (
            entry.is_file() and os.access(entry.path, os.R_OK) and entry.stat().st_size <= FILE_BYTES_MAX
        ):
            yield Path(entry.path)


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(root) as found:
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
