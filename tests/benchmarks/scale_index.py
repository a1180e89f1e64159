"""Builds the chunk index from synthetic fragments and looks chunks up; prints one JSON object.

Run in a process of its own: `python -m tests.benchmarks.scale_index CHUNKS`. The fragments are what 1 MiB chunks make:
16 chunks in 4 segments to a pack, 64 packs to a fragment. More chunks to a pack cost less each.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.format.footers import FootersJoin, decode_fragment
from farshore.format.pack import CHUNK_DTYPE, HEADER_BYTES, SEGMENT_DTYPE
from farshore.index import ABSENT, ChunkIndex

PACKS = 64
SEGMENTS = 4
CHUNKS = 16
_FOOTER = np.dtype([
    ("origin_count", "<u2"), ("origin", "V48"),
    ("segment_count", "<u4"), ("segments", SEGMENT_DTYPE, (SEGMENTS,)),
    ("chunk_count", "<u4"), ("chunks", CHUNK_DTYPE, (CHUNKS,)),
])  # fmt: skip
_ENTRY = np.dtype([("pack_id", "V32"), ("pack_bytes", "<u8"), ("length", "<u4"), ("footer", _FOOTER)])
_LOOKED_UP = 1 << 20
_BATCH = 1 << 14  # what a row group of an unchanged manifest asks


def fragment(number: int) -> npt.NDArray[Any]:
    """Return the packs of one fragment; the same for the same number."""
    chance = np.random.Generator(np.random.SFC64(number))
    packs = np.zeros(PACKS, _ENTRY)
    packs["pack_id"] = np.frombuffer(chance.bytes(32 * PACKS), "V32")
    packs["length"], packs["pack_bytes"] = _FOOTER.itemsize, 16 << 20
    footer = packs["footer"]
    footer["origin_count"], footer["segment_count"], footer["chunk_count"] = 1, SEGMENTS, CHUNKS
    footer["origin"] = np.frombuffer(b"%048d" % (number // 100), "V48")[0]
    footer["segments"]["offset"] = HEADER_BYTES + np.arange(SEGMENTS) * (4 << 20)
    footer["segments"]["stored"] = footer["segments"]["raw"] = 4 << 20
    footer["chunks"]["id"] = np.frombuffer(chance.bytes(32 * PACKS * CHUNKS), "V32").reshape(PACKS, CHUNKS)
    footer["chunks"]["segment"] = np.arange(CHUNKS) // (CHUNKS // SEGMENTS)
    footer["chunks"]["length"] = 1 << 20
    return packs


def memory(field: str) -> int:
    """Return a figure of this process's memory in bytes: VmRSS now, or VmHWM at its most."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))


def rate(index: ChunkIndex, ids: npt.NDArray[Any], batch: int, *, held: bool) -> float:
    """Return look-ups a second, in batches; fails on a wrong answer."""
    start_s = time.perf_counter()
    for at in range(0, len(ids), batch):
        if ((index.find(ids[at : at + batch]) != ABSENT) != held).any():
            raise SystemExit("the index answers wrongly")
    return len(ids) / (time.perf_counter() - start_s)


def main() -> None:
    """Build, measure, look up, print."""
    fragments = max(1, int(sys.argv[1]) // (PACKS * CHUNKS))
    decode_fragment(fragment(0).tobytes())  # so that what is loaded on first use is not counted
    before = memory("VmRSS")
    join = FootersJoin()
    joining_s = 0.0
    for number in range(fragments):
        payload = fragment(number).tobytes()
        start_s = time.perf_counter()
        footers = decode_fragment(payload)
        join.add(footers, np.ones(len(footers), dtype=bool))
        joining_s += time.perf_counter() - start_s
    start_s = time.perf_counter()
    index = ChunkIndex(join.finish())
    sorting_s = time.perf_counter() - start_s
    del join
    resident, peak = memory("VmRSS") - before, memory("VmHWM") - before
    sample = np.random.Generator(np.random.SFC64(1)).integers(0, fragments, min(fragments, _LOOKED_UP // 1024))
    hits = np.concatenate([fragment(int(number))["footer"]["chunks"]["id"].ravel() for number in sample])
    np.random.Generator(np.random.SFC64(2)).shuffle(hits)
    misses = np.frombuffer(np.random.Generator(np.random.SFC64(1 << 40)).bytes(32 * len(hits)), "V32")
    rates = {
        f"{name} by {batch:,}": rate(index, ids[: len(ids) if batch > 128 else 1 << 17], batch, held=name == "hits")
        for batch in (128, _BATCH, len(hits))
        for name, ids in (("hits", hits), ("misses", misses))
    }
    found = {
        "chunks": len(index), "packs": len(index.packs), "joining_s": joining_s, "sorting_s": sorting_s,
        "bytes_a_chunk": index.nbytes / len(index), "resident_a_chunk": resident / len(index),
        "peak_a_chunk": peak / len(index), "lookups": rates,
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
