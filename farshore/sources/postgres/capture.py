"""One base backup, read as it streams: items in order, each file checked against the server's manifest at the end.

Nothing is written to disk but the manifest, once it is larger than memory should hold. The last thing the server says
is whether its own verification of data checksums succeeded, so nothing before the end of the stream makes a backup.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO

import google_crc32c

from farshore.clock import Clock
from farshore.errors import Bug, FarshoreError, SourceChanged, SourceCorrupt, SourceUnavailable
from farshore.host_resources import check_host
from farshore.limits import READ_BYTES, SMALL_OBJECT_BYTES_MAX
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.sources.base import Item
from farshore.sources.posix_status import fit_time_ns
from farshore.sources.postgres.catalog import Catalog, DatabasesSeen
from farshore.sources.postgres.configuration import Configuration, Kept, plan_kept
from farshore.sources.postgres.connection import ReplicationSession, Row
from farshore.sources.postgres.facts import Cluster
from farshore.sources.postgres.items import ContentItem, EntryItem
from farshore.sources.postgres.layout import (
    AUTO_CONF,
    IN_PLACE_SETTING,
    MANIFEST,
    SIGNALS,
    STRAY_MESSAGE,
    Parents,
    archive_prefix,
    clean_path,
    is_stray,
    page_bytes_of,
    tablespace_of_link,
)
from farshore.sources.postgres.manifest import ManifestCheck
from farshore.sources.postgres.notes import plan_notes
from farshore.sources.postgres.stream import BackupStream
from farshore.sources.postgres.tar import TarMember
from farshore.sources.postgres.wal import WalCheck, WalGeometry, decode_lsn

_NS = 1_000_000_000
_FILE_MODE = 0o600
_TABLESPACE_HINT = "Run the backup again, and create no tablespace meanwhile: WAL would tie the copy to its place."


class PostgresCapture:
    """The stream of one base backup.

    Args:
        started: The result sets before the stream: the start position, and the tablespaces.
        configuration: Files that the server reads from outside the data directory, too.
        before: The catalog before the backup began.
        catalog_now: Reads the catalog again.
        check_sizes: Checks relation files that ended within a page again, given their paths and sizes.
    """

    ordered = False
    sequential = True

    def __init__(
        self,
        *,
        session: ReplicationSession,
        cluster: Cluster,
        started: list[list[Row]],
        facts: dict[str, str],
        configuration: Configuration,
        before: Catalog,
        catalog_now: Callable[[], Catalog],
        check_sizes: Callable[[Sequence[tuple[bytes, int]]], None],
        clock: Clock,
    ) -> None:
        self._session = session
        self._cluster = cluster
        self._facts = facts
        self._configuration = configuration
        self._wanted = configuration.wanted
        self._arrived: set[bytes] = set()  # of the wanted paths
        self._kept = Kept()
        self._before = before
        self._catalog_now = catalog_now
        self._databases = DatabasesSeen()
        self._check_sizes = check_sizes
        self._odd: list[tuple[bytes, int]] = []  # relation files that ended within a page
        self._strays: list[Problem] = []
        self._clock = clock
        self._start_lsn = str(started[0][0][0])
        self._tablespaces = {str(row[0]) for row in started[1] if row[0] is not None}
        self._in_place = bool(self._tablespaces)
        self._stream = BackupStream(session.messages())
        self._manifest_check = ManifestCheck()
        self._wal_check = WalCheck(
            WalGeometry(
                segment_bytes=cluster.wal_segment_bytes,
                page_bytes=cluster.wal_page_bytes,
                system_identifier=cluster.system_identifier,
            )
        )
        self._parents = Parents()
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SMALL_OBJECT_BYTES_MAX)  # noqa: SIM115 - see close
        self._owner = (0, 0)
        self._failure: FarshoreError | None = None
        self._complete = False

    def marks(self) -> dict[str, str]:
        """Return the mark that identifies the cluster on any host and for any role."""
        return {"system_identifier": str(self._cluster.system_identifier)}

    def close(self) -> None:
        """Forget the manifest. Safe to repeat."""
        self._spool.close()

    def items(self) -> Iterator[Item]:
        """Yield every entry once, as it arrives; the manifest last, after everything was verified.

        Raises:
            SourceUnavailable, SourceCorrupt, SourceChanged: There is no backup; `finish` says the same again.
            Bug: The content of the item before was not read to its end.
        """
        with self.failing():
            yield from self._walk()
            self._complete = True

    def problems(self) -> list[Problem]:
        """Return the server's warnings as problems: special files it left out, and pages it could not check."""
        kept = self._kept
        warned = [one for one in self._session.problems if one.path not in kept.files]
        return [*warned, *tuple(self._strays), *kept.problems]

    def notes(self) -> list[str]:
        """Return the remarks about this cluster that every backup repeats."""
        return plan_notes(self._facts)

    def finish(self) -> dict[str, str]:
        """Return the facts, if the stream was read to its end and passed every check."""
        if self._failure is not None:
            raise self._failure
        if not self._complete:
            raise Bug("a base backup was finished before its stream was read to the end")
        return dict(self._facts)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Remember the first error: a backup that failed once never becomes a snapshot."""
        try:
            yield
        except FarshoreError as error:
            self._failure = self._failure or error
            raise
        except OSError as error:  # of the manifest's spool; the engine would report one unreadable file
            check_host(error, reading=True)
            self._failure = self._failure or SourceUnavailable(f"the server's manifest cannot be kept: {error}")
            raise self._failure from error

    def read_member(self, path: bytes, size: int) -> Iterator[bytes]:
        """Yield the content of the current member and note its checksum."""
        crc = 0
        wal = self._wal_check.reader(path)
        for piece in self._stream.content(size):
            crc = google_crc32c.extend(crc, piece)
            if wal is not None:
                wal.update(piece)
            yield piece
        self._databases.add(path)
        if wal is not None:
            self._wal_check.add(path, size, wal)  # the manifest lists no WAL
        else:
            self._manifest_check.add(path, size, crc)

    def read_manifest(self) -> Iterator[bytes]:
        """Yield the manifest, which has been checked."""
        self._spool.seek(0)
        while data := self._spool.read(READ_BYTES):
            yield data

    def _walk(self) -> Iterator[Item]:
        first = True
        auto_conf = not self._in_place
        for archive in self._stream.archives():
            prefix = archive_prefix(archive)
            for member in self._stream.members():
                self._session.check_left_out()
                if first:  # made by the server itself, which owns the data directory
                    self._owner = (member.uid, member.gid)
                    yield EntryItem(self._directory(b"", self._now_ns()))
                    first = False
                path = prefix + clean_path(member.name)
                auto_conf = auto_conf or path == AUTO_CONF
                if path in SIGNALS:
                    self._skip(path, member.size)
                elif member.kind is EntryKind.SYMLINK and is_stray(path):
                    self._strays.append(Problem(path, ProblemCode.UNSUPPORTED, STRAY_MESSAGE, matters=False))
                else:
                    self._parents.add(path, directory=member.kind is not EntryKind.FILE)
                    yield self._item(path, member)
                    if path in self._wanted:
                        self._arrived.add(path)
        yield from self._keep_configuration()
        for path in self._parents.missing():  # as of a tablespace dropped after its files were sent
            yield EntryItem(self._directory(path, self._now_ns()))
        if not auto_conf and AUTO_CONF not in self._kept.files:
            yield ContentItem(
                self._own_file(AUTO_CONF, len(IN_PLACE_SETTING)), self.failing, lambda: iter([IN_PLACE_SETTING])
            )
        size = self._spool_manifest()
        ended = self._session.finish()
        self._session.check_left_out()
        self._verify(ended)
        yield ContentItem(self._own_file(MANIFEST, size), self.failing, self.read_manifest)

    def _keep_configuration(self) -> Iterator[Item]:
        """Yield copies of the configuration that is not in the data directory."""
        self._kept = plan_kept(self._configuration, self._arrived)
        self._facts |= self._kept.facts
        for path, kept in self._kept.files.items():
            self._parents.add(path, directory=False)
            content = kept + IN_PLACE_SETTING if path == AUTO_CONF and self._in_place else kept
            entry = self._own_file(path, len(content))
            yield ContentItem(entry, self.failing, partial(iter, [content] if content else []))

    def _item(self, path: bytes, member: TarMember) -> Item:
        entry = Entry(
            path=path,
            kind=member.kind,
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            size=member.size,
            mtime_ns=fit_time_ns(member.mtime_s * _NS),
            page_bytes=page_bytes_of(path, self._cluster.block_bytes),
        )
        match member.kind:
            case EntryKind.FILE:
                return self._file_item(entry)
            case EntryKind.SYMLINK:
                return EntryItem(self._tablespace_directory(path, member))
            case _:
                self._tablespaces.add(tablespace_of_link(path))
                uid, gid = self._owner  # the server sends a link as a directory with the link's owner
                return EntryItem(entry._replace(uid=uid, gid=gid))

    def _skip(self, path: bytes, size: int) -> None:
        """Read past a file that does not belong in the copy; the manifest lists it all the same."""
        for _ in self.read_member(path, size):
            pass

    def _file_item(self, entry: Entry) -> Item:
        path, size = entry.path, entry.size
        if entry.page_bytes and size % entry.page_bytes:
            self._odd.append((path, size))
        if not size:  # the engine need not open it
            self._manifest_check.add(path, 0, 0)
        if path != AUTO_CONF or not self._in_place:
            return ContentItem(entry, self.failing, lambda: self.read_member(path, size) if size else iter(()))

        def with_setting() -> Iterator[bytes]:
            if size:
                yield from self.read_member(path, size)
            yield IN_PLACE_SETTING

        return ContentItem(entry._replace(size=size + len(IN_PLACE_SETTING)), self.failing, with_setting)

    def _tablespace_directory(self, path: bytes, member: TarMember) -> Entry:
        """Return the directory that replaces a tablespace's link; its files were in an earlier archive."""
        tablespace = tablespace_of_link(path)
        if not tablespace:
            raise SourceCorrupt(f"the server sent a symbolic link where none can be: {path!r}")
        if tablespace not in self._tablespaces:
            raise SourceChanged("a tablespace was created while the backup ran", _TABLESPACE_HINT)
        return self._directory(path, fit_time_ns(member.mtime_s * _NS))

    def _directory(self, path: bytes, mtime_ns: int) -> Entry:
        """Return a directory of the copy that has no header of its own, with owner and mode of the data directory."""
        uid, gid = self._owner
        return Entry(
            path=path,
            kind=EntryKind.DIRECTORY,
            mode=self._cluster.directory_mode,
            uid=uid,
            gid=gid,
            mtime_ns=mtime_ns,
        )

    def _own_file(self, path: bytes, size: int) -> Entry:
        uid, gid = self._owner
        return Entry(
            path=path, kind=EntryKind.FILE, mode=_FILE_MODE, uid=uid, gid=gid, size=size, mtime_ns=self._now_ns()
        )

    def _now_ns(self) -> int:
        return int(self._clock.now_utc().timestamp()) * _NS

    def _spool_manifest(self) -> int:
        for data in self._stream.manifest():
            self._spool.write(data)
        return self._spool.tell()

    def _verify(self, ended: list[list[Row]]) -> None:
        """Check everything that arrived, and add the facts that are known only at the end.

        The caller has read the server's last answer, so its own verification of checksums has succeeded.
        """
        if not ended or not ended[0]:
            raise SourceUnavailable("the server did not say where the backup ends")
        stop_lsn = str(ended[0][0][0])
        self._spool.seek(0)
        ranges = self._manifest_check.check(self._spool, self._cluster.system_identifier)
        self._wal_check.check(ranges)
        self._check_sizes(self._odd)
        said = (min(wal.start for wal in ranges), max(wal.end for wal in ranges))
        if said != (decode_lsn(self._start_lsn), decode_lsn(stop_lsn)):
            raise SourceCorrupt("the manifest names other WAL than the server did")
        now = self._catalog_now()
        self._databases.check(self._before, now)
        if now.tablespaces is not None and now.tablespaces - self._tablespaces:
            raise SourceChanged("a tablespace was created while the backup ran", _TABLESPACE_HINT)
        self._facts |= {
            "timeline": str(max(wal.timeline for wal in ranges)),
            "start_lsn": self._start_lsn,
            "stop_lsn": stop_lsn,
            "tablespaces": str(len(self._tablespaces - {""})),
        }
