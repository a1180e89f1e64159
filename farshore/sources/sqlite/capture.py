"""The checked copy of a database as the engine reads it: one entry, read whole, or there is no snapshot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import BinaryIO

from farshore.errors import SourceUnavailable
from farshore.host_resources import check_host
from farshore.limits import READ_BYTES
from farshore.model import Entry, Problem, dataclass
from farshore.sources.base import Content, Data, Item, Piece


@dataclass(slots=True)
class CopyContent:
    """The copy, read from its beginning. Notifies its item when it has been read to its end."""

    item: CopyItem
    file: BinaryIO
    size: int = 0

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()

    def pieces(self) -> Iterator[Piece]:
        """Yield the pages of the copy in order.

        Raises:
            SourceUnavailable: The copy cannot be read: there is no snapshot, rather than one without its only file.
        """
        while True:
            try:
                data = self.file.read(READ_BYTES)
            except OSError as error:
                raise self.item.unreadable(error) from error
            if not data:
                return
            self.size += len(data)
            yield Data(data)

    def settled(self) -> Entry:
        """Return the entry; the copy is ours alone, so it can only differ if somebody tampered with it."""
        entry = self.item.entry
        if self.size != entry.size:
            raise SourceUnavailable(f"the copy of {os.fsdecode(entry.path)} changed while it was read")
        self.item.was_read = True
        return entry


@dataclass(slots=True)
class CopyItem:
    """The one entry of the snapshot."""

    entry: Entry
    path: Path
    was_read: bool = False

    @property
    def stat_entry(self) -> Entry:
        """The same entry: it carries no extended attributes."""
        return self.entry

    def open(self) -> Content:
        """Open the copy; may be called again.

        Raises:
            SourceUnavailable: It cannot be opened.
        """
        try:
            return CopyContent(item=self, file=self.path.open("rb"))
        except OSError as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: OSError) -> SourceUnavailable:
        """Return the error for a copy that its temporary directory does not give back."""
        check_host(error)
        return SourceUnavailable(f"the copy of {os.fsdecode(self.entry.path)} cannot be read: {error.strerror}")


@dataclass(frozen=True, slots=True)
class SqliteCapture:
    """One checked copy. All of the database was checked before it is made."""

    item: CopyItem
    facts: dict[str, str] = field(default_factory=dict)
    recognized_by: dict[str, str] = field(default_factory=dict)
    ordered: bool = True
    sequential: bool = False

    def items(self) -> Iterator[Item]:
        """Yield the one file."""
        yield self.item

    def marks(self) -> dict[str, str]:
        """Return the marks of the database."""
        return dict(self.recognized_by)

    def problems(self) -> list[Problem]:
        """Return nothing: a database is whole, or there is no snapshot."""
        return []

    def finish(self) -> dict[str, str]:
        """Return the facts, if the copy was read to its end.

        Raises:
            SourceUnavailable: It was not.
        """
        if not self.item.was_read:
            raise SourceUnavailable(f"the copy of {os.fsdecode(self.item.entry.path)} was not read to its end")
        return dict(self.facts)
