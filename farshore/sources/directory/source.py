"""A directory tree as a source: every name, its metadata and its content, as bytes and to the nanosecond.

A plain directory cannot be frozen. Each file is proved unchanged while it was read (see `content.py`), but two files
may be of two moments; back up a file system snapshot where that matters.
docs/sources/directory.md says what is kept.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, SourceChanged, SourceDenied, SourceMissing, SourceUnavailable
from farshore.handles import DirectoryHandles, Handle
from farshore.host_resources import check_host
from farshore.model import Entry, EntryKind, Problem, ProblemCode
from farshore.sources.base import Capture, Content, Item, Listing
from farshore.sources.directory.content import FileContent
from farshore.sources.directory.globs import Globs
from farshore.sources.directory.metadata import KINDS, MetadataReader, reason, split_path
from farshore.sources.directory.shared_names import SharedNames
from farshore.sources.directory.walk import Walk, WalkOptions
from farshore.sources.directory.walkers import Walkers
from farshore.sources.marks import place_marks
from farshore.sources.posix_mounts import file_system_type, is_mount_point
from farshore.sources.posix_status import KnownStatus, Status

# Files that are rewritten in place by pages: images of disks and machines, and the table spaces of databases.
PAGED_GLOBS = ("*.ibd", "ibdata[0-9]*", "*.img", "*.raw", "*.qcow2", "*.vmdk", "*.vdi", "*.vhd", "*.vhdx", "*.mdb")
# Files that are looked into; they are paged when they begin like an SQLite database, by the page size it states.
SQLITE_GLOBS = ("*.db", "*.db3", "*.sqlite", "*.sqlite3", "*.s3db")
_WITH_CONTENT = (EntryKind.FILE, EntryKind.HARDLINK)
_HARMLESS = frozenset(
    {ProblemCode.VANISHED, ProblemCode.METADATA}
)  # problems with nothing left out that the tree still had


class DirectorySource:
    """Implements `Source` for a directory.

    Args:
        name: In the configuration.
        path: Of the root; a symlink there is followed, and nowhere else.
        exclude: Patterns of paths to leave out, with the rules of .gitignore.
        one_file_system: Record mount points inside as empty directories.
        paged: More patterns of files to cut by pages, with the same rules; `!` revokes a default.
        exclude_caches: Of a directory with a valid CACHEDIR.TAG keep only the tag.
        exclude_if_present: Of a directory that holds one of these names keep only that name.
        hosts: That share it; see `SharedSource`.
        in_container: Whether this host's name means nothing.
        clock: To see whether a file was stamped within the last tick.
    """

    kind = "directory"

    def __init__(
        self,
        *,
        name: str,
        path: Path,
        exclude: Sequence[str] = (),
        one_file_system: bool = True,
        paged: Sequence[str] = (),
        exclude_caches: bool = False,
        exclude_if_present: Sequence[str] = (),
        hosts: Sequence[str] = (),
        in_container: bool = False,
        clock: Clock,
    ) -> None:
        self.hosts = tuple(hosts)
        self._in_container = in_container
        self._name = name
        self._path = path
        self._clock = clock
        self._paged = Globs((*PAGED_GLOBS, *paged))
        self._sqlite = Globs(SQLITE_GLOBS)
        tags = tuple(os.fsencode(tag) for tag in exclude_if_present)
        self._options = WalkOptions(Globs(exclude), one_file_system, tags, exclude_caches)

    @property
    def name(self) -> str:
        return self._name

    def check(self) -> None:
        self._open_root()

    @contextmanager
    def capture(
        self,
        *,
        problems_max: int = limits.PROBLEMS_MAX,
        unannounced_bytes_max: int = limits.UNANNOUNCED_BYTES_MAX,
    ) -> Iterator[Capture]:
        root = self._open_root()
        capture = DirectoryCapture(
            root=root,
            path=self._path,
            options=self._options,
            paged=self._paged,
            sqlite=self._sqlite,
            clock=self._clock,
            in_container=self._in_container,
            problems_max=problems_max,
            unannounced_bytes_max=unannounced_bytes_max,
        )
        try:
            yield capture
        finally:
            capture.close()

    def _open_root(self) -> Handle:
        try:
            root = Handle(os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            with os.scandir(root.fd) as names:
                next(names, None)  # a dead network mount opens and then fails here
        except FileNotFoundError as error:
            raise SourceMissing(f"source {self._name}: {self._path} does not exist") from error
        except NotADirectoryError as error:
            raise SourceMissing(f"source {self._name}: {self._path} is not a directory") from error
        except PermissionError as error:
            raise SourceDenied(
                f"source {self._name}: {self._path} cannot be read: {reason(error)}",
                "Run as a user who may read the directory, or give this one the permission.",
            ) from error
        except OSError as error:
            raise SourceUnavailable(f"source {self._name}: {self._path} does not answer: {reason(error)}") from error
        return root


class DirectoryCapture:
    """Implements `Capture`: items in manifest order, whose contents any thread may read while the capture is open."""

    ordered = True
    sequential = False

    def __init__(
        self, *, root: Handle, path: Path, options: WalkOptions, paged: Globs, sqlite: Globs, clock: Clock,
        in_container: bool, problems_max: int, unannounced_bytes_max: int,
    ) -> None:  # fmt: skip
        self._problems_max = problems_max
        self._unannounced_bytes_max = unannounced_bytes_max
        self.root = root
        self._path = path
        self._paged = paged
        self._sqlite = sqlite
        self._clock = clock
        self._in_container = in_container
        self._problems: list[Problem] = []
        self._lock = threading.Lock()
        self._handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._metadata = MetadataReader(report=self._report)
        self._options = options
        self._names = SharedNames()
        self._walkers: Walkers | None = None
        self._entries = 0
        self._walked = False
        started_ns = int(clock.now_utc().timestamp() * 1e9)
        self.settled_before_ns = started_ns - int(limits.TIMESTAMP_COARSE_S * 1e9)

    def items(self) -> Iterator[Item]:
        walk = Walk(handles=self._handles, options=self._options, report=self._report)
        for path, kind, status, target in walk.find():
            self._entries += 1
            yield self._item(path, kind, status, target)
        self._walked = True

    def listings(self, cuts: Sequence[bytes], processes: int) -> Iterator[Listing]:
        self._walkers = Walkers(root=self.root, options=self._options, cuts=cuts, processes=processes)
        return self._listings(self._walkers)

    def problems(self) -> list[Problem]:
        with self._lock:
            return list(self._problems)

    def marks(self) -> dict[str, str]:
        inode = os.fstat(self.root.fd).st_ino
        return place_marks(self._path, self.root.fd, inode, in_container=self._in_container)

    def finish(self) -> dict[str, str]:
        if not self._walked:
            raise Bug("a capture was finished before its last item was asked for")
        status = os.fstat(self.root.fd)
        if status.st_nlink == 0:
            raise SourceChanged(f"{self._path} was removed while it was read")
        path = os.fsencode(os.path.realpath(self._path))
        return {
            # A mount point that is one no more, or a tree that has shrunk to nothing, is an unmounted volume.
            "path_kind": "mount-point" if is_mount_point(self.root.fd) else "directory",
            "file_system": file_system_type(path),
            "root_device": str(status.st_dev),
            "root_inode": str(status.st_ino),
            "entries": str(self._entries),
            "one_file_system": "yes" if self._options.one_file_system else "no",
        }

    def close(self) -> None:
        """Close every directory, and end every process. Items cannot be opened any more."""
        if self._walkers is not None:
            self._walkers.close()
        self._handles.close()
        self.root.close()

    def complete(self, entry: Entry, *, again: bool) -> Entry:
        """Return an entry of the walk with extended attributes and page size; never raises, reports unless `again`."""
        above, name = split_path(entry.path)
        try:
            directory = self._handles.get(above)
        except OSError as error:
            check_host(error, reading=True)
            return entry  # gone with its directory; opening a file will report it
        page_globs = False, False
        if entry.size >= limits.PAGED_FILE_BYTES_MIN and entry.kind in _WITH_CONTENT:
            path = entry.path
            page_globs = self._paged.match(path, directory=False), self._sqlite.match(path, directory=False)
        return self._metadata.complete(entry, directory, name, page_globs=page_globs, again=again)

    def content(self, entry: Entry, page_bytes: int, *, again: bool) -> Content:
        """Return the content of an entry of the walk; `again` when its attributes were read before."""
        return FileContent(
            entry=entry,
            page_bytes=page_bytes,
            handles=self._handles,
            metadata=self._metadata,
            clock=self._clock,
            settled_before_ns=self.settled_before_ns,
            again=again,
            unannounced_bytes_max=self._unannounced_bytes_max,
        )

    def _listings(self, walkers: Walkers) -> Iterator[Listing]:
        from farshore.sources.directory.listing import PosixListing  # it loads arrays

        for frame, unwanted in walkers.names(self._report):
            listing = PosixListing(frame, self._known_item)
            if unwanted:
                listing = listing.without(unwanted)
            self._entries += listing.count
            yield listing
        self._walked = True
        walkers.close()

    def _known_item(self, path: bytes, status: KnownStatus, target: bytes) -> DirectoryItem:
        return self._item(path, KINDS[stat.S_IFMT(status.st_mode)], status, target)

    def _item(self, path: bytes, kind: EntryKind, status: Status, target: bytes) -> DirectoryItem:
        if status.st_nlink > 1 and kind is not EntryKind.DIRECTORY:
            kind, target = self._names.resolve(path, kind, status, target)
        return DirectoryItem(self, self._metadata.entry(path, kind, status, target=target, listed=True))

    def _report(self, path: bytes, code: ProblemCode, message: str) -> None:
        with self._lock:
            if len(self._problems) < self._problems_max:
                self._problems.append(Problem(path, code, message, matters=code not in _HARMLESS))
            elif len(self._problems) == self._problems_max:
                self._problems.append(
                    Problem(b"", ProblemCode.UNREADABLE, "there are more problems than can be listed")
                )


class DirectoryItem:
    """Implements `Item`. Holds no open file, so any number may wait to be read."""

    __slots__ = ("_capture", "_entry", "_opened", "_stat_entry")

    def __init__(self, capture: DirectoryCapture, stat_entry: Entry) -> None:
        self._capture = capture
        self._stat_entry = stat_entry
        self._entry: Entry | None = None
        self._opened = False

    @property
    def stat_entry(self) -> Entry:
        return self._stat_entry

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            self._entry = self._capture.complete(self._stat_entry, again=self._opened)
        return self._entry

    def open(self) -> Content:
        entry = self._stat_entry
        if entry.kind not in _WITH_CONTENT:
            raise Bug(f"a {entry.kind} has no content")
        page_bytes = self.entry.page_bytes if entry.size >= limits.PAGED_FILE_BYTES_MIN else 0
        again, self._opened = self._opened or self._entry is not None, True
        return self._capture.content(entry, page_bytes, again=again)
