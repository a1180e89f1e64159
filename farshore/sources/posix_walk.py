"""A walk over a directory tree in manifest order: depth first, names sorted by their bytes, the root first.

Memory holds the names of one directory per level, the current path, and one record per file with several names that
has not shown all of them yet. Neither depth nor the length of paths is bound by the kernel's limits.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farshore import limits
from farshore.errors import SourceUnavailable
from farshore.handles import DirectoryHandles, Handle, open_unnoticed
from farshore.model import Entry, EntryKind
from farshore.sources.posix_globs import Globs
from farshore.sources.posix_metadata import FILE_FLAGS, KINDS, MetadataReader, Report, reason

CACHE_TAG = b"CACHEDIR.TAG"
_CACHE_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What a walk leaves out.

    `tags`: a directory (but the root) that holds one of these names is kept with only that name in it; likewise,
    with `exclude_caches`, one that holds a CACHEDIR.TAG with the right signature.
    """

    exclude: Globs
    one_file_system: bool = True
    tags: Sequence[bytes] = ()
    exclude_caches: bool = False


class Walk:
    """Yields the entries of a tree, without extended attributes. One thread, once."""

    def __init__(
        self, *, handles: DirectoryHandles, options: WalkOptions, metadata: MetadataReader, report: Report
    ) -> None:
        self._handles = handles
        self._options = options
        self._metadata = metadata
        self._report = report
        self._names = _SharedNames()
        self._device = 0

    def entries(self) -> Iterator[Entry]:
        """Yield every entry once.

        Raises:
            SourceUnavailable: The root itself cannot be listed.
        """
        here, prefix = self._handles.root, b""
        status = os.fstat(here.fd)
        self._device = status.st_dev
        try:
            names = iter(_list_names(here))
        except OSError as error:
            raise SourceUnavailable(f"the root of the source cannot be listed: {reason(error)}") from error
        yield self._metadata.entry(b"", EntryKind.DIRECTORY, status)
        above: list[tuple[Iterator[bytes], int]] = []
        while True:
            for name in names:
                entry = self._look(here, name, prefix + name)
                if entry is None:
                    continue
                yield entry
                if entry.kind is EntryKind.DIRECTORY and (inside := self._descend(here, name, entry)):
                    above.append((names, len(prefix)))
                    here, names = inside
                    prefix = entry.path + b"/"
                    break
            else:
                if not above:
                    return
                names, length = above.pop()
                prefix = prefix[:length]
                try:
                    here = self._handles.get(prefix[:-1])
                except OSError as error:
                    self._report(prefix[:-1], "vanished", f"the rest of the directory is missing: {reason(error)}")
                    names = iter(())

    def _look(self, here: Handle, name: bytes, path: bytes) -> Entry | None:
        """Return the entry of one name; None when it is left out or its loss was reported."""
        exclude = self._options.exclude
        excluded = bool(exclude) and exclude.match(path, directory=False)
        if excluded and exclude.match(path, directory=True):
            return None  # before it is looked at: a temporary file that is gone by now is nobody's problem
        if len(path) > limits.ENTRY_PATH_BYTES_MAX:
            self._report(path[:255], "unsupported", f"the path is longer than {limits.ENTRY_PATH_BYTES_MAX} bytes")
            return None
        target = b""
        try:
            status = os.stat(name, dir_fd=here.fd, follow_symlinks=False)
            kind = KINDS.get(stat.S_IFMT(status.st_mode))
            if kind is EntryKind.SYMLINK:
                target = os.readlink(name, dir_fd=here.fd)
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.EINVAL)  # EINVAL: no symlink any more
            self._report(path, "vanished" if gone else "unreadable", reason(error))
            return None
        if kind is EntryKind.DIRECTORY and exclude:
            excluded = exclude.match(path, directory=True)
        if excluded:
            return None
        if kind is None:
            self._report(path, "unsupported", f"a file of type {stat.S_IFMT(status.st_mode):o} is not known")
            return None
        if status.st_nlink > 1 and kind is not EntryKind.DIRECTORY:
            first = self._names.first(status, path)
            if first is not None:
                kind, target = EntryKind.HARDLINK, first
        return self._metadata.entry(path, kind, status, target=target)

    def _descend(self, here: Handle, name: bytes, entry: Entry) -> tuple[Handle, Iterator[bytes]] | None:
        """Open a directory and list it; None when it stays empty, for a reason that was reported or chosen."""
        if self._options.one_file_system and entry.device != self._device:
            return None
        path = entry.path
        try:
            inside = self._handles.below(here, name, path)
            if self._options.one_file_system and os.fstat(inside.fd).st_dev != self._device:
                return None  # mounted since it was looked at
            names = _list_names(inside)
        except FileNotFoundError:
            self._report(path, "vanished", "the directory vanished; what it held is missing")
        except OSError as error:
            if error.errno in _NOT_A_DIRECTORY:
                self._report(path, "vanished", "the directory was replaced; what it held is missing")
            else:
                self._report(path, "unreadable", f"what the directory holds is missing: {reason(error)}")
        else:
            tag = self._tag(inside, names)
            return inside, iter([tag] if tag else names)
        return None

    def _tag(self, directory: Handle, names: Sequence[bytes]) -> bytes:
        """Return the name that marks a directory as not to be kept, or nothing."""
        for tag in self._options.tags:
            if tag in names:
                return tag
        if self._options.exclude_caches and CACHE_TAG in names and _is_cache(directory):
            return CACHE_TAG
        return b""


class _SharedNames:
    """The first name of each file that has several, until all of them were seen."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[bytes, int, tuple[int, int, int]]] = {}

    def first(self, status: os.stat_result, path: bytes) -> bytes | None:
        """Return the path this is another name of; None (and remember `path`) when it is the first."""
        key = status.st_dev, status.st_ino
        sort = stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns
        known = self._first.get(key)
        # An inode number may pass to a new file while we walk. Then the two differ here, and each is kept by itself.
        if known is None or known[2] != sort:
            self._first[key] = path, status.st_nlink - 1, sort
            return None
        if known[1] == 1:
            del self._first[key]
        else:
            self._first[key] = known[0], known[1] - 1, sort
        return known[0]


def _list_names(directory: Handle) -> list[bytes]:
    names = [os.fsencode(name) for name in os.listdir(directory.fd)]
    names.sort()
    return names


def _is_cache(directory: Handle) -> bool:
    try:
        file = Handle(open_unnoticed(CACHE_TAG, FILE_FLAGS, dir_fd=directory.fd))
        return os.pread(file.fd, len(_CACHE_TAG_SIGNATURE), 0) == _CACHE_TAG_SIGNATURE
    except OSError:
        return False
