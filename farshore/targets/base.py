"""The contract of a restore target: where entries of a snapshot are put back. Mirrors `farshore.sources.base`.

Order of calls: `begin`, then for every entry in manifest order `make`, with `write` in between for the content of files
(from any thread, in any order, whole or in parts), then `settle` for each file once all its bytes are written; or for a
small file `add`, and `drain` before something needs it. Then `finish`, which sets times and modes of directories last,
and in any case `close`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from farshore.model import Entry, EntryKind, Problem


class SmallFile(NamedTuple):
    """A file whose content follows that of the file before it; `content_hash` is the expected hash."""

    path: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...]
    size: int
    content_hash: bytes

    def entry(self) -> Entry:
        """Return the file as an entry."""
        return Entry(
            self.path, EntryKind.FILE, self.mode, self.uid, self.gid,
            size=self.size, mtime_ns=self.mtime_ns, xattrs=self.xattrs,
        )  # fmt: skip


@dataclass(slots=True)
class Placed:
    """The outcome of files. `lost`: those that were left out because their content is wrong."""

    files: int = 0
    bytes_written: int = 0
    lost: list[Problem] = field(default_factory=list)

    def add(self, other: Placed) -> None:
        """Add the outcome of another call."""
        self.files += other.files
        self.bytes_written += other.bytes_written
        self.lost += other.lost


class TargetKind(StrEnum):
    """The kinds of places to restore into."""

    DIRECTORY = "directory"
    DIRECTORY_DELTA = "directory-delta"
    TAR = "tar"
    FILE = "file"


class Target(Protocol):
    """A place to restore into. Any thread may `write`, `settle`, `place`, `discard`; the other calls are made by one.

    `kind` is recorded in the audit tables. With `in_order` everything is written in sequence: a file is settled before
    the next entry is made, and one thread writes.
    """

    in_order: bool
    kind: TargetKind

    def begin(self) -> None:
        """Check and prepare the place.

        Raises:
            TargetNotEmpty: There is something already.
            TargetFailed: It cannot be made or written.
        """
        ...

    def make(self, entry: Entry) -> None:
        """Create the entry: directory, symlink, hard link, device, FIFO, or an empty file of its full size (a hole)."""
        ...

    def write(self, entry: Entry, offset: int, data: bytes | memoryview) -> None:
        """Write bytes of a file's content at `offset`. Holes are simply not written.

        Raises:
            TargetFailed: The target is full or cannot be written; the message names the path.
        """
        ...

    def settle(self, entry: Entry) -> None:
        """Finish one file: flush it, then set owner, mode, xattrs and times, in the order that keeps them all."""
        ...

    def place(self, entry: Entry, data: bytes | memoryview) -> None:
        """Make, write and settle one file in one call, `data` being all of its content.

        Raises:
            TargetFailed: The target is full or cannot be written; the message names the path.
        """
        ...

    def add(self, file: SmallFile, content: Sequence[memoryview]) -> None:
        """Add one small file whole: hashed, made, written and settled now or later, by `drain` at the latest.

        Only from the thread that makes; the buffers of `content` are free again on return.

        Args:
            file: Of at most `limits.SLOT_CONTENT_BYTES`.
        Raises:
            TargetFailed: The target is full or cannot be written, as this or an earlier file showed.
        """
        ...

    def drain(self) -> None:
        """Return when every file that was added is there. From the same thread, raises as `add`."""
        ...

    def newly_placed(self) -> Placed:
        """Return the outcome of the added files placed since the last call. From the same thread."""
        ...

    def discard(self, entry: Entry) -> None:
        """Remove a file whose content cannot be had, so that nothing half restored looks whole. Never settled then.

        It need not have been made.

        Raises:
            RestoreIncomplete: Its beginning cannot be had back, so nothing can follow.
        """
        ...

    def finish(self) -> None:
        """Set metadata of directories, deepest first, and make everything durable."""
        ...

    def close(self) -> None:
        """Stop the threads and processes of the target, finished or not. Safe to repeat."""
        ...

    def problems(self) -> list[Problem]:
        """Return the metadata that could not be restored (an owner without privilege, an xattr that is refused)."""
        ...
