"""What a stolen writer can claim: audit rows about other hosts, needs that lie, and a sequence that is the last one.

Holds: the stolen credential of a writer of the domain, and put rights at one replica.

Usage: stolen_claims.py audit|evidence|needs|sequence REPLICA CREDENTIAL MOMENT. Prints the names that it put.
`audit`: every row of checks, proofs, repairs and runs that is there, 70 years later, with a seal of the thief's.
`evidence`: a seal of the thief's that names a file which is nowhere, and each file of others with a byte more.
`needs`: a snapshot whose needs name each pack of the others with a byte more, and packs that nobody has.
`sequence`: a snapshot of the thief's own source with the highest sequence that there is.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from a07_unsigned_audit import planted  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]

SEQUENCE_MAX = 2**53 - 1


def main() -> None:
    """Make the claim, and put it."""
    what, replica, credential, moment = sys.argv[1:]
    thief = Thief.at(credential, replica)
    if what == "audit":
        tables = ("checks", "proofs", "repairs", "runs")
        files = [path for table in tables for path in sorted((Path(replica) / "audit" / table).rglob("*.parquet"))]
        thief.seal(dict(pair for path in files for pair in planted(Path(replica), path, source="home")), moment)
    elif what == "evidence":
        sealed = sorted((Path(replica) / "audit").rglob("*.parquet"))
        day = next(path.parent.relative_to(replica) for path in sealed if "runs" in path.parts)
        nowhere = f"{day}/{'0' * 32}-{'0' * 32}.parquet"
        sizes = {str(path.relative_to(replica)): path.stat().st_size + 1 for path in sealed} | {nowhere: 1000}
        names = [{"name": one, "bytes": sizes[one], "blake3": forge.hash_of(one.encode())} for one in sorted(sizes)]
        thief.seal({}, moment, named=names)
    elif what == "needs":
        thief.snapshot({b"letter": b"x" * 100}, moment, runs=lie(thief))
    else:
        thief.snapshot({b"letter": b"x" * 100}, moment, sequence=SEQUENCE_MAX)
    for name, data in thief.made.items():
        forge.put(Path(replica), name, data)
        print(name)


def lie(thief: Thief) -> forge.Json:
    """Return runs of a commit whose needs lie: sizes of the packs of others, and packs that are nowhere."""
    manifest = thief.sealed_object(1, b"no rows at all")
    key = thief.sealed_key()
    packs = {path.name: path.stat().st_size + 1 for path in (thief.replica / "packs").rglob("*/*")}
    packs |= {os.urandom(32).hex(): 1000 for _ in range(3)}
    data = b"FSND\1\0\0\0" + struct.pack("<III", len(packs), 1, 0)
    for pack_id, size in sorted(packs.items()):
        data += bytes.fromhex(pack_id) + struct.pack("<IH", size, 0)
    data += thief.key_id + key[8:24] + blake3(key).digest()
    return {"manifest": [manifest], "needs": [thief.run(data)]}


if __name__ == "__main__":
    main()
