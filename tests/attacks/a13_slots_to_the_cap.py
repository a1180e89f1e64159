"""A13: put so many slots at one replica that a reader who lists them never comes to the genuine ones.

Holds: put rights at one replica. Wants: that this replica alone opens for nobody, or slowly.

Usage: a13_slots_to_the_cap.py REPLICA COUNT.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]


def main() -> None:
    """Plant slots that sort before all that are there."""
    replica, count = Path(sys.argv[1]), int(sys.argv[2])
    stored = (replica / "farshore.json").read_bytes()
    repository, fingerprint = json.loads(stored)["repository"], blake3(stored).digest()
    first = min(path.name for path in (replica / "keys/slots").iterdir())
    signer = forge.Signer()
    private, public = forge.hpke_keys()
    slot = forge.reader_slot(repository, fingerprint, signer, public, forge.key_set(fingerprint, private, signer))
    body, signature = slot.splitlines(keepends=True)
    value, planted = json.loads(body), 0
    while planted < count:  # the signature is nobody's anyway, so it need not be made anew for each
        data = forge.canonical({**value, "nonce": forge.base(os.urandom(32))}) + signature
        name = f"{forge.hash_of(data)}.json"
        if name < first:
            forge.put(replica, f"keys/slots/{name}", data)
            planted += 1


if __name__ == "__main__":
    main()
