"""Ids, and what a source is made of: entries, extents, problems.

Ids are lower-case hex text (`SnapshotId`, `SourceId`, `KeyId`: 32 digits; `PackId`, `FragmentId`: 64 digits), except
chunk ids, which are 32 raw bytes because there are millions of them. Names inside a source are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

SnapshotId = str
SourceId = str
KeyId = str
PackId = str
FragmentId = str
ChunkId = bytes
HOLE: ChunkId = bytes(32)  # an extent of this chunk reads as zeros and is a hole in the file


class EntryKind(StrEnum):
    """The kinds of entries of a source."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"  # another name of the file entry whose path is `target`
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character-device"
    BLOCK_DEVICE = "block-device"


class Extent(NamedTuple):
    """`length` bytes of `chunk` from `offset`; zeros when the chunk is `HOLE`."""

    chunk: ChunkId
    offset: int
    length: int


class Entry(NamedTuple):
    """One name of a source: its metadata, without its content. A tuple, because there are millions of them.

    `path` is relative to the source's root with `/` between names, and empty for the root itself. Times are in
    nanoseconds since the epoch, sizes in bytes. `inode` and `device` identify the file at the source and serve only
    change detection. `page_bytes` is 0 for a file cut by content, else the page size of a page-structured file.
    """

    path: bytes
    kind: EntryKind
    mode: int = 0  # permission bits with setuid, setgid and sticky; no file type bits
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    device: int = 0
    rdev: int = 0
    links: int = 1
    target: bytes = b""  # of a symlink, as stored; of a hard link, the path of the entry it names again
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # sorted by name; POSIX ACLs are among them
    page_bytes: int = 0


class ProblemCode(StrEnum):
    """What is wrong with one entry."""

    VANISHED = "vanished"
    UNREADABLE = "unreadable"
    CHANGING = "changing"  # while it was read
    UNSUPPORTED = "unsupported"  # of a kind that cannot be held
    METADATA = "metadata"  # in part; the content is right
    LOST = "lost"  # content that no replica could give
    REFUSED = "refused"  # by the target of a restore


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one entry that a person should know. Who reports it decides whether it `matters`."""

    path: bytes
    code: ProblemCode
    message: str
    matters: bool = True  # the snapshot lacks something that the source had, so it is incomplete
