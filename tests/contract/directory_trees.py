"""Trees for the tests of directory fidelity.

One with everything a tree can hold, a copier over the two contracts, and a strict comparer that shares no code with
what it judges.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from farshore.clock import SystemClock
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.sources.base import Data, Item
from farshore.sources.directory.source import DirectorySource
from farshore.targets.base import Target
from farshore.targets.directory.target import DirectoryTarget

ROOT = os.geteuid() == 0
DEEP = b"deep"  # below it paths are longer than any program takes in one call, rsync among them
VAST = b"vast"  # a file of a terabyte, all hole but its end; rsync would read it all
BLOCK = 4096
LONG_AGO_NS = -86_400_000_000_000 * 3650 + 123_456_789  # 1960
FAR_AHEAD_NS = 4_102_444_800_987_654_321  # 2100
PLACED_BYTES_MAX = 64 * 1024


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return a POSIX ACL as the kernel keeps it: (tag, permissions, id) for each line."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS_ACL = acl((1, 6, NOBODY), (2, 7, 1234), (4, 4, NOBODY), (8, 2, 4321), (16, 7, NOBODY), (32, 0, NOBODY))
DIRECTORY_ACL = acl((1, 7, NOBODY), (2, 7, 1234), (4, 4, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY))
DEFAULT_ACL = acl((1, 7, NOBODY), (2, 5, 1234), (4, 5, NOBODY), (16, 5, NOBODY), (32, 5, NOBODY))
# cap_net_raw=ep, revision 2
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def write_sparse(path: bytes, size: int, *runs: tuple[int, bytes]) -> None:
    """Make a file of `size` bytes with data only at the given offsets."""
    with open(path, "wb") as file:
        for offset, data in runs:
            os.pwrite(file.fileno(), data, offset)
        os.truncate(file.fileno(), size)


def build_everything(root: bytes) -> None:
    """Fill the empty directory `root` with one of each thing that a backup has been known to lose."""
    os.chmod(root, 0o2755)
    _names(root)
    _contents(root)
    _links(root)
    _modes_and_times(root)
    _attributes(root)
    _special_files(root)
    _deep(root)


def _put(path: bytes, data: bytes = b"content") -> bytes:
    with open(path, "wb") as file:
        file.write(data)
    return path


def _names(root: bytes) -> None:
    base = root + b"/names"
    os.mkdir(base)
    names = [
        b"a b",
        b" ",
        b"new\nline",
        b"\xff\xfe not utf-8",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"x" * 255,
        b"\x01\x7f",
    ]
    names += [
        b"-rf",
        b"*",
        b"?",
        b"[a]",
        b"\\",
        b"'\"$(id)",
        b"~",
        b"#",
        b"...",
        b"a",
        b"a.b",
        b"a-b",
        b"a0",
        b"\xf0\x9f\x9a\xa2",
    ]
    for name in names:
        _put(base + b"/" + name, name)
    os.mkdir(base + b"/\xff\ndir")
    _put(base + b"/\xff\ndir/inside")
    os.mkdir(base + b"/a+")  # sorts between a and a-b, but not between a and what is in a
    _put(base + b"/a+/x")


def _contents(root: bytes) -> None:
    base = root + b"/contents"
    os.mkdir(base)
    os.mkdir(base + b"/empty directory")
    _put(base + b"/empty", b"")
    _put(base + b"/one", b"1")
    _put(base + b"/zeros", bytes(3 * BLOCK))  # zeros that were written are no hole
    _put(base + b"/large", os.urandom(9 * 1024 * 1024 + 17))
    data = os.urandom(BLOCK)
    write_sparse(base + b"/hole only", 1 << 26)
    write_sparse(base + b"/hole only, small", 100)
    write_sparse(base + b"/hole first", 20 * BLOCK, (19 * BLOCK, data))
    write_sparse(base + b"/hole last", 20 * BLOCK + 1, (0, data))
    write_sparse(base + b"/hole between", 40 * BLOCK, (0, data), (8 * BLOCK, data), (39 * BLOCK, data))
    write_sparse(root + b"/" + VAST, (1 << 40) + 5, ((1 << 40), b"end.."))
    with open(base + b"/reserved", "wb") as file:  # more blocks than bytes, and a hole all the same
        os.pwrite(file.fileno(), data, 8 * BLOCK)
        os.posix_fallocate(file.fileno(), 16 * BLOCK, 64 * BLOCK)
        os.truncate(file.fileno(), 9 * BLOCK)


def _links(root: bytes) -> None:
    base = root + b"/links"
    for name in (b"", b"/z", b"/a"):
        os.mkdir(base + name)
    _put(base + b"/m", b"three names")
    os.link(base + b"/m", base + b"/a/first in order")
    os.link(base + b"/m", base + b"/z/last in order")
    os.symlink(b"nowhere/\xff", base + b"/dangling")
    os.symlink(b"a", base + b"/to a directory")
    os.symlink(b"/etc/passwd", base + b"/absolute")
    os.symlink(b"x" * 4000, base + b"/long")
    os.link(base + b"/dangling", base + b"/dangling again", follow_symlinks=False)
    os.mkfifo(base + b"/fifo")
    os.link(base + b"/fifo", base + b"/z/fifo again")
    write_sparse(base + b"/sparse", 10 * BLOCK, (5 * BLOCK, b"x" * BLOCK))
    os.link(base + b"/sparse", base + b"/z/sparse again")


def _modes_and_times(root: bytes) -> None:
    base = root + b"/modes"
    os.mkdir(base)
    for mode in (0o000, 0o400, 0o444, 0o777, 0o4755, 0o2755, 0o6711, 0o1644):
        _put(base + b"/%o" % mode)
        os.chmod(base + b"/%o" % mode, mode)
    for mode in (0o1777, 0o2775, 0o700, 0o555):
        os.mkdir(base + b"/d%o" % mode)
        _put(base + b"/d%o/inside" % mode)
        os.chmod(base + b"/d%o" % mode, mode)
    if ROOT:
        for uid, gid in ((1234, 4321), (0, 65534), (4_000_000_000, 4_000_000_001)):
            path = _put(base + b"/owner %d" % uid)
            os.chown(path, uid, gid)
            os.chmod(path, 0o6755)
        os.symlink(b"x", base + b"/owned symlink")
        os.chown(base + b"/owned symlink", 1234, 4321, follow_symlinks=False)
        os.mkdir(base + b"/closed")
        _put(base + b"/closed/inside")
        os.chown(base + b"/closed", 1234, 4321)
        os.chmod(base + b"/closed", 0o000)
    for number, time_ns in enumerate((LONG_AGO_NS, 0, -1, 1, FAR_AHEAD_NS, 1_700_000_000_999_999_999)):
        os.utime(_put(base + b"/time %d" % number), ns=(0, time_ns))
    os.symlink(b"x", base + b"/timed symlink")
    os.utime(base + b"/timed symlink", ns=(0, LONG_AGO_NS), follow_symlinks=False)
    os.utime(base + b"/d1777", ns=(0, FAR_AHEAD_NS))


def _attributes(root: bytes) -> None:
    base = root + b"/attributes"
    os.mkdir(base)
    for name in (b"user.text", b"user.\xff\xfe", b"user." + b"n" * 250):
        os.setxattr(_put(base + b"/" + name[:40].replace(b"/", b"_")), name, b"value")
    os.setxattr(_put(base + b"/empty value"), b"user.empty", b"")
    os.setxattr(_put(base + b"/binary value"), b"user.binary", bytes(range(256)))
    os.setxattr(_put(base + b"/3.9 kB"), b"user.large", os.urandom(3900))
    os.setxattr(_put(base + b"/read only"), b"user.mine", b"yes")
    os.chmod(base + b"/read only", 0o444)
    os.mkdir(base + b"/directory")
    os.setxattr(base + b"/directory", b"user.directory", b"\x00\x01")
    os.setxattr(_put(base + b"/acl"), b"system.posix_acl_access", ACCESS_ACL)
    os.mkdir(base + b"/default acl")
    os.setxattr(base + b"/default acl", b"system.posix_acl_default", DEFAULT_ACL)
    os.setxattr(base + b"/default acl", b"system.posix_acl_access", DIRECTORY_ACL)
    _put(base + b"/default acl/inherits")
    os.mkdir(base + b"/default acl/below")
    with open(base + b"/default acl/without", "wb") as file:
        os.removexattr(file.fileno(), b"system.posix_acl_access")
    if ROOT:
        os.setxattr(_put(base + b"/capable"), b"security.capability", CAPABILITY)
        os.setxattr(_put(base + b"/trusted"), b"trusted.mine", b"\xff\x00")
        os.symlink(b"x", base + b"/symlink")
        os.setxattr(base + b"/symlink", b"trusted.symlink", b"1", follow_symlinks=False)
        os.mkfifo(base + b"/fifo")
        os.setxattr(base + b"/fifo", b"trusted.fifo", b"1")


def _special_files(root: bytes) -> None:
    base = root + b"/special"
    os.mkdir(base)
    os.mkfifo(base + b"/fifo", 0o640)
    os.utime(base + b"/fifo", ns=(0, 1_234_567_890_123_456_789))
    here = os.getcwd()
    os.chdir(base)  # the address of a socket is at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(b"socket")
    finally:
        os.chdir(here)
    if ROOT:
        os.mknod(base + b"/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(base + b"/disk", 0o660 | stat.S_IFBLK, os.makedev(259, 1_000_000))
        os.chown(base + b"/disk", 1234, 4321)


def _deep(root: bytes) -> None:
    """Make a path of more than 4,096 bytes, with a file, a symlink and a hard link at its end."""
    fd = os.open(root, os.O_RDONLY)
    for name in (DEEP, *(b"%d-" % level + b"d" * 240 for level in range(20))):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
    os.write(file, b"far below")
    os.setxattr(file, b"user.deep", b"yes")
    os.close(file)
    os.symlink(b"file", b"symlink", dir_fd=fd)
    os.link(b"file", b"hard link", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)


def remove_tree(path: Path) -> None:
    """Remove a tree of any depth, whatever its modes."""
    subprocess.run(["chmod", "-R", "u+rwx", path], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", path], check=True)


@contextmanager
def tree_removed(path: Path) -> Iterator[Path]:
    """Yield a path for a tree that pytest itself could not remove."""
    try:
        yield path
    finally:
        remove_tree(path)


def describe(root: bytes) -> dict[bytes, dict[str, Any]]:
    """Return all there is to know of a tree, by path; times of access and change, and numbers of inodes, left out."""
    found: dict[bytes, dict[str, Any]] = {}
    groups: dict[tuple[int, int], list[bytes]] = {}
    for top, directories, files, fd in os.fwalk(root, follow_symlinks=False):
        above = os.fsencode(top)[len(root) + 1 :]
        here = [("", above)] if not above else []
        for shown, path in here + [(n, above + b"/" * bool(above) + os.fsencode(n)) for n in directories + files]:
            name = os.fsencode(shown) or b"."
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            place = b"/proc/self/fd/%d/%s" % (fd, name)
            facts: dict[str, Any] = {
                "mode": oct(status.st_mode),
                "owner": (status.st_uid, status.st_gid),
                "mtime_ns": status.st_mtime_ns,
                "rdev": status.st_rdev,
                "xattrs": {
                    n: os.getxattr(place, n, follow_symlinks=False)
                    for n in sorted(os.listxattr(place, follow_symlinks=False))
                },
            }
            if not stat.S_ISDIR(status.st_mode):
                groups.setdefault((status.st_dev, status.st_ino), []).append(path)
                facts["names"] = groups[status.st_dev, status.st_ino]
            if stat.S_ISLNK(status.st_mode):
                facts["target"] = os.readlink(name, dir_fd=fd)
            if stat.S_ISREG(status.st_mode):
                facts["size"] = status.st_size
                facts["runs"] = data_runs(name, fd)
            found[path] = facts
    for facts in found.values():
        if "names" in facts:
            facts["names"] = sorted(facts["names"])
    return found


def data_runs(name: bytes, dir_fd: int | None = None) -> list[tuple[int, int, str]]:
    """Return where a file has data, as (start, end, hash); what lies between is a hole."""
    try:
        fd = os.open(name, os.O_RDONLY, dir_fd=dir_fd)
    except PermissionError:
        return [(0, 0, "unreadable")]
    try:
        size = os.fstat(fd).st_size
        runs = []
        at = 0
        while at < size:
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(fd, start, os.SEEK_HOLE)
            runs.append((start, at, hashlib.sha256(os.pread(fd, at - start, start)).hexdigest()))
        return runs
    finally:
        os.close(fd)


def differences(before: bytes, after: bytes) -> list[str]:
    """Return how two trees differ, one line for each fact."""
    left, right = describe(before), describe(after)
    lines = [f"only in one: {path!r}" for path in left.keys() ^ right.keys()]
    for path in left.keys() & right.keys():
        lines += [
            f"{path!r}: {fact} was {left[path].get(fact)!r}, is {right[path].get(fact)!r}"
            for fact in left[path].keys() | right[path].keys()
            if left[path].get(fact) != right[path].get(fact)
        ]
    return sorted(lines)


def rsync_differences(before: bytes, after: bytes) -> str:
    """Return what rsync would do to make the second tree equal to the first."""
    options = [
        "-aHAXSn",
        "--checksum",
        "--delete",
        "--itemize-changes",
        *(f"--exclude=/{name.decode()}" for name in (DEEP, VAST)),
    ]
    run = subprocess.run(
        ["rsync", *options, before + b"/", after + b"/"], capture_output=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr.decode("utf-8", "replace")
    return run.stdout.decode("utf-8", "replace")


def source_of(path: Path, **options: Any) -> DirectorySource:
    return DirectorySource(name="tree", path=path, clock=SystemClock(), **options)


def target_at(path: Path) -> DirectoryTarget:
    return DirectoryTarget(path=path, clock=SystemClock())


def items_of(source: DirectorySource) -> tuple[list[Entry], list[Problem]]:
    """Return the complete entries of a source, and its problems."""
    with source.capture() as capture:
        entries = [item.entry for item in capture.items()]
        capture.finish()
        return entries, capture.problems()


def restore_item(item: Item, target: Target) -> None:
    """Copy one file, the way its size asks for."""
    with item.open() as content:
        pieces = list(content.pieces()) if item.entry.size < PLACED_BYTES_MAX else None
        if pieces is not None and all(isinstance(piece, Data) for piece in pieces):
            entry = content.settled()
            target.place(entry, b"".join(piece.data for piece in pieces if isinstance(piece, Data)))
            return
        target.make(item.entry)
        offset = 0
        for piece in pieces if pieces is not None else content.pieces():
            if isinstance(piece, Data):
                target.write(item.entry, offset, piece.data)
                offset += len(piece.data)
            else:
                offset += piece.length
        target.settle(content.settled())


def copy_tree(
    source: DirectorySource, target: Target, *, threads: int = 4, each: Callable[[Item], None] = lambda _: None
) -> list[Problem]:
    """Copy a source to a target over nothing but their contracts; return the problems of both."""
    with source.capture() as capture, ThreadPoolExecutor(threads) as pool:
        target.begin()
        waiting = []
        lost = []
        for item in capture.items():
            each(item)
            if item.stat_entry.kind is EntryKind.FILE:
                waiting.append((item, pool.submit(restore_item, item, target)))
            else:
                target.make(item.entry)
        for item, future in waiting:
            try:
                future.result()
            except FileNotFoundError:
                lost.append(Problem(item.stat_entry.path, ProblemCode.VANISHED, ""))
            except OSError as error:
                lost.append(Problem(item.stat_entry.path, ProblemCode.UNREADABLE, str(error)))
        capture.finish()
        target.finish()
        return [*lost, *capture.problems(), *target.problems()]


def as_nobody(work: Callable[[], Any]) -> Any:
    """Run `work` in a child process without privilege and return what it returned; its exceptions come here too."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            answer: tuple[bool, Any] = (True, work())
        except BaseException as error:  # noqa: BLE001 - it is told to the parent
            answer = (False, error)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        done, value = pickle.load(pipe)
    os.waitpid(child, 0)
    if not done:
        raise value
    return value


def may_mount() -> bool:
    """Return whether this process has CAP_SYS_ADMIN."""
    capabilities = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")
    )
    return bool(int(capabilities.split()[1], 16) >> 21 & 1)
