"""Make the golden repositories of the current format version, on a machine of no name:

    unshare --uts sh -c "hostname golden; python -m tests.golden.regenerate tests/golden/vN"
    unshare --uts sh -c "hostname golden; python -m tests.golden.regenerate --kind special tests/golden/vN-special"
    unshare --uts sh -c "hostname golden; python -m tests.golden.regenerate --kind parties tests/golden/vN-parties"

Only for a format version that no release has written yet: what is committed here opens for ever, so a directory that
exists is never touched. Times, ids and keys come from a clock that stands still, so that two runs differ only where the
format is random by design (key pairs, and whatever is sealed to them).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.contents import iterate_rows
from farshore.catalog.snapshots import list_snapshots
from farshore.config import Config
from farshore.config.secret import Secret
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.format.manifest import ManifestRow
from farshore.model import Entry, EntryKind
from farshore.ops.backup.backup import run_backup
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import generate_identity
from farshore.run import Run
from farshore.sources.base import Capture, Source
from farshore.sources.sqlite.capture import SqliteCapture
from farshore.sources.sqlite.source import SqliteSource
from farshore.stores.memory import shared_shelf
from tests.golden.parties import engine_of, make_parties
from tests.golden.special import locked, make_incomplete, make_whole_again, special_tree
from tests.unit.ops.tree_source import TreeSource, blocks
from tests.unit.replicas.clocks import StillClock

PASSPHRASE = "golden grüße, open for ever"
STARTED_UTC = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
_PAGE_BYTES = 4096


MARKS = {"host": "golden", "file_system": "4f68e1a2-1c1f-4c8e-9b43-000000000001", "path": "/srv/golden", "inode": "2"}


class Ledger(SqliteSource):
    """A database that is recognized by nothing of the machine that makes the repository."""

    @contextmanager
    def capture(self) -> Iterator[Capture]:
        with super().capture() as capture:
            assert isinstance(capture, SqliteCapture)
            yield replace(capture, recognized_by=MARKS)


def golden_tree(clock: StillClock) -> TreeSource:
    """Return the tree of the first snapshot: everything a directory may hold, in few bytes once compressed."""
    chance = random.Random(2026)
    tree = TreeSource(clock=clock, marks=dict(MARKS))
    tree.directory(b"documents", mode=0o2750)
    tree.file(b"documents/empty")
    tree.file(b"documents/letter.txt", "Grüße aus Föhr\n".encode() * 20)
    tree.file(b"documents/script", b"#!/bin/sh\n", mode=0o4755)
    tree.symlink(b"documents/to-letter", b"letter.txt")
    tree.symlink(b"dangling", b"/no/\xffwhere")
    tree.link(b"zz-second-name", b"documents/letter.txt")
    tree.file(b"odd \xff\xfe\n name", b"names are bytes")
    tree.directory(b"empty directory")
    tree.put(Entry(b"fifo", EntryKind.FIFO, mode=0o640))
    tree.file(
        b"with-attributes", b"x", xattrs=((b"user.binary", bytes(range(256))), (b"user.empty", b"")), user="nobody"
    )  # fmt: skip
    tree.file(b"sparse", b"start" * 1000, 2_000_000, b"middle", 300_000)
    words = [chance.randbytes(64) for _ in range(256)]  # compresses well, and yet has cut points
    tree.file(b"large.log", b"".join(chance.choice(words) for _ in range(22_000)))
    tree.file(
        b"disk.img", b"".join(chance.randbytes(32) * (_PAGE_BYTES // 32) for _ in range(290)), page_bytes=_PAGE_BYTES
    )
    clock.advance(3600)
    return tree


def change_tree(tree: TreeSource, clock: StillClock) -> None:
    """Make the tree that of the second snapshot."""
    chance = random.Random(2027)
    tree.write(b"documents/letter.txt", b"rewritten\n")
    tree.write(
        b"disk.img",
        blocks(tree.content(b"disk.img"), _PAGE_BYTES, [0, 7, 200], lambda size: chance.randbytes(16) * (size // 16)),
    )
    tree.write(b"sparse", b"start" * 1000, 2_300_000, b"end")
    tree.remove(b"empty directory", b"documents/empty")
    tree.file(b"documents/new", b"new")
    tree.write(b"large.log", tree.content(b"large.log") + b"one more line\n")
    clock.advance(3600)


def make_database(path: Path) -> None:
    """Write a small SQLite database, always the same."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA page_size = 1024")
        database.execute("CREATE TABLE ledger (entry INTEGER PRIMARY KEY, amount INTEGER, note TEXT)")
        database.executemany(
            "INSERT INTO ledger VALUES (?, ?, ?)", [(one, one * 7, f"entry {one}") for one in range(50)]
        )
    database.close()


