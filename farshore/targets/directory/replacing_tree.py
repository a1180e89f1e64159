"""The names of a tree that has entries already: a new one is made under a temporary name, then replaces the old one.

A temporary name has the token of its run, so that those of a killed run can be recognized. The old entry keeps its name
until the new one is complete; where that replaces a file, the content is on the disk before.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
import threading
from itertools import count
from pathlib import Path

from farshore.errors import ObjectCorrupt
from farshore.handles import Handle
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.targets.directory.posix_files import sync_file_system
from farshore.targets.directory.posix_metadata import open_itself, place_of
from farshore.targets.directory.posix_tree import REFUSED, TargetTree, reason
from farshore.targets.directory.root import PRIVATE_DIRECTORY

_PREFIX = b".farshore-restoring-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{32}")
# One name cannot be replaced; every other one still can.
_KEPT = REFUSED | {
    errno.EPERM, errno.EACCES, errno.EBUSY, errno.ETXTBSY, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
}  # fmt: skip
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_OWNER_BITS = 0o700


def is_temporary(name: bytes) -> bool:
    """Return whether a name is a temporary one of a restore."""
    return _TEMPORARY.fullmatch(name) is not None


class ReplacingTree(TargetTree):
    """As `TargetTree`, for a root that need not be empty. Safe from any thread.

    Args:
        token: Eight hex digits of this run.
    """

    def __init__(self, *, path: Path, root: Handle, token: str) -> None:
        super().__init__(path=path, root=root)
        self.token = token
        self._numbers = count()
        self._staged: dict[bytes, bytes] = {}  # path -> temporary name
        self._complete: list[Entry] = []  # to be given their names
        self._numbers_lock = threading.Lock()

    def locate(self, entry: Entry, path: bytes | None = None, *, make: bool = True) -> tuple[Handle | None, bytes]:
        try:
            return super().locate(entry, path, make=make)
        except ObjectCorrupt as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self.refuse(entry, error.__cause__)  # what is in the way could not be removed, and that was reported
            return None, b""

    def stage(self, entry: Entry) -> bytes:
        """Return a new temporary name for an entry."""
        name = self._staged[entry.path] = self._new_name()
        return name

    def staged_name(self, entry: Entry, name: bytes) -> bytes:
        return self._staged.get(entry.path, name)

    def make_file(self, entry: Entry, above: Handle, name: bytes, *, sized: bool = True) -> Handle | None:
        file = super().make_file(entry, above, self.stage(entry), sized=sized)
        if file is None:
            self._staged.pop(entry.path, None)
        return file

    def make_node(self, entry: Entry, above: Handle, name: bytes) -> bool:
        made = super().make_node(entry, above, self.stage(entry))
        if not made:
            self._staged.pop(entry.path, None)
        return made

    def make_directory(self, entry: Entry) -> bool:
        """Make a directory, or find it; another entry of its name is removed. Return whether it is there."""
        above, name = self.locate(entry)
        if above is None:
            return False
        try:
            try:
                os.mkdir(name, PRIVATE_DIRECTORY, dir_fd=above.fd)
            except FileExistsError:
                status = os.stat(name, dir_fd=above.fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    open_to_owner(above, name, status)
                    self._handles.below(above, name, entry.path)
                else:
                    os.unlink(name, dir_fd=above.fd)
                    os.mkdir(name, PRIVATE_DIRECTORY, dir_fd=above.fd)
        except OSError as error:
            self.refuse(entry, error)
            return False
        return True

    def commit(self, entry: Entry, file: Handle | None = None) -> None:
        if file is None:
            self._complete.append(entry)
            return
        above, name = self.locate(entry)
        if above is None:
            return
        if is_there(above, name):
            os.fsync(file.fd)
        self._rename(entry, above, name)

    def flush(self) -> None:
        entries, self._complete = self._complete, []
        places = [(entry, *self.locate(entry)) for entry in entries]
        if any(above is not None and is_there(above, name, stat.S_IFREG) for _, above, name in places):
            sync_file_system(self._root)  # once for a batch: each file by itself takes as long as all of them
        for entry, above, name in places:
            if above is not None:
                self._rename(entry, above, name)

    def link(self, first_above: Handle, first_name: bytes, above: Handle, name: bytes) -> None:
        temporary = self._new_name()
        super().link(first_above, first_name, above, temporary)
        try:
            _replace(above, temporary, name)
        finally:
            with contextlib.suppress(FileNotFoundError):  # it stays where the name is of the same file already
                os.unlink(temporary, dir_fd=above.fd)

    def remove(self, entry: Entry) -> None:
        """Remove the temporary file of an entry; the old entry of its name stays."""
        temporary = self._staged.pop(entry.path, None)
        above, _ = self.locate(entry, make=False)
        if above is None or temporary is None:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=above.fd)

    def delete(self, entry: Entry) -> bool:
        """Remove a name that the snapshot has not, an empty directory too; return whether it is gone."""
        above, name = self.locate(entry, make=False)
        if above is None:
            return True
        try:
            if os.fstat(above.fd).st_dev != os.fstat(self._root.fd).st_dev:
                raise OSError(errno.EBUSY, "it is in another file system")
            try:
                _delete(entry, above, name)
            except PermissionError as error:
                if error.errno != errno.EACCES or os.geteuid() == 0:
                    raise
                os.fchmod(above.fd, os.fstat(above.fd).st_mode & 0o7777 | _OWNER_BITS)
                _delete(entry, above, name)
        except FileNotFoundError:
            return True
        except OSError as error:
            self.report(entry.path, ProblemCode.REFUSED, f"it was not deleted: {_why(error, above, name)}")
            return False
        return True

    def refuse(self, entry: Entry, error: OSError, *, refused: frozenset[int] = REFUSED) -> None:
        if error.errno not in _KEPT:
            super().refuse(entry, error, refused=refused)
            return
        self._skipped.add(entry.path)
        above, name = None, b""
        with contextlib.suppress(OSError):
            parent, _, name = entry.path.rpartition(b"/")
            above = self._handles.get(parent)
        self.report(entry.path, ProblemCode.REFUSED, f"{entry.kind} not restored: {_why(error, above, name)}")

    def _new_name(self) -> bytes:
        with self._numbers_lock:
            number = next(self._numbers)
        return _PREFIX + b"%s%08x%016x" % (self.token.encode(), os.getpid() & 0xFFFFFFFF, number)

    def _rename(self, entry: Entry, above: Handle, name: bytes) -> None:
        temporary = self._staged.pop(entry.path, None)
        if temporary is None:
            return
        try:
            _replace(above, temporary, name)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=above.fd)
            self.refuse(entry, error)


def is_there(above: Handle, name: bytes, sort: int = 0) -> bool:
    """Return whether there is something of a name, or something of a sort."""
    try:
        mode = os.stat(name, dir_fd=above.fd, follow_symlinks=False).st_mode
    except OSError:
        return False
    return not sort or stat.S_IFMT(mode) == sort


def open_to_owner(above: Handle, name: bytes, status: os.stat_result) -> None:
    """Let the owner, who is no superuser, work in a directory; its mode is put back at the end.

    Raises:
        OSError: It is somebody else's.
    """
    mode = status.st_mode & 0o7777
    if os.geteuid() == 0 or status.st_uid != os.geteuid() or mode & _OWNER_BITS == _OWNER_BITS:
        return
    handle = open_itself(above, name, EntryKind.DIRECTORY)
    os.chmod(place_of(handle), mode | _OWNER_BITS)


def _replace(above: Handle, temporary: bytes, name: bytes) -> None:
    """Give a complete entry its name; an empty directory in the way is removed."""
    try:
        os.rename(temporary, name, src_dir_fd=above.fd, dst_dir_fd=above.fd)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=above.fd)
        os.rename(temporary, name, src_dir_fd=above.fd, dst_dir_fd=above.fd)


def _delete(entry: Entry, above: Handle, name: bytes) -> None:
    if entry.kind is EntryKind.DIRECTORY:
        os.rmdir(name, dir_fd=above.fd)
    else:
        os.unlink(name, dir_fd=above.fd)


def _why(error: OSError, above: Handle | None, name: bytes) -> str:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return "there is a directory with something in it"
    if error.errno == errno.EBUSY:
        return "it is in use by the system: something is mounted there"
    if error.errno == errno.EPERM and above is not None:
        for place in (name, b"."):
            kind = _attribute(above, place)
            if kind:
                where = "it" if place == name else "its directory"
                return f"{where} is {kind}; 'chattr' can change that"
    return reason(error)


def _attribute(above: Handle, name: bytes) -> str:
    """Return the attribute that keeps a name from being changed, as the file system reports it."""
    with contextlib.suppress(OSError):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = Handle(os.open(name, flags, dir_fd=above.fd))
        if stat.S_IFMT(os.fstat(file.fd).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            return ""
        flags = struct.unpack("<l", fcntl.ioctl(file.fd, _GET_FLAGS, bytes(struct.calcsize("<l"))))[0]
        if flags & _IMMUTABLE:
            return "immutable (attribute i)"
        if flags & _APPEND_ONLY:
            return "append-only (attribute a)"
    return ""
