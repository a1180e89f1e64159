"""A file system in this process, of one directory of files that claim any size, as programs make them up with FUSE."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.directory_trees import may_mount

_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_VERSION = (7, 31)
_LOOKUP, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT = 1, 3, 14, 15, 18, 25, 26
_OPENDIR, _READDIR, _RELEASEDIR = 27, 28, 29
_UNANSWERED = (2, 36, 42)  # forget, interrupt, batches of forget
_DIRECT_IO = 1
_ROOT = 1
_CACHED_S = 3600
_STAMP_S = 1_600_000_000


@dataclass(frozen=True)
class Lie:
    """A file: the size it claims, and what it has."""

    claimed: int
    content: bytes


def has_fuse() -> bool:
    """Return whether this process may mount a file system of its own."""
    return os.path.exists("/dev/fuse") and may_mount()


@contextmanager
def mounted(place: Path, files: Mapping[str, Lie]) -> Iterator[None]:
    """Mount the files at a directory."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"lies", os.fsencode(place), b"fuse", 0, options):
        number = ctypes.get_errno()
        os.close(device)
        raise OSError(number, os.strerror(number))
    server = threading.Thread(target=_serve, args=(device, list(files.items())), daemon=True)
    server.start()
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        server.join(10)
        os.close(device)


def _serve(device: int, files: list[tuple[str, Lie]]) -> None:
    while True:
        try:
            request = os.read(device, 1 << 18)
        except OSError:  # it is not mounted any more
            return
        _, operation, unique, node, *_ = _IN.unpack_from(request)
        if operation in _UNANSWERED:
            continue
        answer = _answer(operation, node, request[_IN.size :], files)
        error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
        try:
            os.write(device, _OUT.pack(_OUT.size + len(body), error, unique) + body)
        except OSError:  # nobody waits for it any more
            continue


def _answer(operation: int, node: int, body: bytes, files: list[tuple[str, Lie]]) -> bytes | int:
    if operation == _INIT:
        return struct.pack("<4I2H2I2H8I", *_VERSION, 1 << 20, 0, 12, 9, 1 << 17, 1, 32, 0, *(0,) * 8)
    if operation == _LOOKUP:
        names = [name for name, _ in files]
        name = os.fsdecode(body.rstrip(b"\0"))
        if name not in names:
            return errno.ENOENT
        found = names.index(name) + 2
        return struct.pack("<4Q2I", found, 0, _CACHED_S, _CACHED_S, 0, 0) + _attributes(found, files)
    if operation == _GETATTR:
        return struct.pack("<QII", _CACHED_S, 0, 0) + _attributes(node, files)
    if operation in (_OPEN, _OPENDIR):
        return struct.pack("<QII", 0, _DIRECT_IO if operation == _OPEN else 0, 0)
    if operation in (_READ, _READDIR):
        _, offset, size = struct.unpack_from("<QQI", body)
        if operation == _READ:
            return files[node - 2][1].content[offset : offset + size]
        return b"".join(_entry(at, name) for at, (name, _) in enumerate(files) if at >= offset)[:size]
    return b"" if operation in (_RELEASE, _RELEASEDIR, _FLUSH) else errno.ENOSYS


def _attributes(node: int, files: list[tuple[str, Lie]]) -> bytes:
    size = 0 if node == _ROOT else files[node - 2][1].claimed
    mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o644
    return _ATTRIBUTES.pack(node, size, 0, *(_STAMP_S,) * 3, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _entry(at: int, name: str) -> bytes:
    data = name.encode()
    return struct.pack("<QQII", at + 2, at + 1, len(data), 8) + data + bytes(-len(data) % 8)
