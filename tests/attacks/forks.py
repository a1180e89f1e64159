"""Forks by a thief: of its own chain of seals, of its source, of a chain of another host, and of the owner log.

Holds: the stolen credential of a writer of the domain, and put rights at one replica. Wants: others to stop, because
they cannot know which branch is right; or its branch to count.

Usage: forks.py seals|commits|chain|log REPLICA CREDENTIAL MOMENT. Prints the names that it put.
`seals`: two seals at one place of the thief's own chain; `commits`: two snapshots of its source that follow nothing;
`chain`: seals at the first places of every other chain, which name none of the files; `log`: two entries after the
newest one, by which the thief may do everything, and everybody else is revoked.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]

EVERY = ["backup", "restore", "verify", "heal", "maintain", "approve"]


def main() -> None:
    """Fork it."""
    what, replica, credential, moment = sys.argv[1:]
    thief = Thief.at(credential, replica)
    {"seals": own_seals, "commits": commits, "chain": chains_of_others, "log": log}[what](thief, moment)
    for name, data in thief.made.items():
        forge.put(Path(replica), name, data)
        print(name)


def own_seals(thief: Thief, moment: str) -> None:
    chain = thief.signer_id[:16] + "f" * 16
    for run in ("1" * 32, "2" * 32):
        thief.seal({}, moment, chain_id=chain, run_id=run)


def commits(thief: Thief, moment: str) -> None:
    for content in (b"one branch" * 50, b"another branch" * 50):
        thief.snapshot({b"letter": content}, moment)


def chains_of_others(thief: Thief, moment: str) -> None:
    for chain in sorted((thief.replica / "audit/_seals").iterdir()):
        for sequence in (1, 2):
            thief.seal({}, moment, chain_id=chain.name, sequence=sequence)


def log(thief: Thief, moment: str) -> None:
    number, digest = thief.head
    own = {
        "action": "certificate", "signer": thief.signer_id, **thief.signer.public_json(), "host": "thief",
        "role": "reader", "domain": thief.domain, "sources": {"prefix": thief.prefix_of(thief.signer_id)},
        "rights": EVERY, "not_before_utc": moment, "not_after_utc": "2099-01-01T00:00:00.000000Z",
    }  # fmt: skip
    others = {one["signer"] for one in thief.actions() if one["action"] == "certificate"} - {thief.signer_id}
    revoked = [{"action": "revoke", "signer": one, "commits": [], "chains": {}, "reason": ""} for one in sorted(others)]
    name = f"keys/log/{number + 1:08d}"
    for actions in ([own], [own, *revoked]):
        value = {
            "format": "farshore-log", "version": 1, "number": number + 1, "previous": digest, "made_utc": moment,
            "actions": actions,
        }  # fmt: skip
        data = thief.signer.text("log", thief.fingerprint, name, value)
        thief.put(f"{name}-{forge.hash_of(data)}", data)


if __name__ == "__main__":
    main()
