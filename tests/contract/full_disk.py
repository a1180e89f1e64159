"""Run by test_store_directory.py in a mount namespace of its own: a directory store on a disk of 8 MiB.

Prints what happened as one line of JSON. With `no-proc` there is no /proc, so files cannot be named by their descriptor
and the store writes beside the place instead.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from farshore.clock import SystemClock
from farshore.errors import FarshoreError
from farshore.stores.base import ANY_OBJECT
from farshore.stores.directory import DirectoryStore


def fill(path: Path) -> dict[str, object]:
    """Put until the disk is full, make room, and go on."""
    store = DirectoryStore(path=path, clock=SystemClock())
    outcomes = []
    for number in range(4):
        try:
            outcomes.append(store.put(f"packs/aa/{number}", os.urandom(3 << 20)).value)
        except FarshoreError as error:
            outcomes.append(error.code)
    seen: dict[str, object] = {"outcomes": outcomes, "listed": [info.name for info in store.list()]}
    seen["files"] = sorted(entry.name for entry in path.rglob("*") if entry.is_file())
    seen["small"] = store.put("packs/aa/small", b"fits").value
    store.delete("packs/aa/0", ANY_OBJECT)
    seen["after"] = store.put("packs/bb/2", os.urandom(3 << 20)).value
    seen["whole"] = [len(store.get(info.name)) for info in store.list()]
    return seen


if __name__ == "__main__":
    print(json.dumps(fill(Path(sys.argv[1]))))
