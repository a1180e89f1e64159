"""Metadata of names in a directory tree as entries: stat results, owners' names, extended attributes, page sizes.

Extended attributes are read through /proc/self/fd/N/name, the only way to reach them that follows neither a symlink
nor a parent that was renamed, and opens nothing (a FIFO or device node would act on being opened).
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable

from farshore import limits
from farshore.handles import Handle, open_unnoticed
from farshore.host_resources import check_host
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.sources.posix_status import EARLIEST_NS, LATEST_NS, Status, fit, what_is_lost

KINDS = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFDIR: EntryKind.DIRECTORY,
    stat.S_IFLNK: EntryKind.SYMLINK,
    stat.S_IFIFO: EntryKind.FIFO,
    stat.S_IFSOCK: EntryKind.SOCKET,
    stat.S_IFCHR: EntryKind.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryKind.BLOCK_DEVICE,
}
_DEVICES = (EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE)
# No blocking on a FIFO, no terminal taken over, no symlink followed, nothing left to a child process.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_GONE = frozenset({errno.ENODATA, errno.ENOENT, errno.ENOTDIR})  # since it was listed; reading its content reports it
_SQLITE_MAGIC = b"SQLite format 3\x00"
_SQLITE_HEADER_BYTES = 100


Xattrs = tuple[tuple[bytes, bytes], ...]
Report = Callable[[bytes, ProblemCode, str], None]  # path, code, message


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Return the path of the parent directory and the name in it."""
    above, _, name = path.rpartition(b"/")
    return above, name


def reason(error: OSError) -> str:
    """Return why a system call failed, in the words of the system.

    Raises:
        HostExhausted: It says nothing of what was read: this process lacks something.
    """
    check_host(error, reading=True)
    return (error.strerror or str(error)).lower()


class Owners:
    """Names of users and groups, looked up once each: a directory service may cost a network round trip."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}

    def user(self, uid: int) -> str:
        """Return the name of a user; empty when there is none."""
        name = self._users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):
                name = ""
            self._users[uid] = name
        return name

    def group(self, gid: int) -> str:
        """Return the name of a group; empty when there is none."""
        name = self._groups.get(gid)
        if name is None:
            try:
                name = grp.getgrgid(gid).gr_name
            except (KeyError, OverflowError):
                name = ""
            self._groups[gid] = name
        return name


class MetadataReader:
    """Makes entries out of the answers of the kernel. Safe from any thread."""

    def __init__(self, *, report: Report) -> None:
        self._owners = Owners()
        self._report = self.report = report
        self._without_xattrs: set[int] = set()  # devices whose file system knows none
        self._named_xattrs = hasattr(os, "listxattr") and os.path.isdir("/proc/self/fd")
        if hasattr(os, "listxattr") and not self._named_xattrs:
            report(
                b"",
                ProblemCode.METADATA,
                "extended attributes of directories and special files need /proc, which is absent",
            )

    def entry(
        self,
        path: bytes,
        kind: EntryKind,
        status: Status,
        *,
        target: bytes = b"",
        xattrs: Xattrs = (),
        page_bytes: int = 0,
        listed: bool = False,
    ) -> Entry:
        """Return the entry of a name. Sizes and link counts of directories say nothing and are left out.

        Numbers that no entry can hold are made to fit, which is reported of a name that was just `listed`.
        """
        mode, uid, gid = status.st_mode, status.st_uid, status.st_gid
        mtime_ns, ctime_ns = status.st_mtime_ns, status.st_ctime_ns
        if not (EARLIEST_NS <= mtime_ns <= LATEST_NS and EARLIEST_NS <= ctime_ns <= LATEST_NS and uid >= 0 <= gid):
            if listed and (lost := what_is_lost(status)):
                self._report(path, ProblemCode.METADATA, lost)
            status = fit(status)
            uid, gid, mtime_ns, ctime_ns = status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns
        return Entry(  # by position: names would double the time
            path,
            kind,
            mode & 0o7777,
            uid,
            gid,
            self._owners.user(uid),
            self._owners.group(gid),
            status.st_size if stat.S_ISREG(mode) else 0,
            mtime_ns,
            ctime_ns,
            status.st_ino,
            status.st_dev,
            status.st_rdev if kind in _DEVICES else 0,
            1 if kind is EntryKind.DIRECTORY else status.st_nlink,
            target,
            xattrs,
            page_bytes,
        )

    def complete(
        self, entry: Entry, above: Handle, name: bytes, *, page_globs: tuple[bool, bool], again: bool = False
    ) -> Entry:
        """Return `entry` with its extended attributes and page size. Never raises; what fails is reported.

        Args:
            entry: As the walk made it.
            above: The directory that holds the name; the entry itself for the root, with an empty name.
            name: In that directory.
            page_globs: Whether the path is known to be paged, and whether it may be an SQLite database.
            again: Whether its attributes were asked for before, so that failures were reported then.
        """
        xattrs: Xattrs = ()
        if entry.device not in self._without_xattrs:
            place = above.fd if not name else b"/proc/self/fd/%d/%s" % (above.fd, name)
            if self._named_xattrs or not name:
                xattrs = self.xattrs(place, entry.path, entry.device, again=again)
        page_bytes = limits.PAGE_BYTES if page_globs[0] else 0
        if page_globs[1]:
            page_bytes = _sqlite_page_bytes(above, name) or page_bytes
        if not xattrs and not page_bytes:
            return entry
        return entry._replace(xattrs=xattrs, page_bytes=page_bytes)

    def xattrs(self, place: int | bytes, path: bytes, device: int, *, again: bool = False) -> Xattrs:
        """Return every extended attribute we may read, sorted by name. POSIX ACLs are among them.

        Args:
            place: An open file, or the path of a name whose symlink is not followed.
            path: Of the entry, for reports.
            device: Of the name; one without attributes is asked only once.
            again: Whether it was asked before, so that failures were reported then.
        """
        if device in self._without_xattrs or not hasattr(os, "listxattr"):
            return ()
        follow = isinstance(place, int)
        try:
            names = os.listxattr(place, follow_symlinks=follow)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                self._without_xattrs.add(device)
            elif not again and error.errno not in _GONE:
                self._report(path, ProblemCode.METADATA, f"extended attributes cannot be listed: {reason(error)}")
            return ()
        if not names:
            return ()
        found = []
        for name in sorted(os.fsencode(n) for n in names):
            try:
                found.append((name, os.getxattr(place, name, follow_symlinks=follow)))
            except OSError as error:
                if not again and error.errno not in _GONE:
                    shown = name.decode("utf-8", "backslashreplace")
                    self._report(
                        path, ProblemCode.METADATA, f"extended attribute {shown} cannot be read: {reason(error)}"
                    )
        return tuple(found)


def _sqlite_page_bytes(above: Handle, name: bytes) -> int:
    """Return the page size that an SQLite database states in its header, or 0 when the file is none."""
    header = b""
    try:
        file = Handle(open_unnoticed(name, FILE_FLAGS, dir_fd=above.fd))
        header = os.pread(file.fd, _SQLITE_HEADER_BYTES, 0)
    except OSError as error:  # opening it for its content will report the reason
        check_host(error, reading=True)
    if not header.startswith(_SQLITE_MAGIC):
        return 0
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 64 * limits.KIB if page_bytes == 1 else page_bytes  # 65,536 does not fit its two bytes
    return page_bytes if page_bytes >= 512 and page_bytes & (page_bytes - 1) == 0 else 0
