"""Make the golden repository of format version 1: python -m tests.golden.regenerate DIRECTORY

Run by hand, once per format version; the result is committed and opens for ever. Never run by the tests. Sealing to a
public key is random, so two runs differ in their bytes and agree in what they hold. The host's name enters the audit
tables: run it in a namespace of its own, `unshare --uts sh -c 'hostname golden; ...'`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import sys
import tempfile
from pathlib import Path

from farshore.clock import FixedClock
from farshore.config import Config, load_config
from farshore.ops.backup import run_backup
from farshore.ops.initialize import initialize
from farshore.ops.opening import Need, open_repository, open_source

PASSPHRASE = "golden passphrase, not a secret"
REPOSITORY = "repository"
EXPECTED = "expected.json"


def config_of(repository: Path, state: Path, home: Path, ledger: Path) -> Config:
    """Return a configuration of one replica at `repository`."""
    path = state / "farshore.toml"
    path.write_text(
        f'[repository]\nquorum = 1\npassphrase = {{ env = "FARSHORE_PASSPHRASE" }}\n'
        f'[replicas.golden]\nurl = "file://{repository}"\n'
        f'[sources.home]\ntype = "directory"\npath = "{home}"\n'
        f'[sources.ledger]\ntype = "sqlite"\npath = "{ledger}"\n'
        f'[state]\ndir = "{state}"\n'
    )
    return load_config(path, {"FARSHORE_PASSPHRASE": PASSPHRASE, "HOME": str(state)})


def main(into: Path) -> None:
    """Write the repository and what it must hold."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in ("state", "home"):
            (root / name).mkdir()
        (into / REPOSITORY).mkdir(parents=True)
        config = config_of(into / REPOSITORY, root / "state", root / "home", root / "ledger.db")
        clock = FixedClock()
        initialize(config, clock=clock)
        expected: list[dict[str, object]] = []
        for change in (_first, _second):
            change(root / "home", root / "ledger.db")
            _back_up(config, clock)
            clock.advance(86_400)
            digest = hashlib.sha256("\n".join(dump(root / "ledger.db")).encode()).hexdigest()
            expected.append({"home": describe(root / "home"), "ledger": digest})
        (into / EXPECTED).write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def _back_up(config: Config, clock: FixedClock) -> None:
    for name in config.sources:
        clock.advance(60)
        with open_repository(config, need=Need.READ, clock=clock) as repository:
            run_backup(repository, open_source(config, name, clock=clock), clock=clock)


def _first(home: Path, ledger: Path) -> None:
    (home / "empty").mkdir(mode=0o711)
    (home / "notes").write_text("a small file\n" * 40)
    (home / "script").write_bytes(b"#!/bin/sh\n")
    (home / "script").chmod(0o4755)
    (home / "link").symlink_to("notes")
    os.link(home / "notes", home / "same notes")
    Path(os.fsdecode(os.fsencode(home) + b"/odd \xff\n name")).write_bytes(b"not UTF-8")
    os.setxattr(home / "notes", "user.origin", b"\x00\xff")
    with (home / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"behind a hole")
        file.truncate(3 << 20)
    os.mkfifo(home / "pipe")
    (home / "disk.img").write_bytes(b"".join(number.to_bytes(4, "big") * 1024 for number in range(512)))
    (home / "large").write_bytes(hashlib.shake_128(b"large").digest(1_200_000)[:60_000] * 20)
    for path in sorted(home.rglob("*")):
        os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789), follow_symlinks=False)
    with sqlite3.connect(ledger) as connection:
        connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO entries (note) VALUES (?)", [(f"note {n}",) for n in range(500)])
    connection.close()


def _second(home: Path, ledger: Path) -> None:
    with (home / "disk.img").open("r+b") as file:
        for page in (3, 200, 201, 511):
            file.seek(page * 4096)
            file.write(b"changed page" * 10)
    (home / "script").unlink()
    (home / "added").write_text("in the second snapshot\n")
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE entries SET note = 'changed' WHERE id % 50 = 0")
    connection.close()


def describe(root: Path) -> dict[str, dict[str, object]]:
    """Return what a tree holds, told by the file system alone: kind, mode, time, links, attributes, hash."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        about: dict[str, object] = {"kind": stat.S_IFMT(status.st_mode), "mode": stat.S_IMODE(status.st_mode)}
        if path.is_symlink():
            about["target"] = str(path.readlink())
        elif path.is_file():
            about |= {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "links": status.st_nlink}
            about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            about["attributes"] = {
                name: os.getxattr(path, name).hex() for name in os.listxattr(path) if name.startswith("user.")
            }
        found[os.fsencode(path.relative_to(root)).hex()] = about
    return found


def dump(ledger: Path) -> list[str]:
    """Return the statements that would make a database again."""
    connection = sqlite3.connect(ledger)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
