"""Page maps: the hashes of the pages of files, in one or more runs, merged as they are read.

Pure: reads and writes file-like objects it is given. docs/reference/format.md, section 5. A row has what one run says
of one slot, which is `PAGE_SLOT_PAGES` pages of a file; so memory holds a block of each run, whatever a file's size.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from farshore import limits
from farshore.errors import READ_ERRORS, Bug, ObjectCorrupt
from farshore.format.bounded_parquet import File
from farshore.format.choosing import sort_key
from farshore.format.run_blocks import Block, BlockLimits, BlockReader, BlockWriter

Words = npt.NDArray[np.uint64]  # two to a page
Mask = npt.NDArray[np.bool_]
Key = tuple[bytes, int]
Found = TypeVar("Found")

SLOT_PAGES = limits.PAGE_SLOT_PAGES
SCHEMA = pa.schema([
    pa.field("path", pa.binary(), nullable=False),
    pa.field("slot", pa.int64(), nullable=False),
    pa.field("page_bytes", pa.int32(), nullable=False),
    pa.field("whole", pa.bool_(), nullable=False),
    pa.field("positions", pa.binary(), nullable=False),
    pa.field("hashes", pa.binary(), nullable=False),
    pa.field("gone", pa.binary(), nullable=False),
])  # fmt: skip
_POSITION = np.dtype("<u2")
_SLOT = struct.Struct(">Q")
_SLOT_MAX = (1 << 64) - 1
_ROW_BYTES = 64  # about the size of a row besides its hashes and positions
_LIMITS = BlockLimits(rows=limits.MANIFEST_BLOCK_ROWS, plain_bytes=limits.PAGE_MAP_BLOCK_BYTES)


class PageRow(NamedTuple):
    """The pages of one slot of a file: pages `slot` * `SLOT_PAGES` and on.

    `hashes` are 16 bytes for each page that the row has, at these `positions` within the slot, two bytes each; no
    positions where they are the first ones. `gone` are positions of pages that older runs may know and the file has
    no more. Where the row is `whole`, nothing that older runs say of the slot counts.
    """

    path: bytes
    slot: int
    page_bytes: int
    whole: bool
    positions: bytes
    hashes: bytes
    gone: bytes = b""

    @property
    def pages(self) -> int:
        """How many pages it has hashes of."""
        return len(self.hashes) // limits.PAGE_HASH_BYTES


def key_of(row: PageRow) -> Key:
    """Return what rows are ordered by."""
    return sort_key(row.path), row.slot


def words_of(hashes: bytes | memoryview) -> Words:
    """Return hashes as rows of two numbers, one row a page."""
    return np.frombuffer(hashes, "<u8").reshape(-1, 2)


def absent(path: bytes, slot: int) -> PageRow:
    """Return the row that says of a slot that the file has no page of it any more."""
    return PageRow(path, slot, 0, whole=True, positions=b"", hashes=b"")


def make_row(path: bytes, slot: int, page_bytes: int, words: Words, stored: Mask, gone: Mask | None) -> PageRow:
    """Return a row of those of a slot's hashes that are `stored`; it is whole where nothing is said to be `gone`."""
    positions = np.flatnonzero(stored)
    first_ones = not len(positions) or int(positions[-1]) == len(positions) - 1
    return PageRow(
        path, slot, page_bytes, gone is None, b"" if first_ones else positions.astype(_POSITION).tobytes(),
        words[stored].tobytes(), b"" if gone is None else np.flatnonzero(gone).astype(_POSITION).tobytes(),
    )  # fmt: skip


def known_pages(row: PageRow) -> tuple[Words, Mask]:
    """Return the hashes of all pages of a slot, and which of them the row has."""
    words: Words = np.zeros((SLOT_PAGES, 2), "<u8")
    known: Mask = np.zeros(SLOT_PAGES, dtype=bool)
    at = _places(row)
    words[at] = words_of(row.hashes)
    known[at] = True
    return words, known


def overlay(*rows: PageRow) -> PageRow:
    """Return what several runs say of one slot as one row.

    Args:
        rows: Oldest first; at least one.

    Raises:
        ObjectCorrupt: They have pages of other sizes.
    """
    rows = rows[max((at for at, row in enumerate(rows) if row.whole), default=0) :]
    oldest, newest = rows[0], rows[-1]
    if len(rows) == 1:
        return oldest
    sizes = {row.page_bytes for row in rows if row.page_bytes}
    if len(sizes) > 1:
        raise ObjectCorrupt("runs of a page map have pages of other sizes in one slot")
    words, known = known_pages(oldest)
    gone: Mask = np.zeros(SLOT_PAGES, dtype=bool)
    gone[np.frombuffer(oldest.gone, _POSITION)] = True
    for row in rows[1:]:
        lost = np.frombuffer(row.gone, _POSITION)
        known[lost] = False
        gone[lost] = True
        at = _places(row)
        words[at] = words_of(row.hashes)
        known[at] = True
        gone[at] = False
    return make_row(newest.path, newest.slot, newest.page_bytes, words, known, None if oldest.whole else gone)


