"""A4: a pack, with its fragment, that claims to have the chunk of a file and has other content; and a word for it.

Holds: the stolen credential of a writer of the domain, put rights at one replica, and a file that hosts will back up or
have backed up. Wants: later backups of other hosts to go by the claim, so that they are green and lost; with `proven`
it says in its own name that it read the pack and found it good, with `lying` that all genuine packs lie.

Usage: a04_lying_pack.py REPLICA CREDENTIAL FILE [proven] [lying]. Prints the name of the pack.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Pack, Thief  # type: ignore[import-not-found]


def main() -> None:
    """Plant the lie."""
    replica, credential, file, *words = sys.argv[1:]
    thief = Thief.at(credential, replica)
    content = Path(file).read_bytes()
    pack = thief.pack({thief.chunk_id(content): b"\xee" * len(content)})
    key = thief.sealed_key()
    genuine = [Pack.of(path.read_bytes()) for path in Path(replica).glob("packs/*/*")]
    value = {
        "format": "farshore-verdict", "version": 1, "reason": "", "made_utc": "2026-01-01T00:00:00.000000Z",
        "log": thief.head, "lifts": "",
        "proven": forge.base(bytes.fromhex(pack.id) if "proven" in words else b""),
        "data_keys": forge.base(thief.key_id + key[8:24] + bytes.fromhex(forge.hash_of(key))),
        "bad": forge.base(b"".join(sorted(bytes.fromhex(one.id) for one in genuine)) if "lying" in words else b""),
    }  # fmt: skip
    if words:
        data = thief.signer.text("verdict", thief.fingerprint, "verdicts/", value)
        thief.put(f"verdicts/{forge.hash_of(data)}", data)
    for name, data in thief.made.items():
        forge.put(Path(replica), name, data)
    print(pack.name)


if __name__ == "__main__":
    main()
