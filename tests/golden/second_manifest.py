"""Manifests, read by docs/reference/format.md, section 5, alone: part of `second_reader.py`."""

from __future__ import annotations

import io
import struct
from typing import Any

import pyarrow.parquet as pq
import zstandard

Row = dict[str, Any]


def order_of(path: bytes) -> bytes:
    return path.replace(b"/", b"\x00")


def read_run(payload: bytes) -> list[Row]:
    """Return the rows of one run, marks among them."""
    stored, plain, magic, version = struct.unpack("<II4sB3x", payload[-16:])
    if (magic, version) != (b"FSMF", 1):
        raise ValueError("this is no run of a manifest")
    end = len(payload) - 16 - stored
    index = decompress(payload[end:-16], plain)
    rows: list[Row] = []
    at = offset = 0
    while at < len(index):
        count, stored, plain = struct.unpack_from("<III", index, at)
        at += 12
        ends = []
        for _ in range(2):
            (length,) = struct.unpack_from("<I", index, at)
            ends.append(index[at + 4 : at + 4 + length])
            at += 4 + length
        file = pq.ParquetFile(io.BytesIO(decompress(payload[offset : offset + stored], plain)))
        block = file.read().to_pylist()
        if file.num_row_groups != 1 or len(block) != count or [block[0]["path"], block[-1]["path"]] != ends:
            raise ValueError("a block is not as the index says")
        if count > 1 and (count > 2048 or plain > 2 << 20):
            raise ValueError("a block has too many rows")
        rows += block
        offset += stored
    order = [order_of(row["path"]) for row in rows]
    if offset != end or order != sorted(set(order)):
        raise ValueError("a run is not in order, or has bytes that no block has")
    return rows


def merged(runs: list[list[Row]]) -> list[Row]:
    """Return the entries of a snapshot, of whose runs the first is the oldest."""
    if any(row["state"] == "gone" for row in runs[0]):
        raise ValueError("the first run has marks")
    newest = {row["path"]: row for run in runs for row in run}
    return [newest[path] for path in sorted(newest, key=order_of) if newest[path]["state"] != "gone"]


def decompress(stored: bytes, plain: int) -> bytes:
    if zstandard.frame_content_size(stored) != plain:
        raise ValueError("a frame declares another size")
    return zstandard.ZstdDecompressor().decompress(stored)
