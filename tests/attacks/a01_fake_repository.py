"""A1, whole: a repository of the attacker under the victim's id, in place of one replica.

Holds: delete and put rights at one replica, and the recipient's line. Wants: the victim to believe it.

Usage: a01_fake_repository.py REPLICA LINE.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]


def main() -> None:
    """Replace all that is there."""
    replica, line = Path(sys.argv[1]), sys.argv[2]
    before = json.loads((replica / "farshore.json").read_bytes())
    for path in list(replica.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    owner, writer = forge.Signer(), forge.Signer()
    repository, public = before["repository"], forge.public_of_line(line)
    private, own_public = forge.hpke_keys()
    stored = forge.header(repository, owner, before)
    fingerprint = blake3(stored).digest()
    certificate = {
        "action": "certificate", "signer": writer.key_hash[:16].hex(), **writer.public_json(), "host": "x",
        "role": "reader", "domain": "main", "sources": {"prefix": "00" * 8}, "rights": ["backup", "restore"],
        "not_before_utc": before["created_utc"], "not_after_utc": "2099-01-01T00:00:00.000000Z",
    }  # fmt: skip
    entry = owner.text("log", fingerprint, "keys/log/00000001", {
        "format": "farshore-log", "version": 1, "number": 1, "previous": "", "made_utc": before["created_utc"],
        "actions": [
            {"action": "recipient", "public_key": forge.base(own_public), "root": 0},
            {"action": "domain", "domain": "main", "epoch": 1, "root": 0}, certificate,
        ],
    })  # fmt: skip
    slot = forge.reader_slot(repository, fingerprint, owner, public, forge.key_set(fingerprint, private, writer))
    forge.put(replica, f"keys/log/00000001-{forge.hash_of(entry)}", entry)
    forge.put(replica, f"keys/slots/{forge.hash_of(slot)}.json", slot)
    forge.put(replica, "farshore.json", stored)


if __name__ == "__main__":
    main()