def merge_rows(runs: Sequence[Iterable[PageRow]], *, all_runs: bool) -> Iterator[PageRow]:
    """Yield the rows of several runs as one run has them, in order.

    Args:
        runs: Oldest first.
        all_runs: The oldest of the map is among them. So all rows are whole, and slots without pages are left out.
    """
    for _, rows in groupby(merge(*runs, key=key_of), key_of):
        row = overlay(*rows)
        if not all_runs:
            yield row
        elif row.hashes:
            yield row if row.whole else row._replace(whole=True, gone=b"")


class PagesWriter:
    """Writes rows, given in order, to a file-like object. One thread. Memory: a block."""

    def __init__(self, sink: File) -> None:
        self._blocks = BlockWriter(
            sink, dictionary_columns=["path", "page_bytes"], key_of=_block_key, block_limits=_LIMITS
        )
        self._rows: list[PageRow] = []
        self._bytes = 0
        self._last: Key | None = None
        self.rows = 0
        self.pages = 0  # with a hash

    def add(self, row: PageRow) -> None:
        """Append one row."""
        key = key_of(row)
        if self._last is not None and key <= self._last:
            raise Bug("rows of a page map are out of order")
        size = len(row.hashes) + len(row.positions) + len(row.gone) + _ROW_BYTES
        if self._bytes + size > _LIMITS.plain_bytes:
            self._flush()
        self._last = key
        self._rows.append(row)
        self._bytes += size
        self.rows += 1
        self.pages += row.pages
        if len(self._rows) >= _LIMITS.rows:
            self._flush()

    def close(self) -> None:
        """Write what is pending and the index. The sink stays open."""
        self._flush()
        self._blocks.close()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(SCHEMA, zip(*self._rows, strict=True), strict=True)
            self._blocks.write(
                pa.Table.from_arrays([pa.array(values, item.type) for item, values in columns], schema=SCHEMA)
            )
        self._rows, self._bytes = [], 0


class PageMap:
    """The page hashes of a snapshot, from the files of its runs, the oldest first. One thread.

    `broken`: something of it could not be read. All that was read until then is right.

    Raises:
        ObjectCorrupt: Here and from every method that reads: a run is damaged, or no page map.
    """

    def __init__(self, *files: File) -> None:
        self.files = files
        self._runs = [_Run(file) for file in files]
        self.broken = False

    def cursor(self, path: bytes, page_bytes: int) -> PageCursor | None:
        """Return the hashes of one file, or None where there are none for pages of this size."""
        cursor = PageCursor(self.rows(path))
        return cursor if cursor.page_bytes == page_bytes else None

    def rows(self, path: bytes) -> Iterator[PageRow]:
        """Yield what is known of one file, in order; every row is whole and has hashes."""
        yield from self._noted(merge_rows([run.rows_of(path) for run in self._runs], all_runs=True))

    def merged(self, *, all_runs: bool) -> Iterator[PageRow]:
        """Yield the rows of all files as one run has them, as `merge_rows` says."""
        yield from self._noted(merge_rows([run.rows() for run in self._runs], all_runs=all_runs))

    def paths(self) -> set[bytes]:
        """Return all paths that any run names, gone ones among them. Blocks with pages of one file are not read."""
        return set(self._noted(path for run in self._runs for path in run.paths()))

    def bytes_within(self, within: Callable[[bytes, bytes], bool]) -> int:
        """Return the stored bytes of the blocks that may have paths for which `within` (first, last) is true."""
        return sum(run.bytes_within(within) for run in self._runs)

    def _noted(self, found: Iterator[Found]) -> Iterator[Found]:
        try:
            yield from found
        except OSError as error:
            self.broken = True
            raise ObjectCorrupt(f"a page map cannot be read: {error}") from error
        except READ_ERRORS:
            self.broken = True
            raise


