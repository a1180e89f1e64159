"""Runs of a manifest without some of their rows. Pure; works on the tables that `ManifestReader` yields.

A row is *removed* where no snapshot may have its path any more. Merging the remaining rows of several runs must give
the remaining rows of the merged runs: so a newer row that is removed only for its kind, as a directory for instance,
leaves a mark, or an older row of its path would show again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from farshore.format.choosing import Choice
from farshore.format.columns import binaries, binary_buffers
from farshore.format.entries import texts
from farshore.format.extents import EXTENT_BYTES, EXTENT_DTYPE
from farshore.format.manifest import ManifestReader, marks_of
from farshore.format.merged_tables import GONE
from farshore.model import EntryKind

Table = Any  # pyarrow.Table
Ids = npt.NDArray[Any]  # `V32`
_PATHS = ("path", "kind", "state")
_ROWS = (*_PATHS, "size", "page_bytes", "target", "extents")


class Removal(Protocol):
    """Which paths are removed."""

    @property
    def candidates(self) -> Choice:
        """All that may be, and others."""
        ...

    def removes(self, path: bytes, *, directory: bool) -> bool:
        """Return whether an entry is removed, itself or with a directory above it."""
        ...


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """An entry that is removed."""

    file: bool
    size: int
    paged: bool


@dataclass
class FoundRows:
    """The rows of one run that matter to a removal.

    `last`: by path what the run says of it, None where it is gone, or not removed because of its kind. `touched`:
    whether the run has such a row at all. `chunks`: ids of the content that is removed, end to end.
    """

    last: dict[bytes, RemovedRow | None] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    touched: bool = False


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows that stay, of one block: the chunks of their content, and which row each is of.

    `links`: hard links among them whose file is removed.
    """

    paths: Sequence[bytes]
    chunks: Ids
    row_of: npt.NDArray[np.int64]
    links: Sequence[bytes]


def find_removed(run: ManifestReader, removal: Removal) -> FoundRows:
    """Return what a removal finds in a run; blocks that can have none of it are not read."""
    found = FoundRows()
    for table in run.tables(_ROWS, removal.candidates):
        for at, path, kind in _rows_of(table):
            as_file, as_directory = _removes(removal, path)
            if not (as_file or as_directory):
                continue
            directory = kind == EntryKind.DIRECTORY
            removed = bool(kind) and (as_directory if directory else as_file)
            found.touched |= removed or (not kind and as_file and as_directory)
            found.last[path] = None
            if removed:
                size, paged = int(table.column("size")[at].as_py()), bool(table.column("page_bytes")[at].as_py())
                found.last[path] = RemovedRow(kind == EntryKind.FILE, size, paged)
                extents = np.frombuffer(table.column("extents")[at].as_py(), EXTENT_DTYPE)
                found.chunks.append(np.ascontiguousarray(extents["chunk"]).tobytes())
    return found


def kept_rows(run: ManifestReader, removal: Removal | None) -> Iterator[KeptRows]:
    """Yield the rows of a run that stay; all where there is no removal."""
    for table in run.tables(_ROWS):
        removed = np.zeros(table.num_rows, dtype=bool)
        links: list[bytes] = []
        if removal is not None:
            for at in _candidates(table, removal):
                removed[at] = _is_removed(removal, table, at)
            links = list(_links(table, removal, removed))
        data, ends = binary_buffers(table.column("extents"))
        if len(data) % EXTENT_BYTES:
            continue  # which a restore and a verify report
        counts = np.diff(ends) // EXTENT_BYTES
        row_of = np.repeat(np.arange(table.num_rows), counts)
        stays = ~removed[row_of]
        ids = np.ascontiguousarray(np.frombuffer(data, EXTENT_DTYPE)["chunk"])[stays]
        yield KeptRows(_Paths(table), ids, row_of[stays], links)


def rows_left(run: ManifestReader, removal: Removal, *, first: bool) -> Iterator[Table]:
    """Yield the rows of a run without what is removed, for `ManifestWriter.add_slice`.

    Args:
        first: It is the oldest run of its manifest, which has no marks.
    """
    for table in run.all_tables():
        start = 0
        for at in _candidates(table, removal):
            path, kind = table.column("path")[at].as_py(), table.column("kind")[at].as_py()
            as_file, as_directory = _removes(removal, path)
            both = as_file and as_directory
            if kind and (as_directory if kind == EntryKind.DIRECTORY else as_file):
                yield from _slice(table, start, at)
                if not (both or first):
                    yield marks_of(table.slice(at, 1).column("path").combine_chunks())
            elif not kind and both:
                yield from _slice(table, start, at)
            else:
                continue
            start = at + 1
        yield from _slice(table, start, table.num_rows)


class _Paths(Sequence[bytes]):
    """Paths of a table, decoded only where somebody asks for one."""

    def __init__(self, table: Table) -> None:
        self._column = table.column("path")

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, at: Any) -> Any:
        return self._column[int(at)].as_py()


def _slice(table: Table, start: int, end: int) -> Iterator[Table]:
    if start < end:
        yield table.slice(start, end - start)


def _removes(removal: Removal, path: bytes) -> tuple[bool, bool]:
    return removal.removes(path, directory=False), removal.removes(path, directory=True)


def _candidates(table: Table, removal: Removal) -> list[int]:
    mask = removal.candidates.rows(table)
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()


def _is_removed(removal: Removal, table: Table, at: int) -> bool:
    path, kind = table.column("path")[at].as_py(), table.column("kind")[at].as_py()
    return bool(kind) and removal.removes(path, directory=kind == EntryKind.DIRECTORY)


def _rows_of(table: Table) -> Iterator[tuple[int, bytes, str]]:
    kinds = texts(table.column("kind"))
    for at, (path, kind) in enumerate(zip(binaries(table.column("path")), kinds, strict=True)):
        yield at, path, "" if table.column("state")[at].as_py() == GONE else kind


def _links(table: Table, removal: Removal, removed: npt.NDArray[np.bool_]) -> Iterator[bytes]:
    """Yield the paths of hard links that stay although their file goes."""
    for at, kind in enumerate(texts(table.column("kind"))):
        if kind != EntryKind.HARDLINK or removed[at]:
            continue
        if removal.removes(table.column("target")[at].as_py(), directory=False):
            yield table.column("path")[at].as_py()
