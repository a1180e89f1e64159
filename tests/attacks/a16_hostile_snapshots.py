"""A16: snapshots, and objects beside them, that a stolen writer signed and that claim as much as the format allows.

Holds: the stolen credential of a writer of the domain, and put rights at one replica. Wants: whoever reads anything of
this repository to need gigabytes, or minutes.

Usage: a16_hostile_snapshots.py KIND REPLICA CREDENTIAL MOMENT. `a16_hostile_snapshots.py kinds` prints the kinds.
"""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import MANIFEST, Thief, row  # type: ignore[import-not-found]

MIB = 1 << 20
CONTENT = b"x" * 100
THEIRS = {"source": "theirs"}


def snapshot(thief: Thief, moment: str, manifest: dict[str, object] | None = None, **more: object) -> None:
    """Put a commit with a pack, a data key, and these runs."""
    pack, key = thief.pack({thief.chunk_id(CONTENT): CONTENT}), thief.sealed_key()
    runs = {"manifest": [manifest or honest(thief)], "needs": [thief.needs([pack], key)], **more}
    thief.put(*thief.commit(runs, moment, details=THEIRS))


def parquet(rows: Iterable[dict[str, object]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), MANIFEST), out, compression="none", store_schema=False)
    return out.getvalue()


def honest(thief: Thief) -> dict[str, object]:
    return dict(thief.manifest(parquet([row(b"", "directory", 0o755)]), 1))


def blocks(
    thief: Thief, plain: bytes, rows: int, count: int, paths: Callable[[int], tuple[bytes, bytes]]
) -> dict[str, object]:
    """Put a manifest of the same block many times over, each under other paths in the index."""
    compressor = zstandard.ZstdCompressor()
    block, index = compressor.compress(plain), []
    for at in range(count):
        first, last = paths(at)
        index.append(struct.pack("<III", rows, len(block), len(plain)))
        index += [part for path in (first, last) for part in (struct.pack("<I", len(path)), path)]
    whole = b"".join(index)
    stored = compressor.compress(whole)
    trailer = struct.pack("<II4sB3x", len(stored), len(whole), b"FSMF", 1)
    return dict(thief.sealed_object(1, block * count + stored + trailer))


def extents(thief: Thief, moment: str) -> None:
    """One file of nine million equal extents."""
    extent = thief.chunk_id(CONTENT) + struct.pack("<IQ", 0, len(CONTENT))
    count = 370 * MIB // len(extent)
    one = {**row(b"file", "file", 0o644, b"", extent * count), "size": count * len(CONTENT), "content_hash": bytes(32)}
    snapshot(thief, moment, thief.manifest(parquet([row(b"", "directory", 0o755), one]), 2))


def attributes(thief: Thief, moment: str) -> None:
    """One file with attributes of 120 MiB."""
    one = {**row(b"file", "file", 0o644), "xattrs": [{"name": b"user.x", "value": bytes(120 * MIB)}]}
    snapshot(thief, moment, thief.manifest(parquet([row(b"", "directory", 0o755), one]), 2))


def entries(thief: Thief, moment: str) -> None:
    """Ten million entries in 5,000 blocks, below directories that are 100 deep, with names of 2,000 bytes."""
    deep = b"/".join([b"d"] * 100) + b"/" + b"n" * 1800
    rows = [row(deep + b"%06d" % at, "fifo", 0o644) for at in range(2048)]
    snapshot(thief, moment, blocks(thief, parquet(rows), 2048, 5000, lambda at: (deep + b"%06d" % at,) * 2))


def index(thief: Thief, moment: str) -> None:
    """Six million blocks in an index of 120 MiB that packs to nothing."""
    compressor = zstandard.ZstdCompressor()
    whole = struct.pack("<IIIII", 1, 0, 0, 0, 0) * (120 * MIB // 20)
    stored = compressor.compress(whole)
    trailer = struct.pack("<II4sB3x", len(stored), len(whole), b"FSMF", 1)
    snapshot(thief, moment, thief.sealed_object(1, stored + trailer))


def needs(thief: Thief, moment: str) -> None:
    """Needs of a million and a half packs that nobody has."""
    count = 60 * MIB // 38
    table = np.zeros(count, np.dtype([("id", ">u8"), ("more", "V24"), ("bytes", "<u4"), ("segments", "<u2")]))
    table["id"], table["bytes"] = np.arange(count), 1000
    key = thief.sealed_key()
    data = b"FSND\1\0\0\0" + struct.pack("<III", count, 1, 0) + table.tobytes()
    run = thief.run(data + thief.key_id + key[8:24] + forge.blake3(key).digest())
    thief.put(*thief.commit({"manifest": [honest(thief)], "needs": [run]}, moment, details=THEIRS))


def huge_needs(thief: Thief, moment: str) -> None:
    """Needs of a gigabyte."""
    data = b"FSND\1\0\0\0" + struct.pack("<III", 1, 0, 0) + os.urandom(32) + bytes((1 << 30) - 52)
    thief.put(*thief.commit({"manifest": [honest(thief)], "needs": [thief.run(data)]}, moment, details=THEIRS))


def page_map(thief: Thief, moment: str) -> None:
    """A page map of a file of 2^63 pages, and one that packs 100 MiB of hashes into nothing."""
    schema = pa.schema(
        [("path", pa.binary()), ("page_bytes", pa.int32()), ("first_page", pa.int64()), ("hashes", pa.binary())]
    )
    rows = [{"path": b"file", "page_bytes": 4096, "first_page": (1 << 63) - 70_000, "hashes": bytes(MIB)}] * 100
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), out, compression="zstd", store_schema=False)
    snapshot(thief, moment, pages=[thief.sealed_object(2, out.getvalue())])


def fragment(thief: Thief, moment: str) -> None:
    """A fragment of 300,000 packs, and one of two million superseded ones."""
    pack = thief.pack({thief.chunk_id(CONTENT): CONTENT})
    count = 63 * MIB // len(pack.entry)
    thief.fragment(*[pack] * count)
    thief.fragment(superseded=tuple(at.to_bytes(32, "big") for at in range(63 * MIB // 32)))


def seals(thief: Thief, moment: str) -> None:
    """Twenty seals of as many files as there is room for."""
    for number in range(20):
        named = [
            {
                "name": f"audit/runs/date=2026-01-01/{at + number * 60_000:032x}-{'0' * 32}.parquet",
                "bytes": 1,
                "blake3": "0" * 64,
            }
            for at in range(60_000)
        ]
        thief.seal({}, moment, named=named)


KINDS: dict[str, Callable[[Thief, str], None]] = {
    "extents": extents, "attributes": attributes, "entries": entries, "index": index, "needs": needs,
    "huge-needs": huge_needs, "page-map": page_map, "fragment": fragment, "seals": seals,
}  # fmt: skip


def main() -> None:
    """Put it."""
    kind, replica, credential, moment = sys.argv[1:]
    thief = Thief.at(credential, replica)
    KINDS[kind](thief, moment)
    for name, data in thief.made.items():
        forge.put(Path(replica), name, data)
        print(name)


if __name__ == "__main__":
    if sys.argv[1:] == ["kinds"]:
        print(*KINDS, sep="\n")
    else:
        main()
