"""Compare what was restored with the original, by means that know nothing of Farshore."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from infra.demo.diary import DemoFailed
from infra.local.postgres import PostgresServer

_READ_BYTES = 1024 * 1024
_DIFFERENCES_SHOWN = 20


def compare_databases(original: PostgresServer, restored: PostgresServer, database: str) -> str:
    """Compare every table of a database row for row; return what was compared.

    Raises:
        DemoFailed: They differ, or there is nothing to compare.
    """
    before, after = _table_digests(original.dsn(database)), _table_digests(restored.dsn(database))
    if not before:
        raise DemoFailed(f"database {database} has no tables")
    if before != after:
        different = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise DemoFailed(f"tables of {database} differ: {', '.join(different)}")
    rows = sum(count for count, _ in before.values())
    return f"{len(before)} tables with {rows:,} rows are the same"


def _table_digests(dsn: str) -> dict[str, tuple[int, str]]:
    """Return the number of rows and a hash over all rows in order, for each table."""
    digests: dict[str, tuple[int, str]] = {}
    with psycopg.connect(dsn) as connection:
        connection.execute("set enable_indexscan = off")  # read the rows themselves
        connection.execute("set enable_indexonlyscan = off")
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'public' order by 1"
        ).fetchall()
        for (table,) in tables:
            digest, rows = hashlib.sha256(), 0
            query = sql.SQL(
                'copy (select line from (select r::text as line from {} as r) as t order by line collate "C") to stdout'
            )
            with connection.cursor().copy(query.format(sql.Identifier(table))) as copy:
                for block in copy:
                    digest.update(block)
                    rows += 1
            digests[table] = (rows, digest.hexdigest())
    return digests


def compare_ledgers(original: Path, restored: Path) -> str:
    """Compare two SQLite databases statement for statement; return what was compared.

    Raises:
        DemoFailed: They differ, or the restored one is not sound.
    """
    with closing(sqlite3.connect(f"file:{restored}?mode=ro", uri=True)) as connection:
        verdict = connection.execute("pragma integrity_check").fetchone()[0]
    if verdict != "ok":
        raise DemoFailed(f"the restored ledger is not sound: {verdict}")
    (rows, before), (_, after) = _dump_digest(original), _dump_digest(restored)
    if before != after:
        raise DemoFailed("the restored ledger differs from the original")
    return f"integrity check ok; {rows:,} statements of its dump are the same"


def _dump_digest(path: Path) -> tuple[int, str]:
    digest, statements = hashlib.sha256(), 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for statement in connection.iterdump():
            digest.update(statement.encode() + b"\n")
            statements += 1
    return statements, digest.hexdigest()


def compare_directories(original: Path, restored: Path, leave_out: str) -> str:
    """Compare two trees: names, kinds, modes, owners, times, links, attributes, content; return what was compared.

    Args:
        original: The tree that was backed up.
        restored: The tree that came back.
        leave_out: The name of a directory at the root that is not part of the backup.

    Raises:
        DemoFailed: They differ; the message names the first differences.
    """
    before, after = _tree(original, leave_out), _tree(restored, leave_out)
    differences = [
        f"{path!r}: {before.get(path)} became {after.get(path)}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    if differences:
        reported = "\n".join(differences[:_DIFFERENCES_SHOWN])
        raise DemoFailed(f"{len(differences)} entries differ\n{reported}")
    said = f"{len(before):,} entries are the same"
    if rsync := shutil.which("rsync"):
        _compare_by_rsync(rsync, original, restored, leave_out)
        return f"{said}, and rsync finds nothing to change"
    return said


def _compare_by_rsync(rsync: str, original: Path, restored: Path, leave_out: str) -> None:
    options = [
        "-aHAXSn",
        "--checksum",
        "--delete",
        "--modify-window=-1",
        "--itemize-changes",
        f"--exclude=/{leave_out}",
    ]
    done = subprocess.run(
        [rsync, *options, f"{original}/", f"{restored}/"], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0 or done.stdout.strip():
        raise DemoFailed(f"rsync finds differences (exit code {done.returncode})\n{done.stdout[:2000]}{done.stderr}")


def _tree(root: Path, leave_out: str) -> dict[bytes, tuple[object, ...]]:
    """Return what there is to know of every entry by its path."""
    entries: dict[bytes, tuple[object, ...]] = {}
    links: dict[tuple[int, int], bytes] = {}
    top = os.fsencode(root)
    for folder, names, files in os.walk(top):
        if folder == top:
            names[:] = [name for name in names if name != leave_out.encode()]
        names.sort()
        for name in [b"", *names, *sorted(files)] if folder == top else [*names, *sorted(files)]:
            full = os.path.join(folder, name) if name else folder  # noqa: PTH118 - names are bytes
            path = os.path.relpath(full, top)
            status = os.lstat(full)
            first = links.setdefault((status.st_dev, status.st_ino), path)
            entries[path] = (
                stat.filemode(status.st_mode),
                (status.st_uid, status.st_gid),
                status.st_mtime_ns,
                _xattrs(full),
                _content(full, status),
                first if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 else b"",
            )
    return entries


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def _content(path: bytes, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.fsdecode(os.readlink(path))  # noqa: PTH115 - names are bytes
    if not stat.S_ISREG(status.st_mode):
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as file:  # noqa: PTH123 - names are bytes
        while block := file.read(_READ_BYTES):
            digest.update(block)
    holes = status.st_blocks * 512 < status.st_size // 2
    return f"{status.st_size} {digest.hexdigest()}{' sparse' if holes else ''}"
