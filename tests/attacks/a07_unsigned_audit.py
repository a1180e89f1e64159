"""A7: audit files that nobody signed: every row that is there once more, of a source `ghost`, and 70 years later.

Holds: put rights at one replica, and no key: audit files are plain. Wants: `status` to show replicas as checked and
proven, and `sql` snapshots that do not exist.

Usage: a07_unsigned_audit.py REPLICA. Prints the names of the files.
"""

from __future__ import annotations

import io
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]

TABLES = ("runs", "needs", "checks", "proofs")


def main() -> None:
    """Put a file of the attacker's beside each of those of these tables."""
    replica = Path(sys.argv[1])
    for file in [path for table in TABLES for path in sorted((replica / "audit" / table).rglob("*.parquet"))]:
        for name, data in planted(replica, file):
            forge.put(replica, name, data)
            print(name)


def planted(replica: Path, file: Path, source: str = "ghost") -> list[tuple[str, bytes]]:
    """Return a file like one that is there, with its rows as the attacker likes them."""
    table = pq.read_table(file)
    run_id = os.urandom(16).hex()
    rows = [{name: made(name, value, run_id, source) for name, value in row.items()} for row in table.to_pylist()]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), out, compression="zstd")
    data = out.getvalue()
    return [(f"{file.parent.relative_to(replica)}/{run_id}-{forge.hash_of(data)[:32]}.parquet", data)]


def made(name: str, value: Any, run_id: str, source: str) -> Any:
    """Return what a column is to have."""
    if isinstance(value, datetime):
        return value.replace(year=value.year + 70, day=1)
    new = {"run_id": run_id, "source": source, "snapshot_id": run_id, "check_id": run_id}
    return new.get(name, value) if value is not None else None


if __name__ == "__main__":
    main()
