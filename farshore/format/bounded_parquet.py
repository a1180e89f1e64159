"""Parquet files that somebody else wrote, read a row group at a time, and never more of it than its stored bytes allow.

A page of a few bytes may claim a gigabyte, or a dictionary of one long value that every row repeats. So each column
of a row group is looked at as it is read, before Arrow decompresses or decodes any of it. docs/reference/format.md,
section 8.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterable, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format.page_headers import (
    Codec,
    Encoding,
    Page,
    PageKind,
    PhysicalType,
    column_chunks,
    pages_of,
)
from farshore.model import dataclass

File = IO[bytes] | io.RawIOBase

UNREADABLE = (pa.ArrowException, OSError, LookupError, ValueError)  # what Arrow raises; column names may be no text
_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")
_NUMBER_BYTES = 8
_LENGTH = struct.Struct("<I")
_DICTIONARIES = (Encoding.PLAIN_DICTIONARY, Encoding.RLE_DICTIONARY)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a row group, as the metadata describe it."""

    start: int
    stored_bytes: int
    values_max: int
    packed: bool
    is_text: bool
    plain_bytes_max: int


@dataclass(slots=True)
class _Budget:
    """The stored bytes of the columns of one reading, and the bytes that they claim to be once decoded."""

    label: str
    stored_bytes: int = 0
    decoded_bytes: int = 0

    def spend(self, column: _Column, data: bytes) -> None:
        """Count a column. Raises `ObjectCorrupt` where it claims more than it may."""
        decoded = _decoded_bytes(column, data)
        allowed = column.plain_bytes_max + limits.PARQUET_UNPACKED_FACTOR * len(data)
        self.stored_bytes += len(data)
        self.decoded_bytes += min(decoded, allowed)
        total = max(limits.PARQUET_GROUP_BYTES_MAX, column.plain_bytes_max)
        if decoded > allowed or self.decoded_bytes > total + limits.PARQUET_UNPACKED_FACTOR * self.stored_bytes:
            raise ObjectCorrupt(
                f"{self.label} claims {decoded:,} bytes where {len(data):,} are stored, which no writer makes"
            )


class BoundedParquet:
    """A Parquet file in a seekable file-like object. One thread.

    Args:
        label: The kind of object, for messages.
        large: Columns of which one value may be large and packs well: `PARQUET_LARGE_BYTES_MAX` instead of
            `PARQUET_GROUP_BYTES_MAX`.
        checksums: Whether each page has a checksum, which is then verified.

    Raises:
        ObjectCorrupt: It is no Parquet file, or its metadata claim more than any writer makes.
    """

    def __init__(self, file: File, *, label: str, large: Collection[str] = (), checksums: bool = False) -> None:
        self._label = label
        self._large = large
        self._checked = _CheckedFile(file)
        try:
            self._chunks = column_chunks(_read_metadata(file, label))
            self._file = pq.ParquetFile(self._checked, page_checksum_verification=checksums, pre_buffer=False)
            leaves = self._file.metadata.schema
            self._paths = [leaves.column(at).path for at in range(len(leaves))]
            self._repeated = [leaves.column(at).max_repetition_level > 0 for at in range(len(leaves))]
            self.schema: pa.Schema = self._file.schema_arrow
        except UNREADABLE as error:
            raise ObjectCorrupt(f"{label} is not readable Parquet: {error}") from error
        self.names: Sequence[str] = self.schema.names
        self.metadata: pq.FileMetaData = self._file.metadata
        self.groups: int = self._file.num_row_groups
        if len(self._chunks) != self.groups or any(len(one) != len(self._paths) for one in self._chunks):
            raise ObjectCorrupt(f"{label} has row groups that lack columns")
        self._check_rows()

    @property
    def leaves(self) -> Sequence[str]:
        """The paths of the columns as they are stored, in their order in a row group."""
        return self._paths

    def read(self, group: int, names: Iterable[str]) -> pa.Table:
        """Return some columns of one row group.

        Raises:
            ObjectCorrupt: It is damaged, or claims more than its stored bytes allow.
        """
        chosen = list(names)
        if not self.metadata.row_group(group).num_rows:  # its columns say nothing of where they are
            return self.schema.empty_table().select(chosen)
        try:
            self._checked.expect(self._columns(group, set(chosen)), _Budget(self._label))
            return self._file.read_row_group(group, columns=chosen, use_threads=False)
        except UNREADABLE as error:
            raise ObjectCorrupt(f"{self._label} is damaged in row group {group}: {error}") from error

    def check(self) -> None:
        """Look at all columns of all row groups, and decode none. Raises `ObjectCorrupt` as `read`."""
        for group in range(self.groups):
            if not self.metadata.row_group(group).num_rows:
                continue
            try:
                columns = self._columns(group, self.names)
            except UNREADABLE as error:
                raise ObjectCorrupt(f"{self._label} is damaged in row group {group}: {error}") from error
            self._checked.expect(columns, _Budget(self._label))
            for one in columns:
                self._checked.seek(one.start)
                self._checked.read(one.stored_bytes)

    def _columns(self, group: int, names: Collection[str]) -> list[_Column]:
        metadata = self.metadata.row_group(group)
        found = []
        for at, (path, one) in enumerate(zip(self._paths, self._chunks[group], strict=True)):
            name = path.partition(".")[0]
            if name not in names:
                continue
            found.append(
                _Column(
                    one.start, one.stored_bytes,
                    limits.PARQUET_LIST_VALUES_MAX if self._repeated[at] else metadata.num_rows,
                    one.codec is not Codec.NONE, one.type is PhysicalType.BYTE_ARRAY,
                    limits.PARQUET_LARGE_BYTES_MAX if name in self._large else limits.PARQUET_GROUP_BYTES_MAX,
                )
            )  # fmt: skip
        return found

    def _check_rows(self) -> None:
        rows = [self.metadata.row_group(group).num_rows for group in range(self.groups)]
        if sum(rows) != self.metadata.num_rows or any(not 0 <= n <= limits.PARQUET_GROUP_ROWS_MAX for n in rows):
            raise ObjectCorrupt(f"{self._label} claims more rows than a row group may have, or than its groups have")


