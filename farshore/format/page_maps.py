"""Page maps as Parquet: full ones, and differences from one full one. docs/reference/format.md, section 5.

Pure: reads and writes file-like objects it is given. One row holds up to 65,536 pages and is read and put together at
once, so memory does not grow with the size of a file.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.bounded_parquet import UNREADABLE, BoundedParquet, File

Words = npt.NDArray[np.uint64]  # two to a page
Mask = npt.NDArray[np.bool_]

_FULL_SCHEMA = pa.schema([
    pa.field("path", pa.binary(), nullable=False),
    pa.field("page_bytes", pa.int32(), nullable=False),
    pa.field("first_page", pa.int64(), nullable=False),
    pa.field("hashes", pa.binary(), nullable=False),
])  # fmt: skip
_DIFFERENCE_SCHEMA = pa.schema([
    *_FULL_SCHEMA,
    pa.field("kept", pa.int32(), nullable=False),
    pa.field("told", pa.binary(), nullable=False),
])  # fmt: skip
_BASE = b"farshore.base"
_SPENT = b"farshore.spent"
_POSITION = np.dtype("<u2")
_ROW_BYTES = 64  # about the size of a row besides its hashes
_FIELDS = {"told": "stored_positions"}  # of `PageRow`, where a column has another name


@dataclass(frozen=True, slots=True)
class PageRow:
    """Consecutive pages of one entry from page `first_page`; `hashes` are 16 bytes for each page that is stored here.

    In a difference, `kept` further pages of the row are as in its base, and `stored_positions` are the positions of the
    stored ones within the row, two bytes each; empty if all are stored. A row of no pages says that the entry has none.
    """

    path: bytes
    page_bytes: int
    first_page: int
    hashes: bytes
    kept: int = 0
    stored_positions: bytes = b""  # the column `told`

    @property
    def pages(self) -> int:
        """How many pages the row spans."""
        return len(self.hashes) // limits.PAGE_HASH_BYTES + self.kept


def words_of(hashes: bytes | memoryview) -> Words:
    """Return hashes as rows of two numbers, one row a page."""
    return np.frombuffer(hashes, "<u8").reshape(-1, 2)


def positions_to_bytes(positions: npt.NDArray[np.int64]) -> bytes:
    """Return positions within a row as a difference stores them."""
    return positions.astype(_POSITION).tobytes()


class PagesWriter:
    """Writes page rows to a file-like object; the rows of a path together, in page order. One thread.

    Args:
        base: Of a difference, the hash of the base object as hex; empty for a full map, whose rows keep nothing.
        spent: Bytes of the earlier differences from this base.
    """

    def __init__(self, sink: File, *, base: str = "", spent: int = 0) -> None:
        self._schema = _DIFFERENCE_SCHEMA if base else _FULL_SCHEMA
        names: list[str] = self._schema.names
        packed = {name: "none" if name == "hashes" or not base else "zstd" for name in names}
        self._writer = pq.ParquetWriter(
            sink, self._schema, compression=packed, use_dictionary=["path", "page_bytes"] if base else False,
            store_schema=False, write_statistics=False,
        )  # fmt: skip
        if base:
            self._writer.add_key_value_metadata({_BASE: base, _SPENT: str(spent)})
        self._rows: list[PageRow] = []
        self._bytes = 0
        self.rows = 0

    def add(self, row: PageRow) -> None:
        """Append one row. Row groups hold about 1 MiB of hashes."""
        self._rows.append(row)
        self.rows += 1
        self._bytes += len(row.hashes) + len(row.stored_positions) + _ROW_BYTES
        if self._bytes >= limits.MIB:
            self._flush()

    def add_absent(self, path: bytes) -> None:
        """Say of a difference that the snapshot has no pages of a path that the base has."""
        self.add(PageRow(path, 0, 0, b""))

    def close(self) -> None:
        """Write what is pending and the Parquet footer. The sink stays open."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            arrays = [
                pa.array([getattr(row, _FIELDS.get(item.name, item.name)) for row in self._rows], type=item.type)
                for item in self._schema
            ]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0


