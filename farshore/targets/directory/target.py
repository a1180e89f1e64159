"""A directory tree as a restore target: entries are restored as they were, into a new or empty directory.

Every name is made relative to an open parent directory and never through a symlink, so no entry can reach outside.
While the restore runs, every directory is open to its owner alone; modes, times and ACLs of directories are set last.
Owners are restored by number, as a rescue system knows no names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, TargetFailed, TargetNotEmpty
from farshore.handles import Handle
from farshore.model import Entry, EntryKind, Problem
from farshore.targets.base import Placed, SmallFile, TargetKind
from farshore.targets.directory.direct_files import DirectFiles
from farshore.targets.directory.hard_links import HardLinks
from farshore.targets.directory.made_files import MadeFiles
from farshore.targets.directory.occupants import find_occupant
from farshore.targets.directory.posix_files import sync_file_system, write_all
from farshore.targets.directory.posix_metadata import MetadataWriter
from farshore.targets.directory.posix_tree import TargetTree, reason, shown
from farshore.targets.directory.root import Ownership, claim, give_back, open_root, path_of
from farshore.targets.directory.spool import DirectorySpool
from farshore.targets.directory.writers import FileWriters


class DirectoryTarget:
    """Implements `Target` for a directory.

    Args:
        path: Of the directory to restore into; made with its parents when missing.
        clock: As for every target; nothing here depends on time.
        processes: That write many small files; by default as many as pay on this machine, and 0 for none.
        direct_bytes_min: A file from this size on is written past the page cache.
        open_files_max: Files kept open at once, and as many again of those written past the cache.
        problems_max: Problems that are kept.
    """

    in_order = False
    kind = TargetKind.DIRECTORY

    def __init__(
        self,
        *,
        path: Path,
        clock: Clock,
        processes: int | None = None,
        direct_bytes_min: int = limits.DIRECT_FILE_BYTES_MIN,
        open_files_max: int = limits.OPEN_FILES_MAX,
        problems_max: int = limits.PROBLEMS_MAX,
    ) -> None:
        self._path = path
        self._problems_max = problems_max
        self._root = Handle(-1)
        self._before: Ownership | None = None  # put back where no entry has owner and mode of the root
        self._tree = self._make_tree()
        self._metadata = MetadataWriter(report=self._tree.report, exact=bool(self._tree.token))
        self._links = HardLinks(tree=self._tree, metadata=self._metadata)
        self._files = MadeFiles(tree=self._tree, open_max=open_files_max)
        self._writers = FileWriters(
            tree=self._tree, metadata=self._metadata, root=self._root, path=path, processes=processes
        )
        self._direct = DirectFiles(files=self._files, file_bytes_min=direct_bytes_min, open_max=open_files_max)
        self._spool: DirectorySpool | None = None

    def _make_tree(self) -> TargetTree:
        return TargetTree(path=self._path, root=self._root, problems_max=self._problems_max)

    def begin(self) -> None:
        try:
            self._root.fd = fd = open_root(self._path)
            self._require_empty(fd)
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd):
                raise TargetFailed(f"{self._path} cannot be written: permission denied")
            self._before = claim(self._root, self._path)
            try:
                self._require_empty(fd)  # what others made until now
            except TargetNotEmpty:
                give_back(self._root, self._before)
                raise
            self._spool = DirectorySpool(place=self.root_path)
        except (FileExistsError, NotADirectoryError) as error:
            raise TargetFailed(f"{self._path} is not a directory") from error
        except OSError as error:
            raise TargetFailed(f"{self._path} cannot be prepared: {reason(error)}") from error

    @property
    def root_path(self) -> Path:
        """A path to the root, from `begin` to `close`, that leads there whatever others rename."""
        return path_of(self._root, self._path)

    def _require_empty(self, fd: int) -> None:
        if (occupant := find_occupant(fd)) is not None:
            raise TargetNotEmpty(f"{self._path} is not empty: it holds {shown(occupant)}")

    def make(self, entry: Entry) -> None:
        if entry.kind is EntryKind.DIRECTORY:
            self._make_directory(entry)
            return
        above, name = self._tree.locate(entry)
        if above is None:
            return
        if entry.kind is EntryKind.FILE:
            file = self._tree.make_file(entry, above, name)
            if file is not None:
                self._files.put(entry, file)
        elif entry.kind is EntryKind.HARDLINK:
            self._links.make(entry, above, name)
        elif self._tree.make_node(entry, above, name):
            self._metadata.apply_named(entry, above, self._tree.staged_name(entry, name))
            self._tree.commit(entry)
            self._tree.flush()

    def write(self, entry: Entry, offset: int, data: bytes | memoryview) -> None:
        if self._tree.skipped(entry):
            return
        try:
            done = self._direct.write(entry, offset, data)
            write_all(self._files.get(entry), offset + done, memoryview(data)[done:])
        except OSError as error:
            raise self._tree.failed(entry, error) from error

    def settle(self, entry: Entry) -> None:
        if self._tree.skipped(entry):
            return
        try:
            file = self._files.get(entry)
            size = os.fstat(file.fd).st_size
            if size != entry.size:
                raise Bug(f"{shown(entry.path)} was restored with {size} bytes and had {entry.size}")
            self._metadata.apply(entry, file)
            self._files.forget(entry)
            self._direct.close(entry)
            self._tree.commit(entry, file)
            file.close()
        except OSError as error:
            raise self._tree.failed(entry, error) from error

    def place(self, entry: Entry, data: bytes | memoryview) -> None:
        if entry.kind is not EntryKind.FILE or len(data) != entry.size:
            raise Bug(f"{shown(entry.path)} is no file of {len(data)} bytes")
        above, name = self._tree.locate(entry)
        file = None if above is None else self._tree.make_file(entry, above, name, sized=False)
        if file is None:
            return
        try:
            write_all(file, 0, data)
            self._metadata.apply(entry, file)
            self._tree.commit(entry, file)
            file.close()
        except OSError as error:
            raise self._tree.failed(entry, error) from error

    def add(self, file: SmallFile, content: Sequence[memoryview]) -> None:
        self._writers.add(file, content)

    def drain(self) -> None:
        self._writers.drain()

    def newly_placed(self) -> Placed:
        return self._writers.newly_placed()

    def discard(self, entry: Entry) -> None:
        self._files.forget(entry)
        self._direct.close(entry)
        self._tree.remove(entry)

    def finish(self) -> None:
        spool = self._spool
        if spool is None:
            raise Bug("a restore was finished before it began")
        self._writers.drain()
        self._files.clear()
        self._links.finish()
        try:
            self._settle_directories(spool)
            sync_file_system(self._root)
        except OSError as error:
            raise TargetFailed(f"{self._path} cannot be made durable: {reason(error)}") from error
        finally:
            self.close()

    def close(self) -> None:
        self._writers.close()
        self._direct.clear()
        self._files.clear()
        if self._spool is not None:
            self._spool.close()
        self._tree.close()

    def problems(self) -> list[Problem]:
        return self._tree.problems()

    def _make_directory(self, entry: Entry) -> None:
        if self._spool is None:
            raise Bug("an entry was restored before the restore began")
        if not entry.path or self._tree.make_directory(entry):
            try:
                self._spool.append(entry)
            except OSError as error:
                raise self._tree.failed(entry, error) from error

    def _settle_directories(self, spool: DirectorySpool) -> None:
        """Put back the metadata of directories, deepest first: above, they may be closed to us afterwards."""
        root_restored = False
        for entry in spool.reverse():
            root_restored = root_restored or not entry.path
            self._metadata.apply(entry, self._tree.directory(entry.path))
        if not root_restored and self._before is not None:
            give_back(self._root, self._before)
