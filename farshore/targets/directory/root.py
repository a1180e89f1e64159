"""The root of a restore: opened past no link of somebody else, and nobody else's until the restore is done.

The owner of a directory can replace any name in it, between any two system calls of a restore that works there as root.
So the way to the root follows only symlinks of root and of this user, and an empty root belongs to this user, open to
nobody else, from before the first entry until the snapshot's owner and mode are set. Decision 0018 says more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from pathlib import Path

from farshore.errors import TargetFailed
from farshore.handles import DIRECTORY_FLAGS, Handle
from farshore.model import dataclass

PRIVATE_DIRECTORY = 0o700
_STEP_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MAX = 40  # as the kernel has it
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Owner and mode of a root before a restore."""

    uid: int
    gid: int
    mode: int


def open_root(path: Path) -> int:
    """Return the descriptor of a directory, which is made with its parents where it is missing.

    Raises:
        TargetFailed: A symlink on the way belongs to another user.
        OSError: It is no directory, or cannot be made or opened.
    """
    here = _start(path.is_absolute())
    names = deque(_names(os.fspath(path)))
    links = 0
    while names:
        name = names.popleft()
        step = Handle(_open_or_make(name, here))
        status = os.fstat(step.fd)
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        if status.st_uid not in (0, os.geteuid()):
            raise TargetFailed(
                f"the way to {path} passes through the symlink {name}, which belongs to another user "
                f"(number {status.st_uid})",
                "Name the directory that it points at, if that is the one you mean.",
            )
        links += 1
        if links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink("", dir_fd=step.fd)
        names.extendleft(reversed(_names(target)))
        if target.startswith("/"):
            here = _start(absolute=True)
    return os.open(".", DIRECTORY_FLAGS, dir_fd=here.fd)


def claim(root: Handle, path: Path) -> Ownership:
    """Make a directory this user's alone; return whose it was and with which mode.

    A user without privilege gets no directory of somebody else; they work in it as it is.

    Raises:
        TargetFailed: This is root, the directory belongs to another user, and it cannot be had.
        OSError: It cannot be looked at.
    """
    status = os.fstat(root.fd)
    if status.st_uid != 0 and os.geteuid() == 0:
        try:
            os.fchown(root.fd, 0, -1)
        except OSError as error:
            raise TargetFailed(
                f"{path} belongs to another user (number {status.st_uid}) and cannot be taken over meanwhile: "
                f"{(error.strerror or str(error)).lower()}",
                "Restore as that user, or into a directory of root.",
            ) from error
    with contextlib.suppress(PermissionError):  # of a user without privilege, or a file system without modes
        os.fchmod(root.fd, PRIVATE_DIRECTORY)
    for name in _ACLS:  # everything made inside would inherit them
        with contextlib.suppress(OSError, AttributeError):  # there is none, or there are no ACLs here at all
            os.removexattr(root.fd, name)
    return Ownership(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


def give_back(root: Handle, before: Ownership) -> None:
    """Undo `claim`, but for ACLs, as far as this user can."""
    if os.fstat(root.fd).st_uid != before.uid:
        os.fchown(root.fd, before.uid, before.gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(root.fd, before.mode)


def path_of(root: Handle, path: Path) -> Path:
    """Return a path to an open directory that no renaming leads elsewhere, or its own where there is no /proc."""
    here = Path(f"/proc/self/fd/{root.fd}")
    return here if here.is_dir() else path


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _start(absolute: bool) -> Handle:  # noqa: FBT001 - one of two
    return Handle(os.open("/" if absolute else ".", _STEP_FLAGS | os.O_DIRECTORY))


def _open_or_make(name: str, above: Handle) -> int:
    try:
        return os.open(name, _STEP_FLAGS, dir_fd=above.fd)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # somebody was first
            os.mkdir(name, dir_fd=above.fd)
        return os.open(name, _STEP_FLAGS, dir_fd=above.fd)
