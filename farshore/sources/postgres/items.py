"""Items of a base backup, which the engine gets while the stream is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import field

from farshore.errors import Bug
from farshore.model import Entry, dataclass
from farshore.sources.base import Content, Data, Piece


@dataclass(frozen=True, slots=True)
class EntryItem:
    """An entry without content."""

    entry: Entry

    @property
    def stat_entry(self) -> Entry:
        return self.entry

    def open(self) -> Content:
        """Refuse: only files have content."""
        raise Bug(f"{self.entry.path!r} has no content")


@dataclass(slots=True)
class ContentItem:
    """A file of the stream: its content can be read once, while it is the current item.

    Its inode and ctime are 0, as no file's are, so it never counts as unchanged: the stream has to be read anyway.
    """

    entry: Entry
    failing: Callable[[], AbstractContextManager[None]]  # remembers an error for the end of the backup
    read: Callable[[], Iterator[bytes]]
    opened: bool = False

    @property
    def stat_entry(self) -> Entry:
        return self.entry

    def open(self) -> Content:
        """Return the content.

        Raises:
            Bug: It was opened before.
        """
        if self.opened:
            raise Bug(f"{self.entry.path!r} can be read once")
        self.opened = True
        return _StreamContent(self.entry, self.failing, self.read)


@dataclass(slots=True)
class _StreamContent:
    """The content of the current item."""

    entry: Entry
    failing: Callable[[], AbstractContextManager[None]]  # remembers an error for the end of the backup
    read: Callable[[], Iterator[bytes]]
    size: int = field(default=0, init=False)

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        """Release nothing: unread content raises when the next item is asked for."""

    def pieces(self) -> Iterator[Piece]:
        """Yield the content as it arrives."""
        with self.failing():
            for data in self.read():
                self.size += len(data)
                yield Data(data)

    def settled(self) -> Entry:
        """Return the entry; a stream cannot change, but it must have been read."""
        if self.size != self.entry.size:
            raise Bug(f"content of {self.entry.path!r} was left unread")
        return self.entry
