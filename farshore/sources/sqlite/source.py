"""An SQLite database as a source: a consistent copy by the online backup API, checked, then read.

The copy is made by `sqlite3.Connection.backup` in one step (`pages=-1`) inside one read transaction:
- A page keeps its place in the copy, so that a page map sees only what changed. VACUUM INTO would renumber pages.
- Copying in small steps starts again at each write of another process and may never end; one step cannot starve.
- In WAL mode writers go on meanwhile; with a rollback journal they wait for the length of the copy (about 1 s per GB).

The source is opened for reading only and never written; in WAL mode SQLite makes the `-wal` and `-shm` files beside it
that every reader needs. The copy needs as much space as the database under `tempfile.gettempdir()` (set by `TMPDIR`).

A snapshot holds one file entry, named as the database file. Its inode and ctime are 0: those of the original do not
change with a database in WAL mode, and 0 never equals those of a file, so the copy is always read and the page map
finds the difference.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from farshore.clock import Clock
from farshore.errors import SourceDenied, SourceMissing, SourceUnavailable, SourceUnsupported
from farshore.host_resources import check_host, free_bytes, scratch_directory
from farshore.limits import SQLITE_BUSY_S
from farshore.model import Entry, EntryKind, dataclass
from farshore.sources.base import Capture
from farshore.sources.marks import file_marks
from farshore.sources.posix_status import fit_time_ns
from farshore.sources.sqlite.capture import CopyItem, SqliteCapture
from farshore.sources.sqlite.check import (
    SPACE_HINT,
    DatabaseFacts,
    check_header,
    check_integrity,
    is_shut_out,
    read_facts,
    read_journal_mode,
    translate_error,
)
from farshore.sources.sqlite.place import Rest, choose_name, find_rest, waiting_log

_COPY_NAME = "copy"


class SqliteSource:
    """One SQLite database file.

    Args:
        path: The database file; a symbolic link is followed.
        hosts: That share it; see `SharedSource`.
        in_container: Whether this host's name means nothing.
        busy_s: How long a lock held by another process is waited for.
    """

    kind = "sqlite"

    def __init__(
        self,
        *,
        name: str,
        path: Path | str,
        clock: Clock,
        busy_s: float = SQLITE_BUSY_S,
        hosts: Sequence[str] = (),
        in_container: bool = False,
    ) -> None:
        self.hosts = tuple(hosts)
        self._in_container = in_container
        self._name = name
        self._path = Path(path)
        self._clock = clock
        self._busy_s = busy_s

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def check(self) -> None:
        """Check the file and get a read lock on it; copies nothing.

        Raises:
            SourceMissing: There is no such file.
            SourceDenied: It may not be read.
            SourceUnsupported, SourceCorrupt: It is no SQLite database, or an empty file.
            SourceUnavailable: It is locked for longer than `busy_s`, or was left in the middle of a transaction.
        """
        self._look()
        with self._reading(self._choose_name()):
            pass

    @contextlib.contextmanager
    def capture(self) -> Iterator[Capture]:
        """Copy the database, check the copy, and offer it; the copy is removed on the way out.

        Raises:
            SourceCorrupt: The copy failed SQLite's own integrity check. Nothing was offered.
            SourceUnavailable: As for `check`, or there is too little space for the copy.
        """
        original = self._look()
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(scratch_directory("farshore-sqlite-"))
            except OSError as error:
                check_host(error)
                raise SourceUnavailable(
                    f"no temporary directory for a copy of {self._path}: {error}",
                    "Let TMPDIR name a directory that this user can write, with space for a copy of the database.",
                ) from error
            copy = place / _COPY_NAME
            facts = self._copy(self._choose_name(), copy)
            found = self._check_copy(copy) | {"journal_mode": read_journal_mode(copy)}
            entry = Entry(
                path=os.fsencode(self._path.name),
                kind=EntryKind.FILE,
                mode=stat.S_IMODE(original.st_mode),
                uid=original.st_uid,
                gid=original.st_gid,
                size=copy.stat().st_size,
                mtime_ns=fit_time_ns(original.st_mtime_ns),
                page_bytes=facts.page_bytes,
            )
            marks = file_marks(self._path, original.st_ino, in_container=self._in_container)
            if facts.application_id:  # 0 is what no application has set
                marks["application_id"] = str(facts.application_id)
            item = CopyItem(entry=entry, path=copy)
            yield SqliteCapture(item=item, facts=facts.as_text() | found, recognized_by=marks)

    def _look(self) -> os.stat_result:
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceUnsupported(f"{self._path} is not a regular file")
            check_header(self._path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceMissing(f"there is no database {self._path}") from error
        except PermissionError as error:
            raise SourceDenied(f"the database {self._path} may not be read: {error.strerror}") from error
        except OSError as error:
            check_host(error)
            raise SourceUnavailable(f"the database {self._path} cannot be read: {error.strerror}") from error
        return status

    def _choose_name(self) -> Path:
        """Return the name to open: by another one of the same file SQLite would miss the last commits."""
        try:
            return choose_name(self._path, wal=read_journal_mode(self._path) == "wal", clock=self._clock)
        except OSError as error:
            check_host(error)
            raise SourceUnavailable(
                f"the names of the database {self._path} cannot be seen: {error.strerror}"
            ) from error

    @contextlib.contextmanager
    def _reading(self, name: Path) -> Iterator[sqlite3.Connection]:
        """Open the source inside a read transaction: from here on it is one moment of the database."""
        rest = None
        try:
            try:
                connection = self._begin(name, "mode=ro")
            except sqlite3.Error as error:
                rest = self._find_rest(name, error)
                connection = self._begin(name, "mode=ro&immutable=1")
            with contextlib.closing(connection):
                yield connection
        except sqlite3.Error as error:
            raise translate_error(error, self._path) from error
        if rest is not None:
            rest.check()

    def _begin(self, name: Path, options: str) -> sqlite3.Connection:
        connection = _connect(name, options, self._busy_s)
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _find_rest(self, name: Path, error: sqlite3.Error) -> Rest:
        """Return the database at rest, if SQLite only could not make the files beside it that a reader of WAL needs.

        So it is where the backup's user may not write, and on what is mounted read-only: a snapshot, where nobody can
        write, or the directory of an application that runs elsewhere, where somebody can.

        Raises:
            SourceDenied, SourceUnsupported: It is at work, so they are needed.
            sqlite3.Error: It was something else.
        """
        if not is_shut_out(error):
            raise error
        log = waiting_log(name)
        read_only = bool(os.statvfs(name.parent).f_flag & os.ST_RDONLY)
        if log is not None and read_only:
            raise SourceUnsupported(
                f"the database {self._path} has an unfinished journal on a file system that is mounted read-only",
                "Mount it writable once and open the database with sqlite3, or back up the running database instead.",
            )
        if read_journal_mode(name) != "wal":
            raise error
        rest = find_rest(name, nobody_writes=read_only)
        if rest is not None:
            return rest
        if log is not None and not os.access(log, os.R_OK, effective_ids=True):
            raise SourceDenied(
                f"{log} holds what was committed last, and user {os.geteuid()} may not read it",
                "Let the user of the backup read it as it may read the database.",
            )
        why = f"{log} holds what was committed last" if log else "another process has it open"
        raise SourceDenied(
            f"the database {self._path} is in WAL mode and {why}; to read it, SQLite makes or changes "
            f"{name.name}-shm, which user {os.geteuid()} may not in {name.parent}",
            "Let the user of the backup write there (by a group, or an ACL), or back up as the application's user. A "
            "backup changes no row.",
        )

    def _copy(self, name: Path, copy: Path) -> DatabaseFacts:
        with self._reading(name) as source:
            facts = read_facts(source)
            needed = facts.page_bytes * facts.pages
            free = free_bytes(copy.parent)
            if free < needed:
                raise SourceUnavailable(
                    f"the copy of {self._path} needs {needed} bytes in {copy.parent.parent}, which has {free}",
                    SPACE_HINT,
                )
            with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target:
                target.execute("PRAGMA journal_mode = OFF")  # a half-made copy is thrown away, never repaired
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target, pages=-1, progress=self._patience())
        return facts

    def _patience(self) -> _Patience:
        return _Patience(clock=self._clock, deadline_s=self._clock.monotonic_s() + self._busy_s, path=self._path)

    def _check_copy(self, copy: Path) -> dict[str, str]:
        try:  # not read-only: SQLite leaves CHECK constraints out of a database that it opens so
            with contextlib.closing(_connect(copy, "mode=rw", self._busy_s)) as connection:
                return check_integrity(connection, str(self._path))
        except sqlite3.Error as error:
            raise translate_error(error, self._path) from error


@dataclass(frozen=True, slots=True)
class _Patience:
    """Ends a copy that cannot get its lock: `backup` itself would try for ever."""

    clock: Clock
    deadline_s: float
    path: Path

    def __call__(self, status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and self.clock.monotonic_s() > self.deadline_s:
            raise SourceUnavailable(f"the database {self.path} is locked by another process")


def _connect(path: Path, options: str, busy_s: float) -> sqlite3.Connection:
    """Open a database by URI; bytes that are not text in its schema do not stop it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}", uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
    return connection
