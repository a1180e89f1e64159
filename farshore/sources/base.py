"""The contract of a source: something protected, read as a stream of entries with content. Nothing is stored here.

A `Source` is cheap to make and checks nothing until asked. `capture()` freezes one moment and yields a `Capture`; the
engine walks its items once, in the order given, and then calls `finish()`, which raises if anything about the source as
a whole failed (a dump without its trailer, a failed checksum): then there is no snapshot.

Content is a stream of pieces, never whole files, so memory does not grow with a file's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from farshore.handles import Handle
from farshore.model import Entry, Problem


class Data(NamedTuple):
    """The next bytes of a file: never empty, at most `READ_BYTES`. The buffer stays valid after the next piece."""

    data: bytes


class Hole(NamedTuple):
    """The next `length` bytes of a file are a hole: they read as zeros and occupy no space."""

    length: int


Piece = Data | Hole


class Content(Protocol):
    """The content of one file entry, readable once. Used by one thread, inside `with`."""

    def __enter__(self) -> Content: ...

    def __exit__(self, *exception: object) -> None: ...

    def pieces(self) -> Iterator[Piece]:
        """Yield the file's pieces from first byte to last.

        Raises:
            FileNotFoundError: It vanished.
            OSError: It could not be read (the engine reports it as unreadable).
            SourceUnavailable, SourceCorrupt: The source as a whole failed; the backup stops.
        """
        ...

    def settled(self) -> Entry:
        """Return the entry as it is after the last piece was read, its size equal to the bytes yielded.

        Only this call reports a change: pieces of a file that shrank or was replaced simply end early.

        Raises:
            SourceChanged: It changed while it was read, so the pieces may not belong together; read again.
        """
        ...


@runtime_checkable
class BufferedContent(Content, Protocol):
    """Content that can be read into buffers of the caller, and so into memory that processes share."""

    def pieces_into(self, buffer: Callable[[], memoryview]) -> Iterator[Hole | int]:
        """Yield the pieces as `pieces` does, instead of it: of data only how many bytes were read into the buffer.

        `buffer` is called before each read and returns the next one. All are of one size, and piece boundaries are
        multiples of it in file offsets, regardless of holes.
        """
        ...


class Item(Protocol):
    """An entry, and for a regular file the way to its content. Safe to hand to another thread."""

    @property
    def stat_entry(self) -> Entry:
        """The entry as known without more work, for change detection: it may lack `xattrs`.

        A file of `PAGED_FILE_BYTES_MIN` bytes or more may lack `page_bytes` too.

        An engine that finds size, mtime, ctime, inode and device unchanged copies both from the previous manifest, so
        that an unchanged entry costs nothing more. Sources with nothing to save return `entry`.
        """
        ...

    @property
    def entry(self) -> Entry:
        """The complete entry. The first use may do a little I/O; it never raises: a failure is among the problems."""
        ...

    def open(self) -> Content:
        """Return the content of a file entry. May be called again after `SourceChanged`, unless sequential.

        A hard link opens too, with the content of the file it names: when the first name of a file is lost on the
        way (vanished, unreadable), the engine stores the next name as the file instead.
        """
        ...


class Capture(Protocol):
    """One frozen moment of a source.

    `ordered`: items are in manifest order (see `farshore.format.manifest.sort_key`). `sequential`: content arrives
    in order, so each item's content must be read to its end, once, before the next item is asked for, and by the
    thread that walks the items.
    """

    @property
    def ordered(self) -> bool: ...

    @property
    def sequential(self) -> bool: ...

    def items(self) -> Iterator[Item]:
        """Yield every entry once, first the root itself (path empty) where the source has one."""
        ...

    def problems(self) -> list[Problem]:
        """Return the problems of single entries so far; they do not stop the backup. Safe from any thread.

        `Problem.matters` is the source's judgment: a snapshot with a problem that matters is incomplete, and the last
        complete one stays the last good one. A failure of the source as a whole is no problem but an error of `finish`.
        The engine adds problems of its own: an entry that it could not read matters, one that vanished does not.
        """
        ...

    def finish(self) -> dict[str, str]:
        """Check that the source as a whole was read, and return facts for the commit record.

        Facts are short text a restore needs to judge fitness: versions, LSNs, timeline, library versions.

        Raises:
            SourceCorrupt, SourceUnavailable, SourceChanged: There is no snapshot.
        """
        ...


@runtime_checkable
class NotingCapture(Protocol):
    """A capture with notes on the source as a whole, though nothing is wrong with this snapshot."""

    def notes(self) -> list[str]:
        """Return sentences for a person, known by the end of the capture; each run says them once."""
        ...


@runtime_checkable
class MarkedCapture(Protocol):
    """A capture whose source is recognized by marks at the next backup."""

    def marks(self) -> dict[str, str]:
        """Return the marks, as soon as the capture is open, by the names that `farshore.ops.backup.recognize` compares.

        Facts that may change although the source is the same (a device number, a container's name) are left out.
        """
        ...


@runtime_checkable
class SharedSource(Protocol):
    """A source that several hosts may back up in turn."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Their names, or patterns of names; empty where it is of one host."""
        ...


@runtime_checkable
class RootedCapture(Protocol):
    """A capture whose files other processes can read too: all are below one open directory."""

    @property
    def root(self) -> Handle:
        """The directory, open as long as the capture is."""
        ...

    @property
    def settled_before_ns(self) -> int:
        """A file stamped before this moment shows any later write by a new stamp."""
        ...


class Listing(Protocol):
    """Entries that follow each other, as columns, for change detection. Used by one thread."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def records(self) -> Any:
        """A structured array of mode (with the bits of the type), links, size, mtime_ns, ctime_ns, inode, device."""
        ...

    @property
    def paths(self) -> Any:
        """An array of the bytes of all paths, end to end."""
        ...

    @property
    def path_ends(self) -> Any:
        """Where each path begins in `paths`, and where the last one ends."""
        ...

    def target(self, at: int) -> bytes:
        """Return the target of a symlink."""
        ...

    def item(self, at: int) -> Item:
        """Return an entry with the way to its content. Of those with several links each must be asked for, in order."""
        ...


@runtime_checkable
class ListingCapture(Protocol):
    """A capture that can be walked by several processes."""

    def listings(self, cuts: Sequence[bytes], processes: int) -> Iterator[Listing]:
        """Start processes, and return their listings, which hold every entry of `items` once.

        Args:
            cuts: Paths in manifest order, none twice and none empty, with about as many entries between them. They
                need not exist any more.
            processes: To start at most.

        Raises:
            OSError: They could not be started; use `items`.
            ToolUnavailable: A process is gone.
        """
        ...


class Source(Protocol):
    """Something protected."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def kind(self) -> str:
        """directory | sqlite | postgres."""
        ...

    def check(self) -> None:
        """Raise `SourceMissing`, `SourceUnavailable`, `SourceUnsupported` or `Denied` if a backup could not start."""
        ...

    def capture(self) -> AbstractContextManager[Capture]:
        """Freeze one moment; leaving the context thaws it, whatever happened."""
        ...
