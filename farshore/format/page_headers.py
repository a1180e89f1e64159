"""Columns and pages of a Parquet file, as it describes them before any of it is given to Arrow. Pure.

Both are structs in the compact protocol of Thrift. The numbers that a bound follows from are read, and no others. Arrow
ends the process on the metadata of a column whose size statistics do not fit its levels, so it is not asked for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from farshore.errors import ObjectCorrupt

HEADER_BYTES_MAX = 64 * 1024  # with the statistics of a page, whose values are at most a few kB
_DEPTH_MAX = 8
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_KIND, _PLAIN_BYTES, _STORED_BYTES, _DATA, _DICTIONARY, _DATA_2 = 1, 2, 3, 5, 7, 8  # fields of a page header
_VALUES, _ENCODING, _ENCODING_2 = 1, 2, 4  # fields of the struct below it
_ROW_GROUPS, _COLUMNS, _META = 4, 1, 3  # fields of the metadata, of a row group, of a column in it
_TYPE, _CODEC, _STORED, _DATA_AT, _DICTIONARY_AT = 1, 4, 7, 9, 11  # fields of a column's own metadata
_Struct = dict[int, "int | _Struct | list[_Struct]"]


class PageKind(IntEnum):
    """The kinds of pages that hold values."""

    DATA = 0
    DICTIONARY = 2
    DATA_2 = 3


class Encoding(IntEnum):
    """Encodings of values whose values need no more room decoded than their page, or the dictionary, has."""

    PLAIN = 0
    PLAIN_DICTIONARY = 2
    RLE = 3
    RLE_DICTIONARY = 8


class Codec(IntEnum):
    """Compressions of a column that a writer of ours uses."""

    NONE = 0
    ZSTD = 6


class PhysicalType(IntEnum):
    """Types of a column that a writer of ours uses."""

    BOOLEAN = 0
    INT32 = 1
    INT64 = 2
    DOUBLE = 5
    BYTE_ARRAY = 6


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """One column of a row group: from `start`, where its dictionary or first page is, `stored_bytes`."""

    type: PhysicalType
    codec: Codec
    start: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `start`: where its stored bytes begin; `plain_bytes`: as many as it claims once decompressed."""

    kind: PageKind
    start: int
    stored_bytes: int
    plain_bytes: int
    values: int
    encoding: Encoding

    @property
    def end(self) -> int:
        """Where the header of the next page begins."""
        return self.start + self.stored_bytes


def column_chunks(metadata: bytes) -> list[list[ColumnChunk]]:
    """Return the columns of each row group, from the metadata at the end of a file.

    Raises:
        ObjectCorrupt: They cannot be read, or a column is of a type or compression that no writer of ours uses.
    """
    groups = _list_of(_Reader(metadata, 0, len(metadata)).struct(0), _ROW_GROUPS)
    return [[_column_chunk(column) for column in _list_of(group, _COLUMNS)] for group in groups]


def _column_chunk(column: _Struct) -> ColumnChunk:
    meta = column.get(_META)
    if not isinstance(meta, dict):
        raise ObjectCorrupt("a Parquet column has no metadata")
    try:
        start, stored = _number(meta, _DATA_AT), _number(meta, _STORED)
        dictionary = _number(meta, _DICTIONARY_AT) if _DICTIONARY_AT in meta else 0
        kind, codec = PhysicalType(_number(meta, _TYPE)), Codec(_number(meta, _CODEC))
    except (KeyError, ValueError) as error:
        raise ObjectCorrupt(
            f"a Parquet column is of a type or compression that no writer of ours uses: {error}"
        ) from error
    return ColumnChunk(kind, codec, dictionary if 0 < dictionary < start else start, stored)


def _list_of(fields: _Struct, field: int) -> list[_Struct]:
    found = fields.get(field)
    return found if isinstance(found, list) else []


def pages_of(data: bytes) -> Iterator[Page]:
    """Yield the pages of one column of a row group, which fill it.

    Raises:
        ObjectCorrupt: They do not; or a page is of another kind or encoding, or claims a negative number of anything.
    """
    at = 0
    while at < len(data):
        page = _page(data, at)
        if page.end > len(data):
            raise ObjectCorrupt("a Parquet page reaches beyond its column")
        yield page
        at = page.end


def _page(data: bytes, at: int) -> Page:
    reader = _Reader(data, at, min(len(data), at + HEADER_BYTES_MAX))
    fields = reader.struct(0)
    try:
        kind = PageKind(_number(fields, _KIND))
        which = {PageKind.DATA: _DATA, PageKind.DICTIONARY: _DICTIONARY, PageKind.DATA_2: _DATA_2}[kind]
        of_kind = fields[which]
        if not isinstance(of_kind, dict):
            raise ObjectCorrupt("a Parquet page has no header of its kind")
        encoding = Encoding(_number(of_kind, _ENCODING_2 if kind is PageKind.DATA_2 else _ENCODING))
        sizes = _number(fields, _STORED_BYTES), _number(fields, _PLAIN_BYTES), _number(of_kind, _VALUES)
    except (KeyError, ValueError) as error:
        raise ObjectCorrupt(f"a Parquet page is of a kind or encoding that no writer of ours uses: {error}") from error
    if min(sizes) < 0:
        raise ObjectCorrupt("a Parquet page claims a negative size")
    return Page(kind, reader.at, *sizes, encoding)


def _number(fields: _Struct, field: int) -> int:
    found = fields[field]
    if not isinstance(found, int):
        raise ObjectCorrupt("a Parquet page has a struct for a number")
    return found


class _Reader:
    """Reads one struct of the compact protocol, between two places of the data."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._end = end
        self.at = at

    def struct(self, depth: int) -> _Struct:
        """Return numbers, structs and lists of structs by field; of a field that is there twice the last one."""
        if depth > _DEPTH_MAX:
            raise ObjectCorrupt("a Parquet page header is nested too deeply")
        found: _Struct = {}
        field = 0
        while kind := (head := self._byte()) & 0x0F:
            step = head >> 4
            field = field + step if step else self._zigzag()
            if kind in (_TRUE, _FALSE):
                continue
            value = self._value(kind, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, depth: int) -> int | _Struct | list[_Struct] | None:
        """Return a number, a struct or a list of structs; skip anything else."""
        match kind:
            case k if k in (_I16, _I32, _I64):
                return self._zigzag()
            case k if k == _STRUCT:
                return self.struct(depth + 1)
            case k if k in (_BYTE, _TRUE, _FALSE):
                self._skip(1)
            case k if k == _DOUBLE:
                self._skip(8)
            case k if k == _BINARY:
                self._skip(self._varint())
            case k if k in (_LIST, _SET):
                return self._list(depth)
            case _:
                raise ObjectCorrupt(f"a Parquet page header has a field of kind {kind}")
        return None

    def _list(self, depth: int) -> list[_Struct]:
        head = self._byte()
        count = head >> 4
        if count == 0x0F:
            count = self._varint()
        if count > self._end - self.at:
            raise ObjectCorrupt("a Parquet page header is cut short")
        values = [self._value(head & 0x0F, depth + 1) for _ in range(count)]
        return [one for one in values if isinstance(one, dict)]

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > self._end:
            raise ObjectCorrupt("a Parquet page header is cut short, or too long")

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ObjectCorrupt("a Parquet page header has a number that is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
