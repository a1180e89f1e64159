"""A15: objects as large as any of their kind may be, or far larger, that name a signer of the victim's.

Holds: put rights at one replica, and no key. Wants: every operation to read gigabytes. The signer's id is in every
genuine object, so it costs nothing to name; sizes beyond the limits are those of sparse files.

Usage: a15_large_objects.py KIND REPLICA COUNT. `a15_large_objects.py kinds` prints the kinds.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from a14_ten_thousand import KINDS as SMALL  # type: ignore[import-not-found]
from a14_ten_thousand import Crowd, Made

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LIMITS = {  # of the format page, of what is a text
    "log-entries-of-a-number": MIB, "log-entries": MIB, "later-headers": MIB, "slots": 64 * KIB, "commits": MIB,
    "leases": 64 * KIB, "lease-ends": 2 * MIB, "condemning-plans": 64 * MIB, "tombstones": 64 * KIB,
    "counter-tombstones": 64 * KIB, "verdicts": MIB, "notes": 64 * KIB, "approvals": MIB,
    "seals-of-a-chain": 16 * MIB,
}  # fmt: skip
_LINE = 6 * KIB  # room for signatures


class Large(Crowd):  # type: ignore[misc]
    """A stranger whose objects are large."""

    size = 0

    def __init__(self, replica: Path) -> None:
        super().__init__(replica)
        line = json.loads(self.commit.read_bytes().splitlines()[1])
        self.named = bytes.fromhex(line["signer"])

    def signed(self, kind: str, subject: str, /, **value: object) -> bytes:
        """Return a text that is as large as its kind may be, and names the victim."""
        text = super().signed(kind, subject, **value, filled="x" * max(self.size - _LINE - 1000, 0))
        return bytes(text.replace(self.signer.key_hash[:16].hex().encode(), self.named.hex().encode()))

    def large_packs(self, _: int) -> Made:
        """Return a pack of 64 MiB in all but the signature."""
        footer = os.urandom(60)
        body_bytes = 64 * MIB - 88 - len(footer)
        body = b"FSPK\1\0\0\0" + os.urandom(48) + self.tag() + struct.pack("<I4x", body_bytes)
        body += os.urandom(16) + bytes(body_bytes - len(body) - 16)
        tail = self.named + os.urandom(64) + struct.pack("<I", len(footer)) + b"FSPF"
        pack_id = blake3(blake3(body).digest() + blake3(footer + tail).digest()).hexdigest()
        return f"packs/{pack_id[:2]}/{pack_id}", body + footer + tail

    def large_fragments(self, _: int) -> Made:
        """Return a fragment of two million superseded ones."""
        count = (64 * MIB - 16 - 80) // 32
        body = b"FSIX\1\0\0\0" + struct.pack("<II", 0, count) + os.urandom(32) + bytes(32 * (count - 1))
        return self.hashed("index/", body + self.named + os.urandom(64))

    def large_audit_files(self, _: int) -> Made:
        data = os.urandom(64) + bytes(64 * MIB)
        return f"audit/runs/date=2026-01-01/{os.urandom(16).hex()}-{forge.hash_of(data)[:32]}.parquet", data


def beyond(one: Large, number: int) -> None:
    """Put sparse files of 1 GiB under names of every kind whose name has a hash, and of the last plan."""
    source = one.source
    names = [
        f"packs/00/00{os.urandom(31).hex()}",
        *(f"{prefix}{os.urandom(32).hex()}" for prefix in ("index/", "runs/", "keys/accepted/", "verdicts/")),
        f"keys/slots/{os.urandom(32).hex()}.json",
        f"keys/log/{number + 1:08d}-{os.urandom(32).hex()}",
        f"keys/data/{os.urandom(16).hex()}/{os.urandom(16).hex()}-{os.urandom(32).hex()}",
        f"snapshots/{source}/{os.urandom(16).hex()}-{os.urandom(32).hex()}",
        f"leases/{os.urandom(16).hex()}/000000",
        f"leases/{os.urandom(16).hex()}/end/0",
        f"plans/{number + 1}/condemned",
        *(f"{prefix}{one.commit.name[:32]}-{os.urandom(32).hex()}" for prefix in ("forgotten/", "notes/")),
        f"approvals/{os.urandom(16).hex()}-{os.urandom(32).hex()}",
        f"audit/_seals/{one.seal}/{number + 1:012d}-{os.urandom(32).hex()}.json",
        f"audit/runs/date=2026-01-01/{os.urandom(16).hex()}-{os.urandom(16).hex()}.parquet",
    ]
    for name in names:
        forge.put(one.replica, name, b"{")
        os.truncate(one.replica / name, GIB)


def text(kind: str) -> Callable[[Large, int], Made]:
    def made(one: Large, number: int) -> Made:
        one.size = LIMITS[kind]
        return SMALL[kind](one, number)

    return made


KINDS: dict[str, Callable[[Large, int], Made]] = {
    "packs": Large.large_packs, "fragments": Large.large_fragments, "audit-files": Large.large_audit_files,
    **{kind: text(kind) for kind in LIMITS},
}  # fmt: skip


def main() -> None:
    """Put them."""
    kind, replica, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    one = Large(replica)
    for number in range(count):
        if kind == "beyond":
            beyond(one, number)
        else:
            forge.put(replica, *KINDS[kind](one, number))


if __name__ == "__main__":
    if sys.argv[1] == "kinds":
        print(*KINDS, "beyond", sep="\n")
    else:
        main()