def configure(root: Path, *, state_dir: Path) -> Config:
    """Return the configuration that opens the golden repository at `root`."""
    return Config(
        repository=RepositoryConfig(quorum=1, passphrase=Secret("env", "GOLDEN"), identity=root / "identity.json"),
        replicas={"only": ReplicaConfig("only", (root / "replica").as_uri(), region="site:golden")},
        sources={},
        state_dir=state_dir,
        environment={"GOLDEN": PASSPHRASE},
    )


Expected = dict[str, object]


def back_up_all(config: Config, scratch: Path, clock: StillClock) -> Expected:
    """Make the snapshots of `vN`."""
    database = scratch / "ledger.db"
    make_database(database)
    tree = golden_tree(clock)
    _back_up(config, tree, clock)
    change_tree(tree, clock)
    _back_up(config, tree, clock)
    _back_up(config, Ledger(name="ledger", path=database, clock=clock), clock)
    return {}


def back_up_special(config: Config, _: Path, clock: StillClock) -> Expected:
    """Make the snapshots of `vN-special`."""
    tree = special_tree(clock, MARKS)
    _back_up(config, tree, clock)
    for change in (make_incomplete, make_whole_again):
        change(tree, clock)
        _back_up(config, tree, clock)
    locks = ((name, kept.lock) for name, kept in shared_shelf("golden").kept.items())
    return {"locked_until": {name: lock.until_utc.isoformat() for name, lock in locks if lock}}


def back_up_parties(config: Config, scratch: Path, clock: StillClock) -> Expected:
    """Make all that is in `vN-parties`."""
    return {"made": make_parties(engine_of(config, scratch, clock), MARKS)}


KINDS: dict[str, Callable[[Config, Path, StillClock], Expected]] = {
    "usual": back_up_all, "special": back_up_special, "parties": back_up_parties,
}  # fmt: skip


def generate(root: Path, kind: str) -> None:
    """Make a repository, and beside it what must be found in it."""
    root.mkdir(parents=True)
    clock = StillClock(moment_utc=STARTED_UTC, seed=2034)
    with tempfile.TemporaryDirectory() as scratch:
        config = configure(root, state_dir=Path(scratch) / "state")
        # In memory first: a directory would stamp what is put with the real time, which is far from that of the clock.
        config = replace(config, replicas={"only": replace(config.replicas["only"], url="memory://golden")})
        if kind == "special":
            config = replace(config, replicas={"only": locked(config.replicas["only"])})
        recipient = generate_identity(root / "identity.json")
        made = initialize(config, with_credential=False, recipients=[recipient], clock=clock)
        config = replace(config, repository=replace(config.repository, fingerprint=made.fingerprint))
        more = KINDS[kind](config, Path(scratch), clock)
        expected = {**_describe(config, clock), **more}
    for name, (data, _) in shared_shelf("golden").objects.items():
        path = root / "replica" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    objects = sorted(path for path in (root / "replica").rglob("*") if path.is_file())
    expected["objects"] = {
        str(path.relative_to(root / "replica")): hashlib.sha256(path.read_bytes()).hexdigest() for path in objects
    }
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=True)
    (root / "expected.json").write_text(text + "\n", encoding="ascii")


def describe_row(row: ManifestRow) -> dict[str, object]:
    """Return everything a manifest says of an entry, as JSON."""
    entry = row.entry
    return {
        "path": entry.path.hex(),
        "kind": str(entry.kind),
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "target": entry.target.hex(),
        "xattrs": [[name.hex(), value.hex()] for name, value in entry.xattrs],
        "page_bytes": entry.page_bytes,
        "content_hash": row.content_hash.hex(),
        "state": row.state,
    }


def _back_up(config: Config, source: Source, clock: StillClock) -> None:
    with open_repository(config, need=Need.READ, clock=clock) as repository:
        run_backup(repository, source, run=Run.start(clock))
    clock.advance(3600)


def _describe(config: Config, clock: StillClock) -> dict[str, object]:
    with open_repository(config, need=Need.READ, clock=clock) as repository:
        snapshots = []
        for one in list_snapshots(repository):
            rows = [describe_row(row) for row in iterate_rows(repository, one)]
            snapshots.append({
                "snapshot": one.snapshot_id, "source": one.source, "kind": one.kind,
                "started_utc": one.started_utc.isoformat(), "entries": rows, "state": one.state.value,
                "sequence": one.sequence, "parent": one.parent,
            })  # fmt: skip
        return {"repository": repository.repository_id, "passphrase": PASSPHRASE, "snapshots": snapshots}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where it is made; must not exist")
    parser.add_argument("--kind", choices=KINDS, default="usual", help="see tests/golden/README.md")
    given = parser.parse_args()
    directory = given.directory
    if directory.exists():
        sys.exit(f"{directory} exists; a golden repository is never rewritten")
    generate(directory.resolve(), given.kind)


if __name__ == "__main__":
    main()
