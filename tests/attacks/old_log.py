"""A replica that shows an old owner log: the newest entry is gone, with the revocation that it holds.

Holds: rights to delete at the replicas that it names. Wants: what the revoked key signs to count again.

Usage: old_log.py REPLICA [REPLICA ...]. Prints the names that it removed.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Remove the newest entry."""
    for replica in map(Path, sys.argv[1:]):
        newest = max((replica / "keys/log").iterdir())
        newest.unlink()
        print(newest.relative_to(replica))


if __name__ == "__main__":
    main()
