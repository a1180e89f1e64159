"""Times of a store: the oldest snapshot looks as if it was put last, as after a heal; or all look older than they are.

Holds: with `renew` the rights to delete and put at the replicas; with `age` the machine of one replica. No key.
Wants: the oldest to pass for the newest, in a restore and in a rule of retention; or every time to be a lie.

Usage: renewed_times.py renew|age SNAPSHOT REPLICA [REPLICA ...]. Prints the names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LONG_AGO_S = 1_000_000_000


def main() -> None:
    """Change the times."""
    what, snapshot, *replicas = sys.argv[1:]
    for replica in map(Path, replicas):
        for path in sorted(one for one in (replica / "snapshots").rglob("*/*") if one.is_file()):
            if what == "age":
                os.utime(path, (LONG_AGO_S, LONG_AGO_S))
            elif path.name.startswith(snapshot):
                data = path.read_bytes()
                path.unlink()
                path.write_bytes(data)
            else:
                continue
            print(path.relative_to(replica))


if __name__ == "__main__":
    main()
