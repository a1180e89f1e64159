"""Further names of one file: linked at once where the file is there, else at the end; copied where links cannot be."""

from __future__ import annotations

import errno
import os

from farshore.handles import Handle
from farshore.model import Entry, ProblemCode
from farshore.targets.directory.posix_files import copy_runs
from farshore.targets.directory.posix_metadata import MetadataWriter
from farshore.targets.directory.posix_tree import REFUSED, TargetTree, reason, shown

_CANNOT_LINK = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP})
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class HardLinks:
    """Links of one restore. One thread."""

    def __init__(self, *, tree: TargetTree, metadata: MetadataWriter) -> None:
        self._tree = tree
        self._metadata = metadata
        self._waiting: list[Entry] = []

    def make(self, entry: Entry, above: Handle, name: bytes) -> None:
        """Link now, or keep the entry for `finish` when its file is not there yet or cannot be linked."""
        try:
            if not self._link(entry, above, name):
                self._waiting.append(entry)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                self._waiting.append(entry)
            else:
                self._tree.refuse(entry, error)

    def finish(self) -> None:
        """Make the remaining links; where the file system cannot, copy, so that the content is there."""
        for entry in self._waiting:
            above, name = self._tree.locate(entry)
            if above is None:
                continue
            try:
                if not self._link(entry, above, name):
                    missing = shown(entry.target)
                    self._tree.report(entry.path, ProblemCode.VANISHED, f"{missing}, the same file, was not restored")
            except OSError as error:
                if error.errno in _CANNOT_LINK:
                    self._copy(entry, above, name, reason(error))
                else:
                    self._tree.refuse(entry, error)
        self._waiting.clear()

    def _link(self, entry: Entry, above: Handle, name: bytes) -> bool:
        """Return whether the file was there to be linked.

        Raises:
            OSError: It was, and cannot be linked.
        """
        first_above, first_name = self._tree.locate(entry, entry.target, make=False)
        if first_above is None:
            return False
        try:
            self._tree.link(first_above, first_name, above, name)
        except FileNotFoundError:
            return False
        return True

    def _copy(self, entry: Entry, above: Handle, name: bytes, why: str) -> None:
        first_above, first_name = self._tree.locate(entry, entry.target, make=False)
        if first_above is None:
            return
        try:
            first = Handle(os.open(first_name, _READ_FLAGS, dir_fd=first_above.fd))
            file = self._tree.make_file(entry, above, name)
            if file is None:
                return
            copy_runs(first, file, entry.size)
            self._metadata.apply(entry, file)
            self._tree.commit(entry, file)
            file.close()
        except OSError as error:
            self._tree.refuse(entry, error, refused=REFUSED | {errno.ELOOP, errno.ENXIO})  # a symlink, a socket
            return
        self._tree.report(
            entry.path, ProblemCode.METADATA, f"restored as a copy of {shown(entry.target)}, not linked: {why}"
        )
