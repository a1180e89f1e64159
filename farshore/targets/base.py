"""The contract of a restore target: where entries of a snapshot are put back. Mirrors `farshore.sources.base`.

Order of calls: `begin`, then for every entry in manifest order `make`, with `write` in between for the content of files
(from any thread, in any order, whole or in parts), then `settle` for each file once all its bytes are written, then
`finish`, which puts back what must come last (times and modes of directories).
"""

from __future__ import annotations

from typing import Protocol

from farshore.model import Entry, Problem


class Target(Protocol):
    """A place to restore into. Any thread may `write`, `settle`, `place`, `discard`; the other calls come from one."""

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

    def discard(self, entry: Entry) -> None:
        """Remove a file whose content cannot be had, so that nothing half restored looks whole. Never settled then."""
        ...

    def finish(self) -> None:
        """Set metadata of directories, deepest first, and make everything durable."""
        ...

    def problems(self) -> list[Problem]:
        """Return what could not be put back as it was (an owner without privilege, an xattr that is refused)."""
        ...