class PageMap:
    """Page hashes of an earlier snapshot, found by path. One thread; holds the paths and one row group in memory.

    Args:
        base: The full map that a difference is based on, and the hash of its object as the commit record gives it.

    Raises:
        ObjectCorrupt: It is no page map; it is a difference from another map; or, here and from every method, a rule
            of differences is broken, and nothing that was read may be used.
    """

    def __init__(self, file: File, *, base: tuple[PageMap, str] | None = None) -> None:
        self._rows: dict[bytes, list[tuple[int, int]]] = {}
        self._group: tuple[int, list[PageRow]] = (-1, [])
        self.base = base[0] if base else None
        self._names: list[str] = (_DIFFERENCE_SCHEMA if base else _FULL_SCHEMA).names
        try:
            self.bytes: int = file.seek(0, io.SEEK_END)
            self._file = BoundedParquet(file, label="a page map")
            metadata: dict[bytes, bytes] = self._file.metadata.metadata or {}
            if metadata.get(_BASE, b"") != (base[1].encode() if base else b""):
                raise ObjectCorrupt("a page map has another base than its commit record says")
            self.spent = int(metadata.get(_SPENT, b"0"))
            for group in range(self._file.groups):
                paths = self._file.read(group, ["path"]).column(0).to_pylist()
                for row, path in enumerate(paths):
                    self._rows.setdefault(path, []).append((group, row))
        except UNREADABLE as error:
            raise ObjectCorrupt(f"a page map is not readable Parquet: {error}") from error

    @property
    def spent_with_it(self) -> int:
        """Bytes of all differences from the same full map, this one included; 0 for a full one."""
        return 0 if self.base is None else self.spent + self.bytes

    @property
    def own_paths(self) -> Collection[bytes]:
        """Paths that have rows in this object itself."""
        return self._rows.keys()

    def cursor(self, path: bytes, page_bytes: int) -> PageCursor | None:
        """Return the hashes of one file, or None where there are none for pages of this size."""
        if self.base is not None and path not in self._rows:
            return self.base.cursor(path, page_bytes)
        first = next(self.own_rows(path), None)
        if first is None or not first.pages or first.page_bytes != page_bytes:
            return None
        return PageCursor(self.rows(path))

    def rows(self, path: bytes) -> Iterator[PageRow]:
        """Yield what is known of one file as rows of a full map, in page order."""
        if self.base is None:
            yield from self.own_rows(path)
        elif path in self._rows:
            yield from self._with_base(path, self.base)
        else:
            yield from self.base.rows(path)

    def own_rows(self, path: bytes) -> Iterator[PageRow]:
        """Yield the rows of one file as this object stores them."""
        for place in self._rows.get(path, ()):
            yield self._read(*place)

    def _with_base(self, path: bytes, base: PageMap) -> Iterator[PageRow]:
        """Yield the rows of a difference, with the hashes that they keep of the base."""
        below: PageCursor | None = None
        for row in self.own_rows(path):
            if not row.kept:
                if row.pages:
                    yield row
                continue
            below = below or base.cursor(path, row.page_bytes)
            if below is None:
                raise ObjectCorrupt("a page map keeps pages that its base does not have")
            yield _fill_from_base(row, below)

    def _read(self, group: int, row: int) -> PageRow:
        if self._group[0] != group:
            try:
                table = self._file.read(group, self._names)
                columns = [table.column(name).to_pylist() for name in self._names]
            except UNREADABLE as error:
                raise ObjectCorrupt(f"a page map is damaged in row group {group}: {error}") from error
            rows = [PageRow(*values) for values in zip(*columns, strict=True)]
            if self.base is not None:
                for one in rows:
                    _check(one)
            self._group = (group, rows)
        return self._group[1][row]


class PageCursor:
    """The page hashes of one file, forwards only."""

    def __init__(self, rows: Iterable[PageRow]) -> None:
        self._rows = iter(rows)
        self._first = 0
        self._hashes = b""
        self.pages_seen = 0  # of all rows that were reached

    def read(self, first_page: int, count: int) -> bytes:
        """Return hashes of `count` pages from `first_page`, fewer where the earlier file ended or a hole begins.

        Empty where a hole begins right there. Never goes back.
        """
        parts: list[bytes] = []
        while count > 0:
            known = len(self._hashes) // limits.PAGE_HASH_BYTES
            if first_page >= self._first + known:
                if not self._advance():
                    break
                continue
            if first_page < self._first:
                break  # a hole was there
            at = first_page - self._first
            part = self._hashes[at * limits.PAGE_HASH_BYTES : (at + count) * limits.PAGE_HASH_BYTES]
            parts.append(part)
            pages = len(part) // limits.PAGE_HASH_BYTES
            first_page += pages
            count -= pages
        return b"".join(parts)

    def fill(self, first_page: int, count: int) -> tuple[Words, Mask]:
        """Return the hashes of `count` pages from `first_page`, and which of them are known. Never goes back."""
        words: Words = np.zeros((count, 2), "<u8")
        known: Mask = np.zeros(count, dtype=bool)
        at = 0
        while at < count:
            part = words_of(self.read(first_page + at, count - at))
            words[at : at + len(part)] = part
            known[at : at + len(part)] = True
            at += len(part)
            if self._first <= first_page + at:
                break  # nothing follows, or all is there
            at = self._first - first_page
        return words, known

    def read_or_other(self, first_page: int, after: bytes) -> bytes:
        """Return hashes of the pages that `after` has hashes of, from `first_page` on; where none is known, another."""
        count = len(after) // limits.PAGE_HASH_BYTES
        before = self.read(first_page, count)
        if len(before) == len(after):
            return before
        known_count = len(before) // limits.PAGE_HASH_BYTES
        words, known = self.fill(first_page + known_count, count - known_count)
        if not known.any():
            return before  # the pages behind it count as unknown
        words[~known] = ~words_of(after)[known_count:][~known]
        return before + words.tobytes()

    def ended(self) -> bool:
        """Whether no row follows. The last thing to ask of a cursor."""
        return not self._advance()

    def _advance(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        self._first, self._hashes = row.first_page, row.hashes
        self.pages_seen += row.pages
        return True


def _fill_from_base(row: PageRow, base: PageCursor) -> PageRow:
    """Return a row of a difference as a row of a full map."""
    words, known = base.fill(row.first_page, row.pages)
    stored = np.frombuffer(row.stored_positions, _POSITION)
    words[stored] = words_of(row.hashes)
    known[stored] = True
    if not known.all():
        raise ObjectCorrupt("a page map keeps pages that its base does not have")
    return PageRow(row.path, row.page_bytes, row.first_page, words.tobytes())


def _check(row: PageRow) -> None:
    """Check one row of a difference against the rules of the format."""
    whole = len(row.stored_positions) % _POSITION.itemsize == 0
    stored: Any = np.frombuffer(row.stored_positions, _POSITION) if whole else None
    hashes, rest = divmod(len(row.hashes), limits.PAGE_HASH_BYTES)
    sound = (
        stored is not None
        and not rest
        and row.kept >= 0
        and row.pages <= limits.PAGES_PER_ROW_MAX
        and len(stored) == (hashes if row.kept else 0)
        and (not len(stored) or bool((np.diff(stored.astype(np.int64)) > 0).all() and stored[-1] < row.pages))
    )
    if not sound:
        raise ObjectCorrupt("a row of a page map breaks the rules of differences")
