"""Predicate push-down for manifests: blocks are skipped by their first and last path, rows by path and kind.

Pure. A block's bounds are its first and last path in the order of the manifest, in which all paths with one beginning
are neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from farshore.format import arrow as pc
from farshore.format.columns import whole
from farshore.model import EntryKind, dataclass

COLUMNS = ("path", "kind")


class Choice(Protocol):
    """A predicate on rows. Pure."""

    def within(self, low: bytes, high: bytes) -> bool:
        """Return whether a wanted path may be from `low` to `high`, both in the order of manifests."""
        ...

    def rows(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row of a table of `COLUMNS` whether it is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Subtree:
    """The entry at a path and those below it, or only those right below. The empty path is the root."""

    path: bytes
    recursive: bool = True

    def within(self, low: bytes, high: bytes) -> bool:
        """Return whether a wanted path may be between `low` and `high`."""
        return _may_begin(self.path, low, high)

    def rows(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row whether it is wanted."""
        paths = whole(table.column("path"))
        chosen = pc.equal(paths, pa.scalar(self.path, pa.binary()))
        below = pc.starts_with(paths, pattern=self.path + b"/") if self.path else pc.invert(chosen)
        if not self.recursive:
            depth = self.path.count(b"/") + 1 if self.path else 0
            below = pc.and_(below, pc.equal(pc.count_substring(paths, pattern=b"/"), depth))
        return pc.or_(chosen, below)


@dataclass(frozen=True, slots=True)
class Alike:
    """Entries whose path begins with `prefix` and holds `text` somewhere; directories need not hold it."""

    prefix: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Candidates:
    """The paths that patterns may select, judged by their plain text; and some further paths."""

    alike: Sequence[Alike]
    paths: Sequence[bytes] = ()

    def within(self, low: bytes, high: bytes) -> bool:
        """Return whether a wanted path may be between `low` and `high`."""
        return any(_may_begin(one.prefix, low, high) for one in self.alike) or any(
            sort_key(low) <= sort_key(path) <= sort_key(high) for path in self.paths
        )

    def rows(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row whether it is wanted."""
        paths = whole(table.column("path"))
        chosen = pc.is_in(paths, value_set=pa.array(self.paths, pa.binary()))
        directories = pc.equal(whole(table.column("kind")), str(EntryKind.DIRECTORY))
        for one in self.alike:
            holds = pc.or_(directories, pc.match_substring(paths, pattern=one.text))
            chosen = pc.or_(chosen, pc.and_(pc.starts_with(paths, pattern=one.prefix), holds))
        return chosen


@dataclass(frozen=True, slots=True)
class HardLinks:
    """Those of another choice that are hard links."""

    among: Choice

    def within(self, low: bytes, high: bytes) -> bool:
        """Return whether a wanted path may be between `low` and `high`."""
        return self.among.within(low, high)

    def rows(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row whether it is wanted."""
        links = pc.equal(whole(table.column("kind")), str(EntryKind.HARDLINK))
        return pc.and_(links, self.among.rows(table)) if pc.any(links).as_py() else links


def sort_key(path: bytes) -> bytes:
    """Return the bytes by which paths are ordered: a directory is right before its contents."""
    return path.replace(b"/", b"\x00")


def _may_begin(prefix: bytes, low: bytes, high: bytes) -> bool:
    """Whether a path that begins with `prefix` may be from `low` to `high`."""
    beginning, first = sort_key(prefix), sort_key(low)
    return sort_key(high) >= beginning and first[: len(beginning)] <= beginning
