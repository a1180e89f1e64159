"""Open one segment of a pack by its footer row, and check its chunks. docs/reference/format.md, section 4.

Pure and safe from many threads. `data` holds the pack's bytes from `start` on: the whole pack, or the range that was
read of it. `out` returns memory of the length it is called with; the plain bytes are written there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from farshore.errors import ObjectCorrupt
from farshore.format.pack import Footer
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey
from farshore.sealed.segments import SegmentRef, decompress_segment_into, decrypt_segment, open_segment_into

Out = Callable[[int], memoryview]
Chunks = npt.NDArray[np.void]  # rows of `CHUNK_DTYPE`


def open_segment_at(
    footer: Footer, number: int, data: memoryview, out: Out, *,
    keys: KeySet, data_key: DataKey, start: int = 0, chunks: Chunks | None = None,
) -> memoryview:  # fmt: skip
    """Return the plain bytes of row `number`, once the chunks hash to their names.

    Args:
        chunks: The segment's chunks to check; all of them if not given.

    Raises:
        ObjectCorrupt: The bytes are cut short, altered, moved, or sealed with another key, or a chunk does not hash to
            its name.
    """
    ref = _ref_of(footer, number)
    raw = out(ref.raw_length)
    open_segment_into(raw, _cut(footer, number, data, start), ref, data_key, keys.repository_id)
    _check_chunks(footer, number, raw, keys, chunks)
    return raw


def decrypt_segment_at(
    footer: Footer, number: int, data: memoryview, *, keys: KeySet, data_key: DataKey, start: int = 0
) -> bytes:
    """Return the bytes of row `number` still compressed, for `decompress_segment_at`: whole, though no chunk is hashed.

    Raises:
        ObjectCorrupt: As `open_segment_at`, but for chunks.
    """
    return decrypt_segment(_cut(footer, number, data, start), _ref_of(footer, number), data_key, keys.repository_id)


def decompress_segment_at(
    footer: Footer, number: int, stored: bytes, out: Out, *, keys: KeySet, chunks: Chunks | None = None
) -> memoryview:
    """Return the plain bytes of what `decrypt_segment_at` returned. Checks and raises as `open_segment_at`."""
    ref = _ref_of(footer, number)
    raw = out(ref.raw_length)
    decompress_segment_into(raw, stored, ref)
    _check_chunks(footer, number, raw, keys, chunks)
    return raw


def _ref_of(footer: Footer, number: int) -> SegmentRef:
    row = footer.segments[number]
    return SegmentRef(footer.origins[int(row["origin"])], int(row["number"]), int(row["codec"]), int(row["raw"]))


def _cut(footer: Footer, number: int, data: memoryview, start: int) -> memoryview:
    row = footer.segments[number]
    at = int(row["offset"]) - start
    sealed = data[at : at + int(row["stored"])]
    if len(sealed) != int(row["stored"]):
        raise ObjectCorrupt(f"a pack is cut short in segment {number}")
    return sealed


def _check_chunks(footer: Footer, number: int, raw: memoryview, keys: KeySet, chunks: Chunks | None) -> None:
    rows = footer.chunks[footer.chunks["segment"] == number] if chunks is None else chunks
    for chunk_id, _, offset, length in rows.tolist():
        if blake3(raw[offset : offset + length], key=keys.chunk_key).digest() != chunk_id:
            raise ObjectCorrupt(f"a chunk of segment {number} does not hash to its name")
