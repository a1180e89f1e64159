"""A3: garbage in place of a manifest, and the rows of `audit/needs` that name it rewritten to fit.

Holds: put and delete rights at one replica, and no key. Wants: a heal without a key to delete the good manifest at the
other replicas, and to put the garbage there.

Usage: a03_garbage_manifest.py REPLICA. Prints the name of the manifest.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]

MANIFEST = b"FSOB\1\1"


def main() -> None:
    """Replace the manifest, and every row that has its hash."""
    replica = Path(sys.argv[1])
    manifests = [path for path in (replica / "runs").iterdir() if path.read_bytes().startswith(MANIFEST)]
    path = max(manifests, key=lambda one: one.stat().st_mtime_ns)
    garbage = os.urandom(path.stat().st_size)
    path.chmod(0o600)
    path.write_bytes(garbage)
    for file in sorted((replica / "audit/needs").rglob("*.parquet")):
        table = pq.read_table(file)
        rows = table.to_pylist()
        rewritten = [{name: exchanged(value, path.name, garbage) for name, value in row.items()} for row in rows]
        if rewritten != rows:
            out = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rewritten, table.schema), out, compression="zstd")
            file.unlink()
            run_id = file.name.rpartition("-")[0]
            name = f"{file.parent.relative_to(replica)}/{run_id}-{forge.hash_of(out.getvalue())[:32]}.parquet"
            forge.put(replica, name, out.getvalue())
    print(f"runs/{path.name}")


def exchanged(value: object, digest: str, garbage: bytes) -> object:
    """Return the hash of the garbage in place of the one that the manifest had."""
    return value.replace(digest, forge.hash_of(garbage)) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
