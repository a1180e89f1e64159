"""A11: the newest snapshot of a source deleted at all replicas, with the leases whose ends hold its commit.

Holds: rights to delete at every replica, and no key.
Wants: nobody to notice that the last night is gone.

Usage: a11_cut_history.py SNAPSHOT REPLICA [REPLICA ...]. Prints the names that it removed.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Remove the commit, and every lease."""
    snapshot, *replicas = sys.argv[1:]
    for replica in map(Path, replicas):
        leases = [path for path in (replica / "leases").rglob("*") if path.is_file()]
        for path in [*(replica / "snapshots").rglob(f"{snapshot}-*"), *leases]:
            path.unlink()
            print(path.relative_to(replica))


if __name__ == "__main__":
    main()
