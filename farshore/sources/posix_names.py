"""All names that one file is known to have on this machine: hard links in its directory, and places it is mounted at.

A single file can be mounted on another name (`docker run -v app.db:/data/app.db`); files that a program makes beside
one of its names are not beside the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from farshore.host_resources import check_host
from farshore.model import dataclass
from farshore.mountinfo import Mount, read_mounts


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names of a file, the one asked for first.

    `complete`: there are no others, neither further hard links nor the place that it is mounted from.
    """

    paths: tuple[Path, ...]
    complete: bool


def find_names(path: Path) -> FileNames:
    """Return the names of the file at an absolute path without symbolic links.

    Raises:
        OSError: It cannot be looked at, or its directory cannot be listed.
    """
    status = path.stat()
    mounts = _known_mounts()
    views = [path, *(view for view in _views(mounts, os.fsencode(path)) if _is(view, status))]
    points = {mount.point for mount in mounts}
    seen: dict[tuple[int, int, str], Path] = {}
    linked = 0
    for view in views:
        if os.fsencode(view) in points:  # a name of its own, and no hard link
            seen.setdefault((0, 0, str(view)), view)
            continue
        for name in (view, *(_links_beside(view, status) if status.st_nlink > 1 else ())):
            above = name.parent.stat()
            key = (above.st_dev, above.st_ino, name.name)
            linked += key not in seen  # one directory may be seen at several places
            seen.setdefault(key, name)
    return FileNames(tuple(seen.values()), complete=linked >= status.st_nlink)


def other_paths(mounts: Iterable[Mount], path: bytes) -> Iterator[bytes]:
    """Yield all other paths at which mounts may show the file at an absolute path."""
    mounts = list(mounts)
    covering = [mount for mount in reversed(mounts) if _covers(mount.point, path)]
    here = max(covering, key=lambda mount: len(mount.point), default=None)
    if here is None:
        return
    inside = _join(here.root, path[len(here.point.rstrip(b"/")) :])
    for mount in mounts:
        if mount.device == here.device and _covers(mount.root, inside):
            found = _join(mount.point, inside[len(mount.root.rstrip(b"/")) :])
            if found != path:
                yield found


def _views(mounts: list[Mount], path: bytes) -> Iterator[Path]:
    for found in dict.fromkeys(other_paths(mounts, path)):
        yield Path(os.fsdecode(found))


def _known_mounts() -> list[Mount]:
    try:
        return read_mounts()
    except OSError as error:
        check_host(error)
        return []


def _links_beside(path: Path, status: os.stat_result) -> Iterator[Path]:
    with os.scandir(path.parent) as entries:
        found = [entry.name for entry in entries if entry.inode() == status.st_ino and entry.name != path.name]
    for name in sorted(found):
        if _is(path.with_name(name), status):
            yield path.with_name(name)


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def _covers(above: bytes, path: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")


def _join(above: bytes, rest: bytes) -> bytes:
    return (above.rstrip(b"/") + b"/" + rest.lstrip(b"/")).rstrip(b"/") or b"/"
