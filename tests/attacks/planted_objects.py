"""One object of every kind, well formed and under the name that its bytes have, signed by nobody who is certified.

Holds: put rights at one replica, and no key. Wants: heal to copy them everywhere, where storage costs more and locks
keep them; verify to take them for damage; a tombstone and a plan to be obeyed.

Usage: planted_objects.py REPLICA. Prints the names.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]

MOMENT = "2026-01-01T00:00:00.000000Z"


class Stranger:
    """Somebody with keys of their own."""

    def __init__(self, replica: Path) -> None:
        self.replica = replica
        self.fingerprint = blake3((replica / "farshore.json").read_bytes()).digest()
        self.signer = forge.Signer()
        self.log = max(path.name for path in (replica / "keys/log").iterdir())

    def put(self, name: str, data: bytes) -> None:
        forge.put(self.replica, name, data)
        print(name)

    def text(self, kind: str, subject: str, name: str, /, **value: object) -> None:
        """Put a signed text; `#` in the name is its hash."""
        head = {"version": 1, "made_utc": MOMENT, "log": [int(self.log[:8]), self.log[9:]]}
        stored = self.signer.text(kind, self.fingerprint, subject, {**head, **value})
        self.put(name.replace("#", forge.hash_of(stored)), stored)

    def pack(self) -> bytes:
        """Put a pack whose footer nobody can open; return its entry for a fragment."""
        body = b"FSPK\1\0\0\0" + os.urandom(48) + self.tag() + struct.pack("<I4x", 180) + os.urandom(100)
        footer = os.urandom(60)
        digest = blake3(blake3(body).digest() + blake3(footer).digest()).digest()
        signature = base64.b64decode(self.signer.sign("pack", self.fingerprint, "packs/", digest)["ed25519"])
        tail = self.signer.key_hash[:16] + signature + struct.pack("<I", len(footer)) + b"FSPF"
        pack_id = blake3(blake3(body).digest() + blake3(footer + tail).digest()).hexdigest()
        self.put(f"packs/{pack_id[:2]}/{pack_id}", body + footer + tail)
        head = struct.pack("<32sI80sI", blake3(body).digest(), len(body + footer + tail), body, len(footer))
        return bytes(head + footer + tail)

    def tag(self) -> bytes:
        """Return the key tag that the packs here have, which is in clear."""
        return next((self.replica / "packs").rglob("*/*")).read_bytes()[56:72]

    def fragment(self, *entries: bytes) -> None:
        body = b"FSIX\1\0\0\0" + struct.pack("<II", len(entries), 0) + b"".join(entries)
        signature = self.signer.sign("fragment", self.fingerprint, "index/", blake3(body).digest())
        data = body + self.signer.key_hash[:16] + base64.b64decode(signature["ed25519"])
        self.put(f"index/{forge.hash_of(data)}", data)

    def everything(self) -> None:
        """Put one of each."""
        here = self.pack()
        nowhere = here[:32][::-1] + here[32:]
        self.fragment(here, nowhere)
        for prefix in ("runs/", "keys/accepted/"):
            data = os.urandom(64)
            self.put(prefix + forge.hash_of(data), data)
        key = next((self.replica / "keys/data").rglob("*/*"))
        data = key.read_bytes()[:-1] + b"!"
        self.put(f"keys/data/{key.parent.name}/{key.name.partition('-')[0]}-{forge.hash_of(data)}", data)
        self.text("log", "keys/log/00000099", "keys/log/00000099-#", format="farshore-log", number=99, previous="",
                  actions=[])  # fmt: skip
        self.text("slot", "keys/slots/", "keys/slots/#.json", format="farshore-slot", role="reader", kind="recipient",
                  nonce=forge.base(os.urandom(32)), recipient="00" * 16, sealed=forge.base(b"x" * 1200))  # fmt: skip
        for path in list((self.replica / "snapshots").rglob("*/*")):
            self.of_snapshot(path)
        self.text("plan", "plans/1/open", "plans/1/open", format="farshore-plan", number=1, state="open", roots=[],
                  names=[])  # fmt: skip
        packs = [str(path.relative_to(self.replica)) for path in (self.replica / "packs").rglob("*/*")]
        self.text("plan", "plans/1/condemned", "plans/1/condemned", format="farshore-plan", number=1,
                  state="condemned", roots=[], names=sorted(packs))  # fmt: skip
        self.audit()

    def of_snapshot(self, path: Path) -> None:
        """Put a commit like one that is there, and a tombstone, a hold and an approval for it."""
        value = json.loads(path.read_bytes().partition(b"\n")[0])
        subject = f"snapshots/{path.parent.name}/{path.name.partition('-')[0]}"
        self.text("commit", subject, f"{subject}-#", **{**value, "sequence": value["sequence"] + 1})
        snapshot, _, digest = path.name.partition("-")
        self.text("tombstone", f"forgotten/{snapshot}", f"forgotten/{snapshot}-#", format="farshore-tombstone",
                  snapshot=snapshot, commit=digest, reason="", rule="")  # fmt: skip
        self.text("note", f"notes/{snapshot}", f"notes/{snapshot}-#", format="farshore-note", snapshot=snapshot,
                  commit=digest, domain="main", epoch=1, keep="hold", until_utc="", lifts=[],
                  sealed=forge.base(os.urandom(64)))  # fmt: skip
        asked = {"act": "forget", "objects": [digest], "limit": 0, "ends_utc": MOMENT, "nonce": "0" * 32}
        request = blake3(forge.canonical(asked)).digest(16).hex()
        self.text("approval", f"approvals/{request}", f"approvals/{request}-#", format="farshore-approval",
                  request=request, asked=asked, says="approve", reason="")  # fmt: skip

    def audit(self) -> None:
        """Put an audit file, and a seal that names it."""
        data, run_id = os.urandom(64), os.urandom(16).hex()
        name = f"audit/runs/date=2026-01-01/{run_id}-{forge.hash_of(data)[:32]}.parquet"
        self.put(name, data)
        chain = self.signer.key_hash[:8].hex() + os.urandom(8).hex()
        subject = f"audit/_seals/{chain}/{1:012d}"
        self.text("seal", subject, f"{subject}-#.json", format="farshore-audit-seal", run_id=run_id, chain_id=chain,
                  sequence=1, previous="", sealed_utc=MOMENT, heads={"sources": {}, "chains": {}},
                  files=[{"name": name, "bytes": 64, "blake3": forge.hash_of(data)}])  # fmt: skip


if __name__ == "__main__":
    Stranger(Path(sys.argv[1])).everything()
