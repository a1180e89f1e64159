"""A10: the data key object of the newest run for that of every other one.

Holds: put rights at one replica; with `replace` also those to delete. No key: which object is whose is in its name.
Wants: a heal without the private key to copy it to the good replicas, so that an older snapshot opens nowhere.

Usage: a10_exchanged_key.py put|replace REPLICA. Prints the names that it put.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]


def main() -> None:
    """Put the newest key under the ids of the others, under its own hash or over theirs."""
    how, replica = sys.argv[1], Path(sys.argv[2])
    keys = sorted((replica / "keys/data").rglob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    *others, newest = keys
    data = newest.read_bytes()
    for path in others:
        name = str(path.relative_to(replica))
        if how == "replace":
            path.unlink()
        else:
            name = f"{name.rpartition('-')[0]}-{forge.hash_of(data)}"
        forge.put(replica, name, data)
        print(name)


if __name__ == "__main__":
    main()
