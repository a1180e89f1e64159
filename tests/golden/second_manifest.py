"""Manifests and page maps, read by docs/reference/format.md, section 5, alone: part of `second_reader.py`."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import zstandard

Row = dict[str, Any]
Pages = dict[bytes, tuple[int, dict[int, bytes]]]  # by path: page size, and the hash of each page


def order_of(path: bytes) -> bytes:
    return path.replace(b"/", b"\x00")


def read_run(payload: bytes) -> list[Row]:
    """Return the rows of one run of a manifest, marks among them."""
    rows = read_blocks(payload, lambda row: bytes(row["path"]), 2 << 20)
    order = [order_of(row["path"]) for row in rows]
    if order != sorted(set(order)):
        raise ValueError("a run is not in order")
    return rows


def read_blocks(payload: bytes, key_of: Callable[[Row], bytes], plain_max: int) -> list[Row]:
    """Return the rows of all blocks of a run."""
    stored, plain, magic, version = struct.unpack("<II4sB3x", payload[-16:])
    if (magic, version) != (b"FSMF", 1):
        raise ValueError("this is no run")
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
        if file.num_row_groups != 1 or len(block) != count or [key_of(block[0]), key_of(block[-1])] != ends:
            raise ValueError("a block is not as the index says")
        if count > 1 and (count > 2048 or plain > plain_max):
            raise ValueError("a block has too many rows")
        rows += block
        offset += stored
    if offset != end:
        raise ValueError("a run has bytes that no block has")
    return rows


def merged(runs: list[list[Row]]) -> list[Row]:
    """Return the entries of a snapshot, of whose runs the first is the oldest."""
    if any(row["state"] == "gone" for row in runs[0]):
        raise ValueError("the first run has marks")
    newest = {row["path"]: row for run in runs for row in run}
    return [newest[path] for path in sorted(newest, key=order_of) if newest[path]["state"] != "gone"]


def read_page_map(payloads: list[bytes]) -> Pages:
    """Return a page map, of whose runs the first is the oldest."""
    slots: dict[tuple[bytes, int], tuple[int, dict[int, bytes]]] = {}
    for payload in payloads:
        rows = read_blocks(payload, lambda row: row["path"] + b"\0" + struct.pack(">Q", row["slot"]), 1 << 20)
        order = [(order_of(row["path"]), row["slot"]) for row in rows]
        if order != sorted(set(order)):
            raise ValueError("a run of a page map is not in order")
        for row in rows:
            key = row["path"], row["slot"]
            size, pages = (0, {}) if row["whole"] else slots.get(key, (0, {}))
            slots[key] = row["page_bytes"], {**pages, **changes_of(row, size)}
            for one in positions(row["gone"]):
                if one not in positions_of(row):
                    slots[key][1].pop(one, None)
    found: Pages = {}
    for (path, slot), (size, pages) in slots.items():
        if pages and found.setdefault(path, (size, {}))[0] != size:
            raise ValueError("pages of two sizes in one file")
        if pages:
            found[path][1].update({slot * 4096 + one: page for one, page in pages.items()})
    return found


def changes_of(row: Row, size_below: int) -> dict[int, bytes]:
    """Return the hashes of a row by their position in the slot, once it is known to keep the rules."""
    hashes = [row["hashes"][at : at + 16] for at in range(0, len(row["hashes"]), 16)]
    places = positions_of(row)
    gone = positions(row["gone"])
    sound = [
        len(places) == len(hashes) <= 4096 and len(row["hashes"]) % 16 == 0,
        all(one < 4096 for one in [*places, *gone]) and places == sorted(set(places)) and gone == sorted(set(gone)),
        row["slot"] >= 0 and (row["page_bytes"] > 0 or (row["whole"] and not hashes)),
        not (row["whole"] and gone) and (row["whole"] or size_below in (0, row["page_bytes"])),
    ]
    if not all(sound):
        raise ValueError("a row of a page map breaks a rule")
    return dict(zip(places, hashes, strict=True))


def positions_of(row: Row) -> list[int]:
    return positions(row["positions"]) or list(range(len(row["hashes"]) // 16))


def positions(packed: bytes) -> list[int]:
    return [one for (one,) in struct.iter_unpack("<H", packed)]


def decompress(stored: bytes, plain: int) -> bytes:
    if zstandard.frame_content_size(stored) != plain:
        raise ValueError("a frame declares another size")
    return zstandard.ZstdDecompressor().decompress(stored)
