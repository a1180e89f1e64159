"""Puts owner, attributes, mode and times back, in the order that keeps them all, and reports what the system refuses.

Owner first, because a change of owner clears setuid and file capabilities; extended attributes (POSIX ACLs and
capabilities are among them) next, while the mode still lets the owner write; then the mode, because setting an ACL may
clear setgid; times last, because everything before touches them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from farshore.handles import Handle
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.targets.directory.posix_tree import NODE_TYPES, reason

Report = Callable[[bytes, ProblemCode, str], None]  # path, code, message

_SET_IDS = 0o6000
_ID_MAX = 2**32 - 2  # the one behind it means "leave the owner as it is" to the system
_SPECIAL_BITS = 0o7000
_OURS = (b"user.", b"trusted.", b"system.posix_acl_", b"security.capability")
PLAIN_TIMES_NS = range(2**31 * 1_000_000_000)  # what every file system can hold


def open_itself(above: Handle, name: bytes, kind: EntryKind, *, names_max: int = 1) -> Handle:
    """Return the inode that a name has now, opened by path only (`O_PATH`): what has the name later is another.

    Another user who may write in the directory may have put something else there: a symlink, or one more name of a
    file elsewhere. So the kind is checked, and how many names there are of it.

    Raises:
        OSError: There is nothing, or something of another kind or with more names.
    """
    handle = Handle(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above.fd))
    status = os.fstat(handle.fd)
    directory = kind is EntryKind.DIRECTORY
    if stat.S_IFMT(status.st_mode) != NODE_TYPES[kind] or (status.st_nlink > names_max and not directory):
        raise OSError(errno.EPERM, "something else has its name by now")
    return handle


def place_of(handle: Handle) -> bytes:
    """Return a path for system calls that follow it to what is open, even where that is a symlink, and no further."""
    return b"/proc/self/fd/%d" % handle.fd


def is_restorable_xattr(name: bytes) -> bool:
    """Return whether an attribute is one that a user sets; others are labels that the system gives by itself."""
    return name.startswith(_OURS)


class MetadataWriter:
    """Safe from any thread. Never raises `OSError`: metadata that could not be put back is a problem, not a failure.

    Args:
        report: Called with each problem.
        exact: Whether to remove attributes that an entry has not: of a file that was there before, or that inherited
            an ACL.
    """

    def __init__(self, *, report: Report, exact: bool = False) -> None:
        self._report = report
        self._exact = exact

    def apply(self, entry: Entry, file: Handle) -> None:
        """Put back the metadata of an open file or directory."""
        self._apply(entry, file.fd)

    def apply_existing(self, entry: Entry, above: Handle, name: bytes) -> None:
        """Put back the metadata of a name that was there before, and may be closed to us.

        Raises:
            OSError: It is not there any more, or is something else by now.
        """
        handle = open_itself(above, name, entry.kind, names_max=max(entry.links, 1))
        self._apply(entry, place_of(handle))

    def apply_named(self, entry: Entry, above: Handle, name: bytes) -> None:
        """Put back the metadata of a name that must not be opened: a symlink, FIFO, socket or device."""
        try:
            handle = open_itself(above, name, entry.kind)
        except OSError as error:
            self._report(entry.path, ProblemCode.METADATA, f"owner, mode and time could not be set: {reason(error)}")
            return
        self._apply(entry, place_of(handle))

    def _apply(self, entry: Entry, place: int | bytes) -> None:
        owned = self._chown(entry, place)
        if self._exact:
            self._remove_other_xattrs(entry, place)
        for name, value in entry.xattrs:
            try:
                os.setxattr(place, name, value)
            except OSError as error:
                shown = name.decode("utf-8", "backslashreplace")
                self._report(
                    entry.path, ProblemCode.METADATA, f"extended attribute {shown} could not be set: {reason(error)}"
                )
        if entry.kind is not EntryKind.SYMLINK:  # whose mode means nothing
            self._chmod(entry, place, owned=owned)
        try:
            os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
            if entry.mtime_ns not in PLAIN_TIMES_NS:
                kept_ns = os.stat(place).st_mtime_ns
                if kept_ns != entry.mtime_ns:
                    self._report(
                        entry.path, ProblemCode.METADATA, "the file system cannot hold a time this old or this late"
                    )
        except OSError as error:
            self._report(entry.path, ProblemCode.METADATA, f"the time could not be set: {reason(error)}")
        except OverflowError:
            self._report(
                entry.path, ProblemCode.METADATA, "the time could not be set: this system has none so early or so late"
            )

    def _remove_other_xattrs(self, entry: Entry, place: int | bytes) -> None:
        wanted = {name for name, _ in entry.xattrs}
        try:
            names = [os.fsencode(name) for name in os.listxattr(place)]
        except OSError:
            return  # a file system without any
        for name in names:
            if name in wanted or not is_restorable_xattr(name):
                continue
            try:
                os.removexattr(place, name)
            except OSError as error:
                shown = name.decode("utf-8", "backslashreplace")
                self._report(
                    entry.path,
                    ProblemCode.METADATA,
                    f"extended attribute {shown} could not be removed: {reason(error)}",
                )

    def _chown(self, entry: Entry, place: int | bytes) -> bool:
        """Set the owner; return whether it now is the one in the snapshot."""
        if max(entry.uid, entry.gid) > _ID_MAX:
            self._report(entry.path, ProblemCode.METADATA, f"the owner {entry.uid}:{entry.gid} is none that can be set")
            return False
        try:
            os.chown(place, entry.uid, entry.gid)
            return True
        except OSError as error:
            cause = reason(error)
        with contextlib.suppress(OSError):  # anybody may give a file to a group of theirs
            os.chown(place, -1, entry.gid)
        with contextlib.suppress(OSError):
            status = os.stat(place)
            if (status.st_uid, status.st_gid) == (entry.uid, entry.gid):
                return True
        self._report(entry.path, ProblemCode.METADATA, f"the owner {entry.uid}:{entry.gid} could not be set: {cause}")
        return False

    def _chmod(self, entry: Entry, place: int | bytes, *, owned: bool) -> None:
        # A setuid file that could not be given to its owner would lend its powers to whoever restores it.
        mode = entry.mode if owned or entry.kind is EntryKind.DIRECTORY else entry.mode & ~_SET_IDS
        try:
            os.chmod(place, mode)
            if entry.mode & _SPECIAL_BITS:
                kept = os.stat(place).st_mode & 0o7777
                if kept != entry.mode:
                    self._report(entry.path, ProblemCode.METADATA, f"the mode is {kept:04o} and was {entry.mode:04o}")
        except OSError as error:
            self._report(entry.path, ProblemCode.METADATA, f"the mode could not be set: {reason(error)}")
