"""A8: bytes that take memory or time of whoever reads them, at one replica.

Holds: put rights at one replica; for the header also those to delete. No key. Wants: one bad replica, or one put, to
stop the backups and restores of everybody. Sizes are those of sparse files: they cost the attacker nothing.

Usage: a08_hostile_bytes.py field|features|header|slot|commit|end REPLICA. Prints the name.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import zstandard

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]

GIB = 1 << 30


def main() -> None:
    """Put it."""
    what, replica = sys.argv[1], Path(sys.argv[2])
    name, data, size = HOW[what](replica)
    path = replica / name
    path.unlink(missing_ok=True)
    forge.put(replica, name, data)
    if size:
        os.truncate(path, size)
    print(name)


def header(replica: Path, size: int = 0, **changes: object) -> tuple[str, bytes, int]:
    """Return a header with other keys, and a check that holds."""
    value = {**json.loads((replica / "farshore.json").read_bytes()), **changes}
    del value["check"]
    return "farshore.json", forge.canonical({**value, "check": forge.hash_of(forge.canonical(value))}), size


def slot(_: Path) -> tuple[str, bytes, int]:
    return f"keys/slots/{'0' * 64}.json", b"{", GIB // 4


def commit(replica: Path) -> tuple[str, bytes, int]:
    """Return a frame of 100 kB that decompresses to 3 GB, under the name of a commit of the victim's source."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    zeros = bytes(1 << 24)
    data = b"".join(compressor.compress(zeros) for _ in range(192)) + compressor.flush()
    source = next((replica / "snapshots").iterdir()).name
    return f"snapshots/{source}/{'e' * 32}-{forge.hash_of(data)}", data, 0


def end(replica: Path) -> tuple[str, bytes, int]:
    """Return garbage in place of the next decision on a lease that is there."""
    lease = next((replica / "leases").iterdir()).name
    taken = {path.name for path in (replica / "leases" / lease / "end").glob("*")}
    free = next(str(k) for k in range(16) if str(k) not in taken)
    return f"leases/{lease}/end/{free}", os.urandom(1000), 0


HOW = {
    "field": lambda replica: header(replica, more="x"),
    "features": lambda replica: header(replica, features={"may_ignore": 7, "must_understand": [{}]}),
    "header": lambda replica: header(replica, size=GIB // 4),
    "slot": slot, "commit": commit, "end": end,
}  # fmt: skip

if __name__ == "__main__":
    main()
