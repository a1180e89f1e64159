"""Sample data: a ledger in SQLite and a home directory with real files and the odd things that file systems hold."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sysconfig
from contextlib import closing, suppress
from pathlib import Path

SPARSE_BYTES = 256 * 1024 * 1024  # larger than all the rest together, were its hole read as data
_ENTRIES = 200_000
# The last ones are what the first server of a fresh environment writes there while this is copied.
_LEFT_OUT = ("site-packages", "dist-packages", "__pycache__", "*.lock", "*ui_static*", "ui_build*")


def make_ledger(path: Path) -> None:
    """Make a database of accounts and bookings, about 20 MB, in WAL mode as a program at work has it."""
    source = random.Random(7)  # noqa: S311 - the same ledger each time
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table account (id integer primary key, owner text not null, opened text not null)")
        connection.execute(
            "create table booking (id integer primary key, account integer not null references account (id), "
            "cents integer not null, purpose text not null)"
        )
        connection.executemany(
            "insert into account values (?, ?, ?)",
            ((n, f"owner {n}", f"20{n % 25:02d}-01-01") for n in range(2_000)),
        )
        connection.executemany(
            "insert into booking values (?, ?, ?, ?)",
            (
                (
                    n,
                    source.randrange(2_000),
                    source.randrange(-(10**7), 10**7),
                    f"invoice {source.getrandbits(160):040x}",
                )
                for n in range(_ENTRIES)
            ),
        )
        connection.execute("create index booking_account on booking (account)")


def change_ledger(path: Path) -> str:
    """Book a little; return what was done."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update booking set cents = -cents where id % 5000 = 0")
        connection.executemany(
            "insert into booking (account, cents, purpose) values (?, ?, ?)",
            ((n % 2_000, n, f"late booking {n}") for n in range(500)),
        )
    return "500 bookings added, 40 corrected"


def make_home(root: Path) -> str:
    """Make a home directory from the real files of this Python, with odd ones beside them; return what is in it."""
    root.mkdir()
    ignore = shutil.ignore_patterns(*_LEFT_OUT)
    shutil.copytree(sysconfig.get_path("stdlib"), root / "projects", symlinks=True, ignore=ignore)
    shutil.copytree(Path(sysconfig.get_path("purelib")) / "prefect", root / "prefect", symlinks=True, ignore=ignore)
    odd = root / "odd"
    odd.mkdir(mode=0o750)
    for name in (
        b"caf\xe9 latin-1",
        b"line\nbreak",
        b"  spaces  ",
        b"-rf *",
        "日本語 🌊".encode(),
        b"\x01\xff",
        b"n" * 255,
    ):
        Path(os.fsdecode(os.path.join(os.fsencode(odd), name))).write_bytes(name * 3)  # noqa: PTH118 - names are bytes
    (odd / "empty directory").mkdir()
    (odd / "empty file").touch()
    (odd / "symlink").symlink_to("../projects/os.py")
    (odd / "dangling").symlink_to("/nowhere/at/all")
    os.mkfifo(odd / "fifo", 0o600)
    linked = odd / "hard link a"
    linked.write_text("one file, three names\n")
    (odd / "hard link b").hardlink_to(linked)
    (root / "projects" / "hard link c").hardlink_to(linked)
    private = odd / "private"
    private.write_text("setuid and sticky say nothing here\n")
    private.chmod(0o4711)
    with (odd / "disk.img").open("wb") as file:  # a hole, data, a hole
        file.seek(SPARSE_BYTES // 2)
        file.write(os.urandom(64 * 1024))
        file.truncate(SPARSE_BYTES)
    with suppress(OSError):  # not every file system has them
        os.setxattr(odd / "empty file", "user.farshore", b"bytes \x00\xff in an attribute")
    os.utime(odd / "empty file", ns=(1_000_000_000_123_456_789, 987_654_321_123_456_789))
    junk = root / ".cache" / "thumbnails"
    junk.mkdir(parents=True)
    (junk / "excluded").write_bytes(os.urandom(1024 * 1024))
    files = sum(len(names) for _, _, names in os.walk(root))
    return f"{files:,} files, with hard links, holes, attributes and names of any bytes"


def change_home(root: Path) -> str:
    """Edit, add, rename, remove; return what was done."""
    projects = root / "projects"
    files = sorted(path for path in projects.glob("*.py"))
    for path in files[:10]:
        with path.open("ab") as file:
            file.write(b"# edited\n")
    (root / "notes.txt").write_text("written between two backups\n")
    files[10].rename(projects / "renamed.py")
    files[11].unlink()
    (root / "odd" / "private").chmod(0o600)
    with (root / "odd" / "disk.img").open("r+b") as file:
        file.seek(SPARSE_BYTES - 8192)
        file.write(os.urandom(8192))
    return "10 files edited, 1 added, 1 renamed, 1 removed, 1 mode changed, 8 KiB written into a 256 MiB disk image"
