"""A squatted name: garbage of the right size under every name that one replica has and another one lacks.

Holds: rights to read at one replica, and to put at the other. Wants: what comes to the second one to be garbage.

Usage: squatted_names.py REPLICA LAGGARD. Prints the names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]


def main() -> None:
    """Take all names but those of leases and of the audit, which are bound to nothing that is restored."""
    replica, laggard = Path(sys.argv[1]), Path(sys.argv[2])
    for path in sorted(one for one in replica.rglob("*") if one.is_file()):
        name = str(path.relative_to(replica))
        if not name.startswith(("leases/", "audit/")) and not (laggard / name).exists():
            forge.put(laggard, name, os.urandom(path.stat().st_size))
            print(name)


if __name__ == "__main__":
    main()
