"""The payload of one run of a manifest or page map: blocks of rows, each compressed by itself, and an index. Pure.

docs/reference/format.md, section 5. A block is a Parquet file of one row group in one zstd frame, so one path is read
with the index and one block, whatever the number of entries.

    blocks    one zstd frame each
    index     one zstd frame; for each block: rows u32 ‖ stored bytes u32 ‖ plain bytes u32 ‖ first key ‖ last key,
              each key after its length u32: a path, and in a page map the slot behind it
    trailer   stored bytes of the index u32 ‖ plain bytes of the index u32 ‖ `FSMF` ‖ version u8 ‖ 3 zero bytes
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import arrow as pc
from farshore.format.bounded_parquet import UNREADABLE, BoundedParquet, File

_MAGIC = b"FSMF"
_VERSION = 1
_TRAILER = struct.Struct("<II4sB3x")
_ENTRY = struct.Struct("<III")
_LENGTH = struct.Struct("<I")
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Block:
    """One block: where it is stored, its rows, and its first and last key in the order of the run."""

    offset: int
    stored_bytes: int
    plain_bytes: int
    rows: int
    first: bytes
    last: bytes


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The rows that a block may have, and its bytes before compression; a single row may have more."""

    rows: int
    plain_bytes: int


def path_at(table: pa.Table, row: int) -> bytes:
    """Return the path of a row, the key of manifests."""
    return bytes(table.column("path")[row].as_py())


class BlockWriter:
    """Writes tables as blocks to a file-like object, and the index at the end. One thread.

    Args:
        key_of: Returns the key of a row (table, number), of which the index has the first and last of each block.
    """

    def __init__(
        self,
        sink: File,
        *,
        dictionary_columns: Sequence[str],
        key_of: Callable[[pa.Table, int], bytes] = path_at,
        block_limits: BlockLimits | None = None,
    ) -> None:
        self._sink = sink
        self._key_of = key_of
        self._limits = block_limits or BlockLimits(limits.MANIFEST_BLOCK_ROWS, limits.MANIFEST_BLOCK_BYTES)
        self._dictionary_columns = list(dictionary_columns)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._index: list[bytes] = []

    def write(self, table: pa.Table) -> None:
        """Write rows, of which there is at least one, as blocks within the limits."""
        for start in range(0, table.num_rows, self._limits.rows):
            self._write_halved(table.slice(start, self._limits.rows))

    def close(self) -> None:
        """Write the index. The sink stays open."""
        index = b"".join(self._index)
        stored = self._compressor.compress(index)
        self._sink.write(stored + _TRAILER.pack(len(stored), len(index), _MAGIC, _VERSION))

    def _write_halved(self, table: pa.Table) -> None:
        """Write rows as one block, or where they are too large for that each half by itself."""
        if table.num_rows == 1 or table.nbytes <= self._limits.plain_bytes:
            self._write_block(table)
            return
        half = table.num_rows // 2
        self._write_halved(table.slice(0, half))
        self._write_halved(table.slice(half))

    def _write_block(self, table: pa.Table) -> None:
        plain = io.BytesIO()
        with pq.ParquetWriter(
            plain, table.schema, compression="none", use_dictionary=self._dictionary_columns, write_statistics=False,
            store_schema=False,
        ) as writer:  # fmt: skip
            writer.write_table(table)
        stored = self._compressor.compress(plain.getbuffer())
        self._sink.write(stored)
        first, last = (self._key_of(table, at) for at in (0, table.num_rows - 1))
        self._index += [_ENTRY.pack(table.num_rows, len(stored), plain.tell())]
        self._index += [part for key in (first, last) for part in (_LENGTH.pack(len(key)), key)]


