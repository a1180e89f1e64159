"""Columns and pages of a Parquet file, as it describes them before any of it is given to Arrow. Pure.

Both are structs in the compact protocol of Thrift. The numbers that a bound follows from are read; all else is skipped
in one loop over local names, because a footer has some 300 structs and each audit file and each block has one. Arrow
ends the process on the metadata of a column whose size statistics do not fit its levels, so it is not asked for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from farshore.errors import ObjectCorrupt

HEADER_BYTES_MAX = 64 * 1024  # with the statistics of a page, whose values are at most a few kB
_DEPTH_MAX = 8
_NUMBER_BITS_MAX = 70
_CUT = "a Parquet page header is cut short, or too long"
_DEEP = "a Parquet page header is nested too deeply"
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_FIXED_BYTES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}  # of a field, where its number is no varint
_KIND, _PLAIN_BYTES, _STORED_BYTES, _DATA, _DICTIONARY, _DATA_2 = 1, 2, 3, 5, 7, 8  # fields of a page header
_VALUES, _ENCODING, _ENCODING_2 = 1, 2, 4  # fields of the struct below it
_ROW_GROUPS, _COLUMNS, _META = 4, 1, 3  # fields of the metadata, of a row group, of a column in it
_TYPE, _CODEC, _STORED, _DATA_AT, _DICTIONARY_AT = 1, 4, 7, 9, 11  # fields of a column's own metadata

_Struct = dict[int, "int | _Struct | list[_Struct]"]
_Wanted = Mapping[int, "_Wanted | None"]  # fields of a struct that are read: numbers, or structs and lists of them
_OF_PAGE: _Wanted = {_VALUES: None, _ENCODING: None, _ENCODING_2: None}
_PAGE_HEADER: _Wanted = {
    _KIND: None, _PLAIN_BYTES: None, _STORED_BYTES: None, _DATA: _OF_PAGE, _DICTIONARY: _OF_PAGE, _DATA_2: _OF_PAGE,
}  # fmt: skip
_COLUMN: _Wanted = {_TYPE: None, _CODEC: None, _STORED: None, _DATA_AT: None, _DICTIONARY_AT: None}
_METADATA: _Wanted = {_ROW_GROUPS: {_COLUMNS: {_META: _COLUMN}}}


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


_KINDS = {one.value: (one, field) for one, field in zip(PageKind, (_DATA, _DICTIONARY, _DATA_2), strict=True)}
_ENCODINGS = {one.value: one for one in Encoding}  # looked up, as an enum is called slowly
_CODECS = {one.value: one for one in Codec}
_TYPES = {one.value: one for one in PhysicalType}


class ColumnChunk(NamedTuple):
    """One column of a row group: from `start`, where its dictionary or first page is, `stored_bytes`."""

    type: PhysicalType
    codec: Codec
    start: int
    stored_bytes: int


class Page(NamedTuple):
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
    groups = _list_of(_read(metadata, 0, len(metadata), _METADATA)[0], _ROW_GROUPS)
    return [[_column_chunk(column) for column in _list_of(group, _COLUMNS)] for group in groups]


def _column_chunk(column: _Struct) -> ColumnChunk:
    meta = column.get(_META)
    if not isinstance(meta, dict):
        raise ObjectCorrupt("a Parquet column has no metadata")
    try:
        start, stored = _number(meta, _DATA_AT), _number(meta, _STORED)
        dictionary = _number(meta, _DICTIONARY_AT) if _DICTIONARY_AT in meta else 0
        kind, codec = _TYPES[_number(meta, _TYPE)], _CODECS[_number(meta, _CODEC)]
    except KeyError as error:
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
        at = page.start + page.stored_bytes
        if at > len(data):
            raise ObjectCorrupt("a Parquet page reaches beyond its column")
        yield page


def _page(data: bytes, at: int) -> Page:
    fields, start = _read(data, at, min(len(data), at + HEADER_BYTES_MAX), _PAGE_HEADER)
    try:
        kind, field = _KINDS[_number(fields, _KIND)]
        of_kind = fields[field]
        if not isinstance(of_kind, dict):
            raise ObjectCorrupt("a Parquet page has no header of its kind")
        encoding = _ENCODINGS[_number(of_kind, _ENCODING_2 if kind is PageKind.DATA_2 else _ENCODING)]
        stored, plain, values = _number(fields, _STORED_BYTES), _number(fields, _PLAIN_BYTES), _number(of_kind, _VALUES)
    except KeyError as error:
        raise ObjectCorrupt(f"a Parquet page is of a kind or encoding that no writer of ours uses: {error}") from error
    if stored < 0 or plain < 0 or values < 0:
        raise ObjectCorrupt("a Parquet page claims a negative size")
    return Page(kind, start, stored, plain, values, encoding)


def _number(fields: _Struct, field: int) -> int:
    found = fields[field]
    if not isinstance(found, int):
        raise ObjectCorrupt("a Parquet page has a struct for a number")
    return found


def _read(data: bytes, at: int, end: int, wanted: _Wanted) -> tuple[_Struct, int]:
    """Return what is wanted of the struct at a place, and where it ends; of a field that is there twice the last one.

    Raises:
        ObjectCorrupt: It does not end before `end`, or is nested too deeply.
    """
    try:
        found, at = _struct(data, at, end, wanted)
    except IndexError as error:
        raise ObjectCorrupt(_CUT) from error
    return found, at


def _struct(data: bytes, at: int, end: int, wanted: _Wanted) -> tuple[_Struct, int]:
    found: _Struct = {}
    field = 0
    while True:
        if at >= end:
            raise ObjectCorrupt(_CUT)
        head = data[at]
        at += 1
        kind = head & 0x0F
        if kind == _STOP:
            return found, at
        if head >= 0x10:
            field += head >> 4
        else:
            number, at = _varint(data, at)
            field = (number >> 1) ^ -(number & 1)
        if _I16 <= kind <= _I64:
            number = data[at]
            at += 1
            if number >= 0x80:
                number, at = _varint(data, at - 1)
            if field in wanted:
                found[field] = (number >> 1) ^ -(number & 1)
            continue
        below = wanted.get(field)
        if below and kind == _STRUCT:
            found[field], at = _struct(data, at, end, below)
        elif below and kind == _LIST:
            found[field], at = _structs(data, at, end, below)
        else:
            at = _skip(data, at, end, kind)


def _structs(data: bytes, at: int, end: int, wanted: _Wanted) -> tuple[list[_Struct], int]:
    """Return what is wanted of the structs of a list, and where it ends."""
    kind, count, at = _list_head(data, at, end)
    if kind != _STRUCT:
        raise ObjectCorrupt(f"a Parquet page header has a list of kind {kind}")
    found: list[_Struct] = []
    for _ in range(count):
        one, at = _struct(data, at, end, wanted)
        found.append(one)
    return found, at


def _skip(data: bytes, at: int, end: int, kind: int) -> int:
    """Return where a value ends, with all structs and lists in it."""
    if kind == _STRUCT:
        return _skip_structs(data, at, end, 1)
    if kind == _LIST and data[at] & 0x0F == _STRUCT:
        _, count, at = _list_head(data, at, end)
        return _skip_structs(data, at, end, count)
    return _skip_plain(data, at, end, kind)


def _skip_structs(data: bytes, at: int, end: int, count: int) -> int:
    """Return where `count` structs end, one behind the other."""
    left = [count] if count else []  # structs that are not read yet, of each list that one is in
    while left:
        if at >= end:
            raise ObjectCorrupt(_CUT)
        head = data[at]
        at += 1
        kind = head & 0x0F
        if head < 0x10 and kind != _STOP:
            at = _varint(data, at)[1]
        if _I16 <= kind <= _I64 and data[at] < 0x80:  # most are of one byte
            at += 1
        elif kind == _STOP:
            left[-1] -= 1
            if not left[-1]:
                left.pop()
        elif kind == _STRUCT:
            left.append(1)
            if len(left) > _DEPTH_MAX:
                raise ObjectCorrupt(_DEEP)
        elif kind == _LIST and data[at] & 0x0F == _STRUCT:
            _, count, at = _list_head(data, at, end)
            if count:
                left.append(count)
                if len(left) > _DEPTH_MAX:
                    raise ObjectCorrupt(_DEEP)
        else:
            at = _skip_plain(data, at, end, kind)
    return at


def _skip_plain(data: bytes, at: int, end: int, kind: int) -> int:
    """Return where a value ends that is no struct, and no list of them."""
    if kind == _BINARY:
        length = data[at]
        if length < 0x80:
            return at + 1 + length
        length, at = _varint(data, at)
        return at + length
    if kind == _LIST:
        kind, count, at = _list_head(data, at, end)
        if kind in (_TRUE, _FALSE, _BYTE):  # of a byte each, in a list
            return at + count
        if kind in (_LIST, _STRUCT):  # no writer nests lists, and one of structs is not skipped here
            raise ObjectCorrupt(f"a Parquet page header has a list of kind {kind}")
        for _ in range(count):
            at = _skip_plain(data, at, end, kind)
        return at
    if _I16 <= kind <= _I64:
        return at + 1 if data[at] < 0x80 else _varint(data, at)[1]
    if kind in _FIXED_BYTES:
        return at + _FIXED_BYTES[kind]
    raise ObjectCorrupt(f"a Parquet page header has a field of kind {kind}")


def _list_head(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return the kind and number of the elements of a list, and where the first is."""
    head = data[at]
    at += 1
    count = head >> 4
    if count == 0x0F:
        count, at = _varint(data, at)
    if count > end - at:
        raise ObjectCorrupt("a Parquet page header is cut short")
    return head & 0x0F, count, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number, and where it ends."""
    value = shift = 0
    while shift < _NUMBER_BITS_MAX:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ObjectCorrupt("a Parquet page header has a number that is too long")
