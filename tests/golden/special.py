"""The tree of the golden repository `v1-special`: what `v1` has not, each thing that a reader meets seldom.

Device nodes, a socket, setuid files of another owner, attributes of directories, many names of one file, holes at every
place of a file; a page map in three runs, an incomplete snapshot, and locks.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta

from farshore.config.settings import ReplicaConfig
from farshore.model import Entry, EntryKind
from farshore.stores.object_retention import LockMode
from tests.unit.ops.tree_source import TreeSource, blocks
from tests.unit.replicas.clocks import StillClock

PAGE_BYTES = 1024
OTHER_UID, OTHER_GID = 1234, 2345
LOCKED = {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=30)}


def locked(replica: ReplicaConfig) -> ReplicaConfig:
    """Return the replica as one that locks its objects."""
    return ReplicaConfig(replica.name, replica.url, region=replica.region, **LOCKED)  # type: ignore[arg-type]


def special_tree(clock: StillClock, marks: dict[str, str]) -> TreeSource:
    """Return the tree of the first snapshot."""
    tree = TreeSource(clock=clock, marks=dict(marks))
    tree.directory(b"dev", xattrs=((b"user.of a directory", b"\x00\xff"),))
    tree.put(Entry(b"dev/null", EntryKind.CHARACTER_DEVICE, mode=0o666, rdev=os.makedev(1, 3)))
    tree.put(Entry(b"dev/loop", EntryKind.BLOCK_DEVICE, mode=0o660, rdev=os.makedev(4095, 1_000_000)))
    tree.put(Entry(b"dev/fifo", EntryKind.FIFO, mode=0o640))
    tree.put(Entry(b"dev/socket", EntryKind.SOCKET, mode=0o755))
    tree.directory(b"documents", mode=0o3775)
    tree.file(b"documents/letter.txt", b"a letter\n", xattrs=((b"user.note", b"read it"),))
    for name, mode in ((b"setuid", 0o4755), (b"setgid", 0o2755), (b"both", 0o6711)):
        tree.file(b"documents/" + name, name, mode=mode, uid=OTHER_UID, gid=OTHER_GID)
    tree.directory(b"names", mode=0o555)
    for name in (b"names/second", b"third", b"zz"):
        tree.link(name, b"documents/letter.txt")
    tree.directory(b"holes")
    tree.file(b"holes/all", 1_000_000)
    tree.file(b"holes/first", 700_000, b"end")
    tree.file(b"holes/last", b"start", 900_000)
    tree.file(b"holes/touch", b"start", 300_000, 400_000, b"end")
    tree.file(b"db", _pages(1, 900), 200 * PAGE_BYTES, _pages(2, 400), page_bytes=PAGE_BYTES)
    tree.file(b"small", _pages(3, 20), page_bytes=PAGE_BYTES)
    tree.file(b"still", _pages(4, 30), page_bytes=PAGE_BYTES)
    tree.file(b"unreadable later", b"it is read once")
    clock.advance(3600)
    return tree


def make_incomplete(tree: TreeSource, clock: StillClock) -> None:
    """Make the tree that of the second snapshot, which lacks a file."""
    chance = random.Random(2028)
    before = tree.content(b"db")[: 900 * PAGE_BYTES]
    data = blocks(before, PAGE_BYTES, [0, 5, 899], lambda size: chance.randbytes(16) * (size // 16))
    tree.write(b"db", data, 200 * PAGE_BYTES, _pages(2, 400))
    tree.remove(b"small")
    tree.touch(b"unreadable later")
    tree.nodes[b"unreadable later"].unreadable = True
    clock.advance(3600)


def make_whole_again(tree: TreeSource, clock: StillClock) -> None:
    """Make the tree that of the third snapshot: the hole of the database is smaller, and everything can be read."""
    tree.write(
        b"db", tree.content(b"db")[: 900 * PAGE_BYTES], 100 * PAGE_BYTES, _pages(5, 100), _pages(2, 401),
    )  # fmt: skip
    tree.nodes[b"unreadable later"].unreadable = False
    tree.touch(b"unreadable later")
    clock.advance(3600)


def _pages(seed: int, count: int) -> bytes:
    """Return pages that all differ, in few bytes once compressed."""
    chance = random.Random(seed)
    return b"".join(chance.randbytes(16) * (PAGE_BYTES // 16) for _ in range(count))
