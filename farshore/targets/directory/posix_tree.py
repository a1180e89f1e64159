"""The names of a restore target: found, made and skipped below one open root, never through a symlink."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

from farshore import limits
from farshore.errors import Bug, ObjectCorrupt, TargetFailed
from farshore.handles import DirectoryHandles, Handle
from farshore.host_resources import check_host
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.targets.directory.root import PRIVATE_DIRECTORY

FILE_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
PRIVATE_FILE = 0o600
NODE_TYPES = {
    EntryKind.FILE: stat.S_IFREG,
    EntryKind.DIRECTORY: stat.S_IFDIR,
    EntryKind.SYMLINK: stat.S_IFLNK,
    EntryKind.FIFO: stat.S_IFIFO,
    EntryKind.SOCKET: stat.S_IFSOCK,
    EntryKind.CHARACTER_DEVICE: stat.S_IFCHR,
    EntryKind.BLOCK_DEVICE: stat.S_IFBLK,
}
# This file system, or this user, cannot have such an entry; every other one can still be restored.
REFUSED = frozenset({errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG, errno.EOPNOTSUPP, errno.EFBIG, errno.EEXIST})
_NODE_REFUSED = REFUSED | {errno.EPERM}
NO_NAMES = (b"", b".", b"..")


def reason(error: OSError) -> str:
    """Return why a system call failed, in the words of the system.

    Raises:
        HostExhausted: It says nothing of the target: this process lacks something.
    """
    check_host(error)
    return (error.strerror or str(error)).lower()


def shown(path: bytes) -> str:
    """Return a path as text for messages."""
    return path.decode("utf-8", "backslashreplace")


class TargetTree:
    """Everything below one root. Safe from any thread.

    Directories and files are made open to their owner alone. An entry that the file system cannot hold is reported and
    skipped; an error of the target as a whole raises `TargetFailed`.
    """

    token = ""  # of a tree that has entries of its own: marks what is under way in it

    def __init__(self, *, path: Path, root: Handle, problems_max: int = limits.PROBLEMS_MAX) -> None:
        self._path = path
        self._problems_max = problems_max
        self._root = root
        self._handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._skipped: set[bytes] = set()
        self._problems: list[Problem] = []
        self._lock = threading.Lock()

    def locate(self, entry: Entry, path: bytes | None = None, *, make: bool = True) -> tuple[Handle | None, bytes]:
        """Return the open parent directory of a path, and the name in it; no handle when it cannot be had here.

        Args:
            entry: That is restored.
            path: To find, when it is not the entry's own.
            make: Whether to make missing parents.
        Raises:
            ObjectCorrupt: No backup can have made this path.
        """
        path = entry.path if path is None else path
        if b"\x00" in path or any(name in NO_NAMES for name in path.split(b"/")):
            raise ObjectCorrupt(f"an entry has the path {shown(path)!r}, which no backup makes")
        if self._root.fd < 0:
            raise Bug("an entry was restored before the restore began, or after it ended")
        above, _, name = path.rpartition(b"/")
        try:
            return self._handles.get(above, make_mode=PRIVATE_DIRECTORY if make else None), name
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise ObjectCorrupt(f"{shown(path)} passes through something that is not a directory") from error
            if error.errno != errno.ENOENT or make:
                self.refuse(entry, error)
            return None, name

    def directory(self, path: bytes) -> Handle:
        """Return a directory that was made, open.

        Raises:
            OSError: It is not there any more.
        """
        return self._handles.get(path)

    def make_directory(self, entry: Entry) -> bool:
        """Make a directory, or find it made as the missing parent of something; return whether it is there."""
        above, name = self.locate(entry)
        if above is None:
            return False
        try:
            try:
                os.mkdir(name, PRIVATE_DIRECTORY, dir_fd=above.fd)
            except FileExistsError:
                try:
                    self._handles.below(above, name, entry.path)
                except PermissionError as error:  # `lost+found`, which mkfs made for root
                    self.refuse(entry, error, refused=frozenset({errno.EACCES}))
                    return False
        except NotADirectoryError as error:
            raise ObjectCorrupt(f"there are two entries of the name {shown(entry.path)}") from error
        except OSError as error:
            self.refuse(entry, error)
            return False
        return True

    def make_file(self, entry: Entry, above: Handle, name: bytes, *, sized: bool = True) -> Handle | None:
        """Make an empty file, of its full size if `sized`; None when the file system cannot hold it."""
        made = False
        try:
            flags = FILE_FLAGS | os.O_CREAT | os.O_EXCL
            file = Handle(os.open(name, flags, PRIVATE_FILE, dir_fd=above.fd))
            made = True
            if sized and entry.size:
                os.ftruncate(file.fd, entry.size)
        except OSError as error:
            if made and error.errno in REFUSED:
                os.unlink(name, dir_fd=above.fd)
            self.refuse(entry, error)
            return None
        return file

    def staged_name(self, entry: Entry, name: bytes) -> bytes:
        """Return the name that an entry has while it is made: its own, because the directory was empty."""
        return name

    def commit(self, entry: Entry, file: Handle | None = None) -> None:
        """Note that an entry is complete; it has its name already."""

    def flush(self) -> None:
        """Return when all entries that were committed have their names."""

    def link(self, first_above: Handle, first_name: bytes, above: Handle, name: bytes) -> None:
        """Give a file one more name.

        Raises:
            OSError: It is not there, or cannot be linked.
        """
        os.link(first_name, name, src_dir_fd=first_above.fd, dst_dir_fd=above.fd, follow_symlinks=False)

    def make_node(self, entry: Entry, above: Handle, name: bytes) -> bool:
        """Make a symlink, FIFO, socket or device; return whether it is there."""
        if entry.kind is EntryKind.SYMLINK and (not entry.target or b"\x00" in entry.target):
            raise ObjectCorrupt(f"the symlink {shown(entry.path)} has a target that no backup makes")
        try:
            if entry.kind is EntryKind.SYMLINK:
                os.symlink(entry.target, name, dir_fd=above.fd)
            else:
                os.mknod(name, NODE_TYPES[entry.kind] | PRIVATE_FILE, entry.rdev, dir_fd=above.fd)
        except OSError as error:
            self.refuse(entry, error, refused=_NODE_REFUSED)
            return False
        return True

    def remove(self, entry: Entry) -> None:
        """Remove a file; do nothing if it is not there."""
        above, name = self.locate(entry, make=False)
        if above is None or self.skipped(entry):
            return
        try:
            os.unlink(name, dir_fd=above.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.failed(entry, error) from error

    def skipped(self, entry: Entry) -> bool:
        """Return whether the entry was reported as one that this file system cannot hold."""
        return entry.path in self._skipped

    def refuse(self, entry: Entry, error: OSError, *, refused: frozenset[int] = REFUSED) -> None:
        """Report and skip an entry that cannot be held here.

        Raises:
            TargetFailed: The error says something of the target, not of the entry.
        """
        if error.errno not in refused:
            raise self.failed(entry, error) from error
        self._skipped.add(entry.path)
        clash = error.errno == errno.EEXIST
        why = "another entry has this name on the file system of the target" if clash else reason(error)
        self.report(entry.path, ProblemCode.UNSUPPORTED, f"{entry.kind} not restored: {why}")

    def failed(self, entry: Entry, error: OSError) -> TargetFailed:
        """Return the error that ends the restore."""
        return TargetFailed(f"cannot restore {shown(entry.path)} to {self._path}: {reason(error)}")

    def report(self, path: bytes, code: ProblemCode, message: str) -> None:
        """Keep a problem for `problems`."""
        with self._lock:
            if len(self._problems) < self._problems_max:
                self._problems.append(Problem(path, code, message))
            elif len(self._problems) == self._problems_max:
                self._problems.append(Problem(b"", ProblemCode.METADATA, "there are more problems than can be listed"))

    def problems(self) -> list[Problem]:
        """Return the problems reported so far."""
        with self._lock:
            return list(self._problems)

    def new_problems(self) -> list[Problem]:
        """Return the problems reported since the last call."""
        with self._lock:
            problems, self._problems = self._problems, []
            return problems

    def close(self) -> None:
        """Close every directory, the root too. Safe to repeat."""
        self._handles.close()
        self._root.close()
