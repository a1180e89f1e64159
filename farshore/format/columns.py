"""Columns of a Parquet table as Python values, several times as fast as one by one: a manifest has millions of rows.

Pure. Each column has one chunk; those of a slice too.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from farshore.format import arrow as pc


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of a table as one array; copies only if it has several chunks."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def integers(column: pa.ChunkedArray, *, unsigned: bool = False) -> list[int]:
    """Return numbers; `unsigned`: those whose 64 bits were stored as a signed number."""
    array = whole(column).to_numpy(zero_copy_only=False)
    return (array.view(np.uint64) if unsigned else array).tolist()  # type: ignore[no-any-return]  # pyarrow is untyped


def binaries(column: pa.ChunkedArray) -> list[bytes]:
    """Return byte strings."""
    data, ends = binary_buffers(column)
    raw = data.tobytes()
    return [raw[start:end] for start, end in pairwise(ends.tolist())]


def binary_buffers(column: pa.ChunkedArray) -> tuple[memoryview, npt.NDArray[np.int32]]:
    """Return the bytes of all values end to end, without a copy, and where each starts and ends in them."""
    array = whole(column)
    if not len(array):
        return memoryview(b""), np.zeros(1, np.int32)
    _, starts, data = array.buffers()
    offsets = np.frombuffer(starts, np.int32, len(array) + 1, 4 * array.offset)
    view = memoryview(data) if data is not None else memoryview(b"")
    return view[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0]


def texts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    """Return the different texts of a column that has few, and for each row the index of its own."""
    coded = pc.dictionary_encode(whole(column))
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).tolist()


def pairs(column: pa.ChunkedArray) -> list[tuple[tuple[bytes, bytes], ...]]:
    """Return lists of names and values; mostly there are none."""
    array = whole(column)
    if not pc.sum(pc.list_value_length(array)).as_py():
        return [()] * len(array)
    return [tuple((pair["name"], pair["value"]) for pair in one or ()) for one in array.to_pylist()]