class BlockReader:
    """Reads blocks from a seekable file-like object. One thread; holds the index and one block in memory.

    Args:
        schema: The columns that each block must have, beside others.
        label: The kind of object, for messages.

    Raises:
        ObjectCorrupt: Here and from every method: it is not what a writer wrote.
        FormatTooNew: A later version.
    """

    def __init__(self, file: File, schema: pa.Schema, *, label: str = "a manifest") -> None:
        self._label = label
        self._file = file
        self._schema = schema
        self._decompressor = zstandard.ZstdDecompressor()
        self._read: tuple[Block | None, BoundedParquet | None] = (None, None)
        self._ahead: tuple[int, bytes] = (0, b"")  # where bytes that were read at once begin
        try:
            size = file.seek(0, io.SEEK_END)
            stored, plain, magic, version = _TRAILER.unpack(self._bytes(max(size - _TRAILER.size, 0), _TRAILER.size))
        except (OSError, struct.error) as error:
            raise ObjectCorrupt(f"{self._label} is cut short: {error}") from error
        if magic != _MAGIC:
            raise ObjectCorrupt(f"{self._label} has no index")
        if version != _VERSION:
            raise FormatTooNew(f"{self._label} has version {version}; this Farshore knows {_VERSION}")
        start = size - _TRAILER.size - stored
        if start < 0 or plain > limits.MANIFEST_INDEX_BYTES_MAX:
            raise ObjectCorrupt(f"{self._label} is shorter than its index")
        self.blocks = _decode_index(self._decompress(self._bytes(start, stored), plain), start, self._label)
        self.rows = sum(block.rows for block in self.blocks)

    def read(self, block: Block, names: Sequence[str]) -> pa.Table:
        """Return columns of a block as a table of one chunk each."""
        parquet = self._parquet(block)
        for field in self._schema:
            if field.name not in parquet.names or parquet.schema.field(field.name).type != field.type:
                raise ObjectCorrupt(f"{self._label} lacks the column {field.name}, or has it of another type")
        found = parquet.read(0, names)
        try:
            table = found.combine_chunks()
            table.validate(full=True)  # text that is no UTF-8 is found by nothing else before it is used
        except UNREADABLE as error:
            raise ObjectCorrupt(f"{self._label} is damaged in the block at {block.offset}: {error}") from error
        if table.num_rows != block.rows:
            raise ObjectCorrupt(f"{self._label} has another block at {block.offset} than its index says")
        if any(_has_gaps(table.column(name), name) for name in names):
            raise ObjectCorrupt(f"{self._label} is damaged in the block at {block.offset}: a value is missing")
        return table

    def read_ahead(self, blocks: Sequence[Block]) -> None:
        """Read the bytes of adjacent blocks at once; they are kept until the next call."""
        self._ahead = (0, b"")
        if blocks:
            start, end = blocks[0].offset, blocks[-1].offset + blocks[-1].stored_bytes
            self._ahead = (start, self._bytes(start, end - start))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the first block; there must be one."""
        return self._parquet(self.blocks[0]).schema

    def _parquet(self, block: Block) -> BoundedParquet:
        held = self._read[1]
        if self._read[0] is not block or held is None:
            self._read = (None, None)
            plain = self._decompress(self._bytes(block.offset, block.stored_bytes), block.plain_bytes)
            file = BoundedParquet(io.BytesIO(plain), label=self._label, large=("extents",))
            if file.groups != 1:
                raise ObjectCorrupt(f"{self._label} has {file.groups} row groups in the block at {block.offset}")
            self._read, held = (block, file), file
        return held

    def _bytes(self, offset: int, length: int) -> bytes:
        start, ahead = self._ahead
        if start <= offset and offset + length <= start + len(ahead):
            return ahead[offset - start : offset - start + length]
        self._file.seek(offset)
        data = self._file.read(length) or b""
        if len(data) != length:
            raise ObjectCorrupt(f"{self._label} is cut short")
        return data

    def _decompress(self, stored: bytes, plain_bytes: int) -> bytes:
        """Return the content of a frame, which must declare the size that the index or the trailer gives."""
        try:
            if zstandard.frame_content_size(stored) != plain_bytes:
                raise ObjectCorrupt(f"{self._label} declares another size of a part than it has")
            return self._decompressor.decompress(stored, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ObjectCorrupt(f"{self._label} does not decompress: {error}") from error


def _has_gaps(column: pa.ChunkedArray, name: str) -> bool:
    """Whether a column lacks values that it must have. Only an entry without extended attributes may have none."""
    if name != "xattrs":
        return bool(column.null_count)
    listed = [pc.list_flatten(chunk) for chunk in column.chunks]
    return any(part.null_count for one in listed for part in (one, *one.flatten()))


def _decode_index(index: bytes, end: int, label: str) -> list[Block]:
    blocks: list[Block] = []
    at = offset = 0
    try:
        while at < len(index):
            rows, stored, plain = _ENTRY.unpack_from(index, at)
            at += _ENTRY.size
            keys = []
            for _ in range(2):
                (length,) = _LENGTH.unpack_from(index, at)
                at += _LENGTH.size + length
                keys.append(index[at - length : at])
            blocks.append(Block(offset, stored, plain, rows, *keys))
            offset += stored
            if not rows or plain > limits.MANIFEST_BLOCK_BYTES_MAX or stored < limits.MANIFEST_BLOCK_STORED_BYTES_MIN:
                raise ObjectCorrupt(f"the index of {label} names a block that cannot be")
            if offset > end:
                raise ObjectCorrupt(f"the index of {label} names a block that cannot be")
    except struct.error as error:
        raise ObjectCorrupt(f"the index of {label} is cut short") from error
    if at != len(index) or offset != end:
        raise ObjectCorrupt(f"the index of {label} does not give where its blocks are")
    return blocks
