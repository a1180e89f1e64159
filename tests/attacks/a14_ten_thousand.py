"""A14: ten thousand objects of one kind, each well named and well formed, signed by nobody here.

Holds: put rights at one replica, and no key. Wants: every operation to read them all, and so to take minutes.

Usage: a14_ten_thousand.py KIND REPLICA COUNT. `a14_ten_thousand.py kinds` prints the kinds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from planted_objects import MOMENT, Stranger  # type: ignore[import-not-found]

Made = tuple[str, bytes]


class Crowd(Stranger):  # type: ignore[misc]
    """A stranger who puts many of one kind. A signature is made once for each kind: whoever checks it works as long."""

    def __init__(self, replica: Path) -> None:
        super().__init__(replica)
        self._signatures: dict[str, bytes] = {}
        self.source = next((replica / "snapshots").iterdir()).name
        self.key = next((replica / "keys/data").rglob("*/*"))
        self.commit = next((replica / "snapshots").rglob("*/*"))
        self.seal = next((replica / "audit/_seals").iterdir()).name
        self.pack_tag = self.tag()
        self.needed = sorted(str(path.relative_to(replica)) for path in (replica / "packs").rglob("*/*"))

    def put(self, name: str, data: bytes) -> None:
        forge.put(self.replica, name, data)

    def signed(self, kind: str, subject: str, /, **value: object) -> bytes:
        """Return a text of which no two are alike."""
        head = {"version": 1, "made_utc": MOMENT, "log": [int(self.log[:8]), self.log[9:]], "mark": os.urandom(8).hex()}
        body = forge.canonical({**head, **value})
        if kind not in self._signatures:
            whole = self.signer.text(kind, self.fingerprint, subject, {**head, **value})
            self._signatures[kind] = whole[whole.index(b"\n") + 1 :]
        return bytes(body + self._signatures[kind])

    def hashed(self, prefix: str, data: bytes, ending: str = "") -> Made:
        return f"{prefix}{forge.hash_of(data)}{ending}", data

    def tag(self) -> bytes:
        return self.pack_tag if hasattr(self, "pack_tag") else bytes(super().tag())

    # --- one of each kind ---------------------------------------------------------------------------------------------

    def packs(self, _: int) -> Made:
        made: list[Made] = []
        self.put = lambda name, data: made.append((name, data))  # type: ignore[method-assign]
        super().pack()
        return made[0]

    def fragments(self, _: int) -> Made:
        made: list[Made] = []
        self.put = lambda name, data: made.append((name, data))  # type: ignore[method-assign]
        super().fragment(super().pack())
        return made[-1]

    def runs(self, _: int) -> Made:
        return self.hashed("runs/", os.urandom(64))

    def accepted(self, _: int) -> Made:
        return self.hashed("keys/accepted/", os.urandom(64))

    def data_keys_of_a_run(self, _: int) -> Made:
        data = self.key.read_bytes()[:-16] + os.urandom(16)
        return self.hashed(f"keys/data/{self.key.parent.name}/{self.key.name.partition('-')[0]}-", data)

    def data_keys(self, _: int) -> Made:
        data = self.key.read_bytes()[:-16] + os.urandom(16)
        return self.hashed(f"keys/data/{os.urandom(16).hex()}/{self.key.name.partition('-')[0]}-", data)

    def log_entries_of_a_number(self, _: int) -> Made:
        data = self.signed("log", "keys/log/00000001", format="farshore-log", number=1, previous="", actions=[])
        return self.hashed("keys/log/00000001-", data)

    def log_entries(self, number: int) -> Made:
        at = int(self.log[:8]) + 1 + number
        data = self.signed(
            "log", f"keys/log/{at:08d}", format="farshore-log", number=at, previous=self.log[9:], actions=[]
        )
        return self.hashed(f"keys/log/{at:08d}-", data)

    def later_headers(self, _: int) -> Made:
        return self.hashed("keys/log/00000000-", self.signed("header", "keys/log/00000000", format="farshore"))

    def slots(self, _: int) -> Made:
        data = self.signed(
            "slot", "keys/slots/", format="farshore-slot", role="reader", kind="recipient",
            nonce=forge.base(os.urandom(32)), recipient="00" * 16, sealed=forge.base(b"x" * 1200),
        )  # fmt: skip
        return self.hashed("keys/slots/", data, ".json")

    def commits(self, _: int) -> Made:
        """Return one of the victim's source, with all that a commit has."""
        return self._commit(self.source)

    def commits_of_nobody(self, _: int) -> Made:
        return self._commit(os.urandom(16).hex())

    def _commit(self, source: str) -> Made:
        value = forge.json.loads(self.commit.read_bytes().partition(b"\n")[0])
        subject = f"snapshots/{source}/{os.urandom(16).hex()}"
        value |= {"source_id": source, "snapshot": subject[-32:]}
        return self.hashed(f"{subject}-", self.signed("commit", subject, **value))

    def leases(self, _: int) -> Made:
        lease = os.urandom(16).hex()
        value = {
            "lease": lease,
            "run": lease,
            "source_id": self.source,
            "identity": "",
            "snapshot": lease,
            "host": "{}",
        }
        data = self.signed(
            "lease", f"leases/{lease}/000000", format="farshore-lease", beat=0, started_utc=MOMENT,
            expires_utc="2100-01-01T00:00:00.000000Z", **value,
        )  # fmt: skip
        return f"leases/{lease}/000000", data

    def beats_of_a_lease(self, number: int) -> Made:
        lease = "a" * 32
        data = self.signed("lease", f"leases/{lease}/{number:06d}", format="farshore-lease", lease=lease, beat=number)
        return f"leases/{lease}/{number:06d}", data

    def lease_ends(self, _: int) -> Made:
        lease = os.urandom(16).hex()
        data = self.signed(
            "lease-end", f"leases/{lease}/end/0", format="farshore-lease-end", lease=lease, k=0, state="committing",
            commits=[],
        )  # fmt: skip
        return f"leases/{lease}/end/0", data

    def plans(self, number: int) -> Made:
        name = f"plans/{number + 1}/open"
        return name, self.signed("plan", name, format="farshore-plan", number=number + 1, state="open", roots=[])

    def condemning_plans(self, number: int) -> Made:
        name = f"plans/{number + 1}/condemned"
        data = self.signed(
            "plan", name, format="farshore-plan", number=number + 1, state="condemned", roots=[], names=self.needed
        )
        return name, data

    def tombstones(self, _: int) -> Made:
        snapshot, digest = self.commit.name.split("-")
        data = self.signed(
            "tombstone", f"forgotten/{snapshot}", format="farshore-tombstone", snapshot=snapshot, commit=digest,
            reason="", rule="",
        )  # fmt: skip
        return self.hashed(f"forgotten/{snapshot}-", data)

    def counter_tombstones(self, _: int) -> Made:
        snapshot = self.commit.name.partition("-")[0]
        data = self.signed(
            "untombstone", f"unforgotten/{snapshot}", format="farshore-untombstone", snapshot=snapshot, tombstones=[]
        )
        return self.hashed(f"unforgotten/{snapshot}-", data)

    def verdicts(self, _: int) -> Made:
        data = self.signed(
            "verdict", "verdicts/", format="farshore-verdict", reason="", proven="", data_keys="", bad="", lifts=""
        )
        return self.hashed("verdicts/", data)

    def approvals(self, _: int) -> Made:
        return self.hashed("approvals/", self.signed("approval", "approvals/", format="farshore-approval"))

    def moves(self, _: int) -> Made:
        return self.hashed("moves/", self.signed("move", "moves/", format="farshore-move"))

    def notes(self, _: int) -> Made:
        snapshot = self.commit.name.partition("-")[0]
        return self.hashed(f"notes/{snapshot}-", self.signed("note", f"notes/{snapshot}", format="farshore-note"))

    def audit_files(self, _: int) -> Made:
        data = os.urandom(200)
        return f"audit/snapshots/date=2026-01-01/{os.urandom(16).hex()}-{forge.hash_of(data)[:32]}.parquet", data

    def seals_of_a_chain(self, _: int) -> Made:
        """Return one of the chain of the victim's host, whose id anybody can read."""
        return self._seal(self.seal)

    def seals(self, _: int) -> Made:
        return self._seal(self.signer.key_hash[:8].hex() + os.urandom(8).hex())

    def _seal(self, chain: str) -> Made:
        subject = f"audit/_seals/{chain}/{1:012d}"
        data = self.signed(
            "daily-seal", subject, format="farshore-audit-seal", run_id="0" * 32, chain_id=chain, sequence=1,
            previous="", sealed_utc=MOMENT, files=[], covers=[], heads={"sources": {}, "chains": {}},
        )  # fmt: skip
        return self.hashed(f"{subject}-", data, ".json")

    def foreign_names(self, number: int) -> Made:
        return f"foreign/{number:05d}-" + "é" * 100 + "\u202e\x1b[31m", os.urandom(16)


KINDS: dict[str, Callable[[Crowd, int], Made]] = {
    name.replace("_", "-"): method
    for name, method in vars(Crowd).items()
    if callable(method) and not name.startswith("_") and name not in ("put", "signed", "hashed", "tag")
}


def crowd(kind: str, replica: Path, count: int) -> Iterator[Made]:
    """Yield the objects."""
    one = Crowd(replica)
    for number in range(count):
        yield KINDS[kind](one, number)


if __name__ == "__main__":
    if sys.argv[1] == "kinds":
        print(*KINDS, sep="\n")
    else:
        for made_name, made_data in crowd(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])):
            forge.put(Path(sys.argv[2]), made_name, made_data)