def _read_metadata(file: File, label: str) -> bytes:
    """Return the metadata, once it is known that they are not too long. Leaves the file at its beginning.

    Each byte of them may cost hundreds of memory.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _TAIL.size, 0))
    tail = file.read(_TAIL.size) or b""
    file.seek(0)
    if len(tail) != _TAIL.size or tail[4:] != _MAGIC:
        raise ObjectCorrupt(f"{label} is not readable Parquet: it does not end as such a file does")
    length = _TAIL.unpack(tail)[0]
    if length > limits.PARQUET_METADATA_BYTES + size // limits.PARQUET_METADATA_SHARE:
        raise ObjectCorrupt(f"{label} has more metadata than any writer makes")
    file.seek(max(size - _TAIL.size - length, 0))
    metadata = file.read(length) or b""
    file.seek(0)
    return metadata


class _CheckedFile(io.RawIOBase):
    """The file as Arrow reads it: columns of a row group are looked at before it gets them."""

    def __init__(self, file: File) -> None:
        super().__init__()
        self._file = file
        self._columns: dict[tuple[int, int], _Column] | None = None
        self._budget = _Budget("")

    def expect(self, columns: Iterable[_Column], budget: _Budget) -> None:
        """From now on give these columns, each as a whole, and nothing else."""
        self._columns = {(one.start, one.stored_bytes): one for one in columns}
        self._budget = budget

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if self._columns is None:  # the metadata, whose length was checked
            return self._file.read(-1 if size is None else size) or b""
        column = self._columns.get((self._file.tell(), size if size is not None else -1))
        if column is None:
            raise ObjectCorrupt(f"{self._budget.label} has columns that are not where its metadata say")
        data = self._file.read(column.stored_bytes) or b""
        self._budget.spend(column, data)
        return data


def _decoded_bytes(column: _Column, data: bytes) -> int:
    """Return how many bytes a column has at most once decoded. Raises `ObjectCorrupt` where its pages are no good."""
    total = values = repeated = longest = 0
    for page in pages_of(data):
        total += page.plain_bytes
        if total > column.plain_bytes_max + limits.PARQUET_UNPACKED_FACTOR * len(data):
            return total
        if page.kind is PageKind.DICTIONARY:
            longest = max(longest, _longest(column, page, data) if column.is_text else _NUMBER_BYTES)
            continue
        values += page.values
        if page.encoding in _DICTIONARIES:
            repeated += page.values
    if values > column.values_max:
        raise ObjectCorrupt(
            f"a Parquet column has {values:,} values, which no writer makes: {column.values_max:,} at most"
        )
    return total + values * _NUMBER_BYTES + repeated * longest


def _longest(column: _Column, page: Page, data: bytes) -> int:
    """Return the length of the longest text of a dictionary."""
    if page.values > limits.PARQUET_DICTIONARY_VALUES_MAX:
        raise ObjectCorrupt("a Parquet column has a dictionary of more values than any writer makes")
    stored = memoryview(data)[page.start : page.end]
    plain = bytes(stored)
    if column.packed:
        plain = pa.decompress(stored, decompressed_size=page.plain_bytes, codec="zstd", asbytes=True)
    longest = at = 0
    for _ in range(page.values):
        if at + _LENGTH.size > len(plain):
            raise ObjectCorrupt("a Parquet dictionary is cut short")
        length = _LENGTH.unpack_from(plain, at)[0]
        longest = max(longest, length)
        at += _LENGTH.size + length
    return longest
