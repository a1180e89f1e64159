"""Names that are no text, that move a terminal's cursor, or that are as long as a file system allows.

Holds: put rights at one replica; for `snapshot` the stolen credential of a writer of the domain as well. Wants: a
listing to end, a log or a terminal to show what is not there, a path outside of the target to be written.

Usage: strange_names.py objects REPLICA | snapshot REPLICA CREDENTIAL MOMENT. Prints nothing: the names are no lines.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Thief  # type: ignore[import-not-found]

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202eevil\r\n"
FOLDERS = ("", "packs/aa/", "index/", "runs/", "keys/log/", "keys/slots/", "snapshots/", "leases/", "audit/_seals/",
           "audit/runs/date=2026-01-01/", "plans/", "forgotten/", "verdicts/", "notes/", "keys/data/")  # fmt: skip


def main() -> None:
    """Put them."""
    if sys.argv[1] == "objects":
        objects(Path(sys.argv[2]))
    else:
        snapshot(*sys.argv[2:])


def objects(replica: Path) -> None:
    for folder in FOLDERS:
        for name in (
            ESCAPE.encode(), b"\xff\xfe no text \x80", b"n" * 255, "é".encode() * 127, b"A" * 64, b"0" * 64 + b"\n",
            b"/".join([b"deep" * 60] * 8), b"00000001-" + b"\xc3(" * 32, b"farshore.json ", b"%2e%2e%2fetc",
        ):  # fmt: skip
            path = os.path.join(os.fsencode(replica), folder.encode(), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(b"x")


def snapshot(replica: str, credential: str, moment: str) -> None:
    """Put a snapshot whose source, facts and files have such names."""
    thief = Thief.at(credential, replica)
    name = ESCAPE + "é" * 5000
    files = {ESCAPE.encode(): b"x" * 100, b"n" * 70_000: b"y" * 100, "\u202eéé".encode(): b"z" * 100}
    details = {"source": name, "identity": name, "facts": {name: name}, "marks": {"host": name}}
    thief.snapshot(files, moment, details=details)
    for one, data in thief.made.items():
        forge.put(Path(replica), one, data)


if __name__ == "__main__":
    main()
