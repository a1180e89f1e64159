"""A1: put a key slot for a recipient, whose line is public, at one replica, sorting before all others.

Holds: put rights at one replica, and the recipient's line. Wants: the victim's next run to open it, and so to lose its
history and to seal to keys of the attacker.

Usage: a01_planted_slot.py REPLICA LINE [COUNT]. Prints the names that it put.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]


def main() -> None:
    """Plant slots until one sorts before those that are there."""
    replica, line = Path(sys.argv[1]), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    stored = (replica / "farshore.json").read_bytes()
    repository, fingerprint = json.loads(stored)["repository"], blake3(stored).digest()
    first = min(path.name for path in (replica / "keys/slots").iterdir())
    signer, public = forge.Signer(), forge.public_of_line(line)
    private, _ = forge.hpke_keys()
    planted = 0
    while planted < count:
        slot = forge.reader_slot(repository, fingerprint, signer, public, forge.key_set(fingerprint, private, signer))
        name = f"{forge.hash_of(slot)}.json"
        if name < first or count > 1:
            forge.put(replica, f"keys/slots/{name}", slot)
            print(name)
            planted += 1


if __name__ == "__main__":
    main()