class PageCursor:
    """The rows of one file, forwards only."""

    def __init__(self, rows: Iterable[PageRow]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self.page_bytes = self._next.page_bytes if self._next else 0  # of its first row; 0 where there is none
        self._at: tuple[int, Words, Mask] | None = None  # the slot that was read last

    def before(self, slot: int | None) -> Iterator[PageRow]:
        """Yield and drop the rows of all slots before one, or of all."""
        while self._next is not None and (slot is None or self._next.slot < slot):
            row, self._next = self._next, None
            yield row
            self._next = next(self._rows, None)

    def pop(self, slot: int) -> PageRow | None:
        """Return and drop the row of a slot; `before` drops those before it."""
        if self._next is None or self._next.slot != slot:
            return None
        row, self._next = self._next, None
        self._next = next(self._rows, None)
        return row

    def read(self, first_page: int, count: int) -> bytes:
        """Return hashes of `count` pages from `first_page`, up to the first that is not known. Never goes back."""
        parts: list[bytes] = []
        while count > 0:
            slot, at = divmod(first_page, SLOT_PAGES)
            words, known = self._slot(slot)
            wanted = min(count, SLOT_PAGES - at)
            unknown = np.flatnonzero(~known[at : at + wanted])
            found = int(unknown[0]) if len(unknown) else wanted
            parts.append(words[at : at + found].tobytes())
            if found < wanted:
                break
            first_page, count = first_page + found, count - found
        return b"".join(parts)

    def _slot(self, slot: int) -> tuple[Words, Mask]:
        if self._at is None or self._at[0] != slot:
            for _ in self.before(slot):
                pass
            row = self.pop(slot)
            usable = row is not None and row.page_bytes == self.page_bytes
            self._at = (slot, *known_pages(row if row is not None and usable else absent(b"", slot)))
        return self._at[1:]


class _Run:
    """One run of a page map. Holds its index and the rows of one block in memory."""

    def __init__(self, file: File) -> None:
        self._reader = BlockReader(file, SCHEMA, label="a page map")
        self._firsts = [_parse_key(block.first) for block in self._reader.blocks]
        self._lasts = [_parse_key(block.last) for block in self._reader.blocks]
        self._held: tuple[int, list[PageRow]] = (-1, [])

    def rows(self, start: Key = (b"", 0)) -> Iterator[PageRow]:
        """Yield the rows from a key on."""
        last: Key | None = None
        for number in range(bisect_left(self._lasts, start), len(self._lasts)):
            for row in self._block(number):
                key = key_of(row)
                if last is not None and key <= last:
                    raise ObjectCorrupt("a page map has rows out of order")
                last = key
                if key >= start:
                    yield row

    def rows_of(self, path: bytes) -> Iterator[PageRow]:
        """Yield the rows of one file. Where they are in a few blocks, these are read at once."""
        key = sort_key(path)
        first = bisect_left(self._lasts, (key, 0))
        end = bisect_right(self._firsts, (key, _SLOT_MAX))
        blocks = self._reader.blocks[first:end]
        if len(blocks) > 1 and sum(block.stored_bytes for block in blocks) <= limits.MANIFEST_FEW_BYTES:
            self._reader.read_ahead(blocks)
        for row in self.rows((key, 0)):
            if row.path != path:
                return
            yield row

    def paths(self) -> Iterator[bytes]:
        """Yield every path once for each block that it is in."""
        for block in self._reader.blocks:
            first, last = _path_of(block.first), _path_of(block.last)
            yield from {first} if first == last else set(self._reader.read(block, ["path"]).column(0).to_pylist())

    def bytes_within(self, within: Callable[[bytes, bytes], bool]) -> int:
        blocks = (one for one in self._reader.blocks if within(_path_of(one.first), _path_of(one.last)))
        return sum(block.stored_bytes for block in blocks)

    def _block(self, number: int) -> list[PageRow]:
        if self._held[0] != number:
            block: Block = self._reader.blocks[number]
            table = self._reader.read(block, SCHEMA.names)
            rows = [PageRow(*values) for values in zip(*(one.to_pylist() for one in table.columns), strict=True)]
            for row in rows:
                _check(row)
            if key_of(rows[-1]) != self._lasts[number]:
                raise ObjectCorrupt("a page map has another block than its index says")
            self._held = (number, rows)
        return self._held[1]


def _block_key(table: pa.Table, row: int) -> bytes:
    """Return the first or last key of a block as the index has it."""
    return bytes(table.column("path")[row].as_py()) + b"\x00" + _SLOT.pack(table.column("slot")[row].as_py())


def _parse_key(key: bytes) -> Key:
    return sort_key(_path_of(key)), int(_SLOT.unpack(key[-_SLOT.size :])[0])


def _path_of(key: bytes) -> bytes:
    path, end = key[: -_SLOT.size - 1], key[-_SLOT.size - 1 :]
    if len(end) != _SLOT.size + 1 or end[0]:
        raise ObjectCorrupt("the index of a page map names no path and slot")
    return path


def _places(row: PageRow) -> npt.NDArray[np.uint16] | slice:
    """Return where the hashes of a row belong in its slot."""
    return np.frombuffer(row.positions, _POSITION) if row.positions else slice(0, row.pages)


def _check(row: PageRow) -> None:
    """Check one row against the rules of the format."""
    pages, rest = divmod(len(row.hashes), limits.PAGE_HASH_BYTES)
    sound = (
        not rest
        and pages <= SLOT_PAGES
        and row.slot >= 0
        and row.page_bytes >= 0
        and (bool(row.page_bytes) or not pages)
        and (row.whole or bool(row.page_bytes))
        and len(row.positions) in (0, pages * _POSITION.itemsize)
        and not (row.whole and row.gone)
        and _ascend(row.positions)
        and _ascend(row.gone)
    )
    if not sound:
        raise ObjectCorrupt("a row of a page map breaks the rules of the format")


def _ascend(positions: bytes) -> bool:
    """Whether these are positions within a slot, each once, in order."""
    if len(positions) % _POSITION.itemsize:
        return False
    numbers = np.frombuffer(positions, _POSITION).astype(np.int64)
    return not len(numbers) or bool((np.diff(numbers) > 0).all() and numbers[-1] < SLOT_PAGES)
