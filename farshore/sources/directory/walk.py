"""A walk over a directory tree in manifest order: depth first, names sorted by their bytes, the root first.

Memory holds the names of one directory per level and the current path. Neither depth nor the length of paths is bound
by the kernel's limits.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from farshore import limits
from farshore.errors import SourceUnavailable
from farshore.handles import DirectoryHandles, Handle, open_unnoticed
from farshore.host_resources import check_host
from farshore.model import EntryKind, ProblemCode, dataclass
from farshore.sources.directory.globs import Globs
from farshore.sources.directory.metadata import FILE_FLAGS, KINDS, Report, reason
from farshore.sources.posix_mounts import mount_id, mounted_below
from farshore.sources.posix_status import Status

CACHE_TAG = b"CACHEDIR.TAG"
_CACHE_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_TYPE_BITS = stat.S_IFMT(0xFFFF)
_NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)


# Path, kind, status, and the target of a symlink. A plain tuple, because there are millions of them.
Found = tuple[bytes, EntryKind, Status, bytes]


class Span(NamedTuple):
    """The paths from `start` on and before `end`, in manifest order; without an end, all that follow."""

    start: bytes = b""
    end: bytes | None = None


WHOLE = Span()


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """The names that a walk leaves out.

    `tags`: a directory (but the root) that holds one of these names is kept with only that name in it; likewise,
    with `exclude_caches`, one that holds a CACHEDIR.TAG with the right signature. `entered`: mounts that are entered
    all the same, and `devices` their file systems. `attributes`: whether the walk is to look at extended attributes.
    """

    exclude: Globs
    one_file_system: bool = True
    tags: Sequence[bytes] = ()
    exclude_caches: bool = False
    entered: frozenset[bytes] = frozenset()
    devices: frozenset[int] = frozenset()
    attributes: bool = False


class Walk:
    """Finds the names of a tree, or of one span of it. One thread; one span after the other, with rising paths.

    Consecutive spans together find what one walk of the whole tree finds, and each costs little more than its own
    names. The directories that a span begins below belong to the span that has their names, which yields and reports
    them. `entered` lists those that could be entered, `lost` is the first that could not, and `straddling` lists
    directories that the next span continues in.
    """

    def __init__(self, *, handles: DirectoryHandles, options: WalkOptions, report: Report) -> None:
        self._handles = handles
        self._options = options
        self._exclude = options.exclude or None
        self._report = report
        self._device = 0
        self._mounted = mounted_below(handles.root.fd) if options.one_file_system else frozenset()
        self._listed: dict[bytes, list[bytes]] = {}  # of straddling directories: a large one is not listed each time
        self.entered: list[bytes] = []  # directories that the span begins below, from the top
        self.lost: tuple[bytes, ProblemCode, str] | None = None  # the first of them that could not be entered, and why
        self.straddling: list[bytes] = []  # entered directories that the span ends below

    def find(self, span: Span = WHOLE) -> Iterator[Found]:
        """Yield every name of the span once.

        Raises:
            SourceUnavailable: The root itself cannot be listed.
        """
        here, prefix = self._handles.root, b""
        status = os.fstat(here.fd)
        self._device = status.st_dev
        self.entered, self.lost, self.straddling = [], None, []
        self._listed = {path: names for path, names in self._listed.items() if is_below(span.start, path)}
        try:
            listed = self._listing(here, b"", span)
        except OSError as error:
            raise SourceUnavailable(f"the root of the source cannot be listed: {reason(error)}") from error
        above: list[tuple[Iterator[bytes], int]] = []
        if span.start:
            here, prefix, names = self._begin_below(span, here, listed, above)
        else:
            yield b"", EntryKind.DIRECTORY, status, b""
            names = iter(listed)
        while True:
            for name in names:
                found = self._look(here, name, prefix + name)
                if found is None:
                    continue
                yield found
                if found[1] is EntryKind.DIRECTORY and (inside := self._descend(here, name, found, span)):
                    above.append((names, len(prefix)))
                    here, names = inside[0], iter(inside[1])
                    prefix = found[0] + b"/"
                    break
            else:
                if not above:
                    return
                names, length = above.pop()
                prefix = prefix[:length]
                try:
                    here = self._handles.get(prefix[:-1])
                except OSError as error:
                    code = (
                        ProblemCode.VANISHED
                        if error.errno in (errno.ENOENT, *_NOT_A_DIRECTORY)
                        else ProblemCode.UNREADABLE
                    )
                    self._report(prefix[:-1], code, f"the rest of the directory is missing: {reason(error)}")
                    names = iter(())
                    if prefix[:-1] in self.straddling:
                        self.straddling.remove(prefix[:-1])  # it is reported now, so the next span does not

    def _begin_below(
        self, span: Span, here: Handle, listed: list[bytes], above: list[tuple[Iterator[bytes], int]]
    ) -> tuple[Handle, bytes, Iterator[bytes]]:
        """Enter the directories above the start of a span; return the innermost, its prefix and its names from there.

        Their other names after the start go to `above`.
        """
        prefix = b""
        *directories, last = span.start.split(b"/")
        for name in directories:
            at = bisect_left(listed, name)
            path = prefix + name
            problems: list[tuple[bytes, ProblemCode, str]] = [
                (path, ProblemCode.VANISHED, "the rest of the directory is missing")
            ]
            inside = None
            if at < len(listed) and listed[at] == name:
                at += 1
                inside = self._enter_quietly(here, name, path, span, problems)
            if inside is None:
                self.lost = path, problems[-1][1], problems[-1][2]
                return here, prefix, iter(listed[at:])
            self.entered.append(path)
            above.append((iter(listed[at:]), len(prefix)))
            here, listed = inside
            prefix = path + b"/"
        return here, prefix, iter(listed[bisect_left(listed, last) :])

    def _enter_quietly(
        self, here: Handle, name: bytes, path: bytes, span: Span, problems: list[tuple[bytes, ProblemCode, str]]
    ) -> tuple[Handle, list[bytes]] | None:
        """Enter a directory; append to `problems` instead of reporting."""
        report, self._report = self._report, lambda *problem: problems.append(problem)
        try:
            found = self._look(here, name, path)
            if found is None or found[1] is not EntryKind.DIRECTORY:
                return None
            return self._descend(here, name, found, span)
        finally:
            self._report = report

    def _look(self, here: Handle, name: bytes, path: bytes) -> Found | None:
        """Return one name with its status; None when it is left out or its loss was reported."""
        exclude = self._exclude
        excluded = False
        if exclude is not None:
            excluded = exclude.match(path, directory=False)
            if excluded and exclude.match(path, directory=True):
                return None  # before it is looked at: a temporary file that is gone by now is nobody's problem
        if len(path) > limits.ENTRY_PATH_BYTES_MAX:
            self._report(
                path[:255], ProblemCode.UNSUPPORTED, f"the path is longer than {limits.ENTRY_PATH_BYTES_MAX} bytes"
            )
            return None
        target = b""
        try:
            status = os.stat(name, dir_fd=here.fd, follow_symlinks=False)
            kind = KINDS.get(status.st_mode & _TYPE_BITS)
            if kind is EntryKind.SYMLINK:
                target = os.readlink(name, dir_fd=here.fd)
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.EINVAL)  # EINVAL: no symlink any more
            self._report(path, ProblemCode.VANISHED if gone else ProblemCode.UNREADABLE, reason(error))
            return None
        if exclude is not None and kind is EntryKind.DIRECTORY:
            excluded = exclude.match(path, directory=True)
        if excluded:
            return None
        if kind is None:
            self._report(path, ProblemCode.UNSUPPORTED, f"a file of type {stat.S_IFMT(status.st_mode):o} is not known")
            return None
        return path, kind, status, target

    def _descend(self, here: Handle, name: bytes, found: Found, span: Span) -> tuple[Handle, list[bytes]] | None:
        """Open a directory and list it; None when it stays empty, for a reason that was reported or chosen."""
        path, _, status, _ = found
        if not self._is_entered(status.st_dev):
            return None
        try:
            inside = self._handles.below(here, name, path)
            if self._options.one_file_system and self._is_elsewhere(inside, path):
                return None
            return inside, self._listing(inside, path, span)
        except FileNotFoundError:
            self._report(path, ProblemCode.VANISHED, "the directory vanished; what it held is missing")
        except OSError as error:
            if error.errno in _NOT_A_DIRECTORY:
                self._report(path, ProblemCode.CHANGING, "the directory was replaced; what it holds is missing")
            else:
                self._report(path, ProblemCode.UNREADABLE, f"what the directory holds is missing: {reason(error)}")
        return None

    def _is_elsewhere(self, directory: Handle, path: bytes) -> bool:
        """Whether a directory is mounted: since it was looked at, or from the file system of the root itself."""
        device = os.fstat(directory.fd).st_dev
        if device != self._device:
            return device not in self._options.devices
        if path in self._options.entered:
            return False
        return path in self._mounted and mount_id(directory.fd) != mount_id(self._handles.root.fd)

    def _is_entered(self, device: int) -> bool:
        return device == self._device or not self._options.one_file_system or device in self._options.devices

    def _listing(self, directory: Handle, path: bytes, span: Span) -> list[bytes]:
        """Return the names in a directory that are kept and before the end of the span, sorted."""
        names = self._listed.get(path)
        if names is None:
            names = _list_names(directory)
            tag = self._tag(directory, names) if path else b""
            names = [tag] if tag else names
        end = span.end
        if end is None or not is_below(end, path):
            return names
        self._listed[path] = names
        if path:
            self.straddling.append(path)
        rest = end[len(path) + 1 :] if path else end
        name, inside, _ = rest.partition(b"/")
        return names[: bisect_right(names, name) if inside else bisect_left(names, name)]

    def _tag(self, directory: Handle, names: Sequence[bytes]) -> bytes:
        """Return the name that marks a directory as not to be kept, or nothing."""
        for tag in self._options.tags:
            if tag in names:
                return tag
        if self._options.exclude_caches and CACHE_TAG in names and _is_cache(directory):
            return CACHE_TAG
        return b""


def is_below(path: bytes, directory: bytes) -> bool:
    """Return whether a path is inside a directory, at any depth."""
    return path.startswith(directory + b"/") if directory else bool(path)


def _list_names(directory: Handle) -> list[bytes]:
    joined = os.fsencode("\0".join(os.listdir(directory.fd)))  # at once: one by one costs a fifth of a walk
    return sorted(joined.split(b"\0")) if joined else []


def _is_cache(directory: Handle) -> bool:
    try:
        file = Handle(open_unnoticed(CACHE_TAG, FILE_FLAGS, dir_fd=directory.fd))
        return os.pread(file.fd, len(_CACHE_TAG_SIGNATURE), 0) == _CACHE_TAG_SIGNATURE
    except OSError as error:
        check_host(error, reading=True)
        return False
