"""A source in memory: a tree of entries whose files can be told to change, vanish or refuse while they are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from farshore import limits
from farshore.clock import Clock
from farshore.errors import FarshoreError, SourceChanged
from farshore.format.choosing import sort_key
from farshore.model import Entry, EntryKind, Problem
from farshore.sources.base import Capture, Content, Data, Hole, Item, Piece

NS = 1_000_000_000
PIECE_BYTES = 300_000  # unlike any size of the engine, so that no border falls on one of its own


@dataclass
class Node:
    """One name of the tree. `pieces` are bytes, or lengths of holes."""

    entry: Entry
    pieces: list[bytes | int] = field(default_factory=list)
    changes: int = 0  # this many attempts to read it end in a change
    vanished: bool = False
    unreadable: bool = False
    grows_by: bytes = b""  # what a reader finds behind the size that the walk saw

    @property
    def size(self) -> int:
        return sum(piece if isinstance(piece, int) else len(piece) for piece in self.pieces)


@dataclass
class TreeSource:
    """Implements `Source`. `reads` counts by path how often a file was opened and read."""

    clock: Clock
    name: str = "home"
    kind: str = "directory"
    ordered: bool = True
    sequential: bool = False
    nodes: dict[bytes, Node] = field(default_factory=dict)
    reads: dict[bytes, int] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    finish_error: FarshoreError | None = None
    before_read: Callable[[bytes], None] = lambda _: None
    inode: int = 100

    def __post_init__(self) -> None:
        self.directory(b"")

    # --- making and changing the tree --------------------------------------------------------------------------------

    def directory(self, path: bytes, **more: object) -> None:
        self.put(Entry(path, EntryKind.DIRECTORY, mode=0o755), **more)

    def file(self, path: bytes, *pieces: bytes | int, **more: object) -> None:
        self.put(Entry(path, EntryKind.FILE, mode=0o644), **more)
        self.nodes[path].pieces = [piece for piece in pieces if piece]
        self._resize(path)

    def symlink(self, path: bytes, target: bytes) -> None:
        self.put(Entry(path, EntryKind.SYMLINK, mode=0o777, target=target))

    def link(self, path: bytes, first: bytes) -> None:
        """Give a file one more name."""
        node = self.nodes[first]
        entry = node.entry._replace(path=path, kind=EntryKind.HARDLINK, target=first, links=2)
        node.entry = node.entry._replace(links=2)
        self.nodes[path] = replace(node, entry=entry)

    def write(self, path: bytes, *pieces: bytes | int) -> None:
        """Give a file other content, as an application would: its times move on."""
        self.nodes[path].pieces = [piece for piece in pieces if piece]
        self._resize(path)
        self.touch(path)

    def touch(self, path: bytes) -> None:
        now = int(self.clock.now_utc().timestamp() * NS)
        self.nodes[path].entry = self.nodes[path].entry._replace(mtime_ns=now, ctime_ns=now)

    def remove(self, *paths: bytes) -> None:
        for path in paths:
            del self.nodes[path]

    def content(self, path: bytes) -> bytes:
        """Return a file's content, holes as zeros."""
        return b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in self.nodes[path].pieces)

    def contents(self) -> dict[bytes, bytes | None]:
        """Return what a restore must show: the content of every file and further name, None for anything else."""
        shown: dict[bytes, bytes | None] = {}
        for path, node in self.nodes.items():
            if node.entry.kind is EntryKind.FILE:
                shown[path] = self.content(path)
            elif node.entry.kind is EntryKind.HARDLINK:
                shown[path] = self.content(node.entry.target)
            else:
                shown[path] = None
        return shown

    def put(self, entry: Entry, **more: object) -> None:
        now = int(self.clock.now_utc().timestamp() * NS)
        self.inode += 1
        made = entry._replace(uid=os.getuid(), gid=os.getgid(), mtime_ns=now, ctime_ns=now, inode=self.inode, device=7)
        self.nodes[entry.path] = Node(made._replace(**more))  # type: ignore[arg-type]

    def _resize(self, path: bytes) -> None:
        node = self.nodes[path]
        node.entry = node.entry._replace(size=node.size)

    # --- the contract ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        return

    @contextmanager
    def capture(self) -> Iterator[Capture]:
        yield TreeCapture(self)


class TreeCapture:
    """Implements `Capture`."""

    def __init__(self, source: TreeSource) -> None:
        self._source = source
        self.ordered = source.ordered
        self.sequential = source.sequential
        self._problems: list[Problem] = []

    def marks(self) -> dict[str, str]:
        return dict(self._source.marks)

    def items(self) -> Iterator[Item]:
        paths = sorted(self._source.nodes, key=sort_key)
        for path in paths if self.ordered else paths[::-1]:
            yield TreeItem(self._source, path, self._source.nodes[path].entry)

    def problems(self) -> list[Problem]:
        return list(self._problems)

    def finish(self) -> dict[str, str]:
        if self._source.finish_error is not None:
            raise self._source.finish_error
        return dict(self._source.facts)


class TreeItem:
    """Implements `Item`; its `stat_entry` lacks what a walk does not know."""

    def __init__(self, source: TreeSource, path: bytes, entry: Entry) -> None:
        self._source = source
        self._path = path
        self.entry = entry

    @property
    def stat_entry(self) -> Entry:
        large = self.entry.size >= limits.PAGED_FILE_BYTES_MIN
        return self.entry._replace(xattrs=(), page_bytes=0 if large else self.entry.page_bytes)

    def open(self) -> Content:
        self._source.before_read(self._path)
        self._source.reads[self._path] = self._source.reads.get(self._path, 0) + 1
        target = self.entry.target if self.entry.kind is EntryKind.HARDLINK else self._path
        node = self._source.nodes.get(self._path)
        if node is None or node.vanished:
            raise FileNotFoundError(errno.ENOENT, "gone")
        if node.unreadable:
            raise PermissionError(errno.EACCES, "permission denied")
        return TreeContent(self.entry, node, self._source.nodes.get(target, node))


class TreeContent:
    """Implements `Content`."""

    def __init__(self, entry: Entry, node: Node, holder: Node) -> None:
        self._entry = entry
        self._node = node
        self._pieces = list(holder.pieces)
        self._more = node.grows_by
        self._bytes = 0

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def pieces(self) -> Iterator[Piece]:
        for piece in [*self._pieces, *([self._more] if self._more else [])]:
            if isinstance(piece, int):
                self._bytes += piece
                yield Hole(piece)
                continue
            for start in range(0, len(piece), PIECE_BYTES):
                part = piece[start : start + PIECE_BYTES]
                self._bytes += len(part)
                yield Data(part)

    def settled(self) -> Entry:
        if self._node.changes:
            self._node.changes -= 1
            raise SourceChanged(f"{self._entry.path!r} changed while it was read")
        return self._entry._replace(size=self._bytes)


def blocks(data: bytes, page_bytes: int, changed: Sequence[int], fresh: Callable[[int], bytes]) -> bytes:
    """Return data with some pages made new."""
    result = bytearray(data)
    for page in changed:
        start = page * page_bytes
        end = min(start + page_bytes, len(result))
        result[start:end] = fresh(end - start)
    return bytes(result)


def one_file(clock: Clock, content: bytes, name: str = "home") -> TreeSource:
    """Return a source of one file, `file`."""
    made = TreeSource(clock=clock, name=name)
    made.file(b"file", content)
    return made
