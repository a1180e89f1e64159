"""What a stolen credential can fold: rows of another host's chain as the thief likes them, and seals that are nowhere.

Holds: the stolen credential of a maintainer, or of a writer, and put rights at one replica.

Usage: stolen_folds.py rows|invented|hidden REPLICA CREDENTIAL MOMENT. Prints the names that it put.
`rows`: a fold of the longest chain up to its newest daily seal, with the rows of a table turned into the thief's.
`invented`: the same, and a seal before the newest daily one that nobody made.
`hidden`: the same over the seals that are left, in the places of those that somebody cut.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from a07_unsigned_audit import planted  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]


def main() -> None:
    """Make the fold, and put it."""
    what, replica, credential, moment = sys.argv[1:]
    secret = json.loads(Path(credential).read_bytes())
    secret.setdefault("domains", {"none": [{"epoch": 1, "index_key": "", "chunk_key": ""}]})
    thief = Thief(secret, Path(replica))
    chain, seals = longest(Path(replica))
    newest = max(at for at, (_, value) in seals.items() if "covers" in value)
    hashes = {at: one for at, (one, _) in seals.items() if at < newest}
    kept = [at for at in hashes if "covers" in seals[at][1]]
    first = min(hashes)
    if what == "invented":
        hashes[max(hashes)] = os.urandom(32).hex()
    if what == "hidden":
        hashes |= {at: os.urandom(32).hex() for at in range(first, newest) if at not in hashes}
    files: dict[str, bytes] = {}
    for path in sorted((Path(replica) / "audit/runs").rglob("*.parquet")):
        files |= dict(planted(Path(replica), path, source="home"))
    fold = {
        "chain_id": chain, "first": first, "previous": seals[first][1]["previous"],
        "seals": [hashes[at] for at in range(first, newest)], "kept": kept, "expired": "",
    }  # fmt: skip
    thief.seal(files, moment, fold=fold)
    for name, data in thief.made.items():
        forge.put(Path(replica), name, data)
        print(name)


def longest(replica: Path) -> tuple[str, dict[int, tuple[str, forge.Json]]]:
    """Return the chain with the most seals, and these by sequence, with their hash."""
    chains: dict[str, dict[int, tuple[str, forge.Json]]] = defaultdict(dict)
    for path in sorted((replica / "audit/_seals").rglob("*.json")):
        sequence, _, digest = path.stem.partition("-")
        value = json.loads(path.read_bytes().partition(b"\n")[0])
        chains[path.parent.name][int(sequence)] = (digest, value)
    return max(chains.items(), key=lambda one: len(one[1]))


if __name__ == "__main__":
    main()
