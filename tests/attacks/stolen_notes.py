"""The notes and approvals of a stolen writer: holds, lifts of holds, tags, and a yes to its own request.

Holds: the stolen credential of a writer of the domain, and put rights at one replica. Wants: space that is kept for
ever; the end of a legal hold; and, for what a maintainer forgets, the approvals that an owner asks for.

Usage: stolen_notes.py REPLICA CREDENTIAL MOMENT. Prints the names that it put.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]


def main() -> None:
    """Put a hold, a lift and tags on every snapshot, and an approval for all of them."""
    replica, credential, moment = sys.argv[1:]
    thief, root = Thief.at(credential, replica), Path(replica)
    log = max(path.name for path in (root / "keys/log").iterdir())
    head = {"version": 1, "made_utc": moment, "log": [int(log[:8]), log[9:]]}
    held = sorted(path.name[-64:] for path in root.glob("notes/*"))
    commits = list((root / "snapshots").rglob("*/*"))
    for path in commits:
        value = json.loads(path.read_bytes().partition(b"\n")[0])
        snapshot, _, digest = path.name.partition("-")
        about = {"snapshot": snapshot, "commit": digest, "domain": value["domain"], "epoch": value["epoch"]}
        for keep, lifts in (("hold", []), ("", [*held, digest])):
            body = {**head, **about, "format": "farshore-note", "keep": keep, "until_utc": "", "lifts": sorted(lifts),
                    "sealed": forge.base(os.urandom(64))}  # fmt: skip
            put(thief, root, "note", f"notes/{snapshot}", body)
    asked = {"act": "forget", "objects": sorted(path.name[-64:] for path in commits), "limit": 0,
             "ends_utc": "2100-01-01T00:00:00.000000Z", "nonce": "0" * 32}  # fmt: skip
    request = blake3(forge.canonical(asked)).digest(16).hex()
    for says in ("ask", "approve"):
        body = {**head, "format": "farshore-approval", "request": request, "asked": asked, "says": says, "reason": ""}
        put(thief, root, "approval", f"approvals/{request}", body)


def put(thief: Thief, root: Path, kind: str, subject: str, body: forge.Json) -> None:
    stored = thief.signer.text(kind, thief.fingerprint, subject, body)
    name = f"{subject}-{forge.hash_of(stored)}"
    forge.put(root, name, stored)
    print(name)


if __name__ == "__main__":
    main()
