"""A directory tree that is there already as a restore target: restored entries replace those that are there.

This module checks only names that are in the way: which entries to restore, and which to delete, is decided by the
caller (see `farshore.ops.restore.delta`). A file keeps its name and content until the new one is complete. Directories
keep their modes meanwhile. Decision 0014 says why.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from farshore.clock import Clock
from farshore.errors import TargetFailed
from farshore.handles import Handle
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.targets.base import Placed, TargetKind
from farshore.targets.directory.patching import READ_FLAGS, Patch, clone, copy_ranges, dig_holes, stamp_of
from farshore.targets.directory.posix_tree import FILE_FLAGS, TargetTree, reason
from farshore.targets.directory.replacing_tree import ReplacingTree
from farshore.targets.directory.root import open_root
from farshore.targets.directory.spool import DirectorySpool
from farshore.targets.directory.target import DirectoryTarget

PatchOf = Callable[[bytes], Patch | None]


class ExistingDirectoryTarget(DirectoryTarget):
    """Implements `Target` for a directory with something in it.

    Args:
        path: Of the directory; made with its parents when missing.
        clock: Gives the run the token of its temporary names.
        patch_of: Returns the patch of a file that keeps part of its content; `write` is called for the rest alone.
        completing: Called once all content is there, before directories get their times.
        processes: As `DirectoryTarget` has it.
    """

    kind = TargetKind.DIRECTORY_DELTA

    def __init__(
        self,
        *,
        path: Path,
        clock: Clock,
        patch_of: PatchOf = lambda _: None,
        completing: Callable[[], None] = lambda: None,
        processes: int | None = None,
    ) -> None:
        self._token = clock.random_bytes(4).hex()
        self._patch_of = patch_of
        self._completing = completing
        super().__init__(path=path, clock=clock, processes=processes)
        self._patched: dict[bytes, Patch] = {}
        self.lost = False  # whether a file was left as it was, because its content is not to be had

    @property
    def root(self) -> Handle:
        """The directory, open from `begin` to `close`."""
        return self._root

    def begin(self) -> None:
        """Open the directory for this run alone.

        Raises:
            TargetFailed: It is no directory, cannot be written, or another restore is at work in it.
        """
        try:
            self._root.fd = open_root(self._path)
        except (FileExistsError, NotADirectoryError) as error:
            raise TargetFailed(f"{self._path} is not a directory") from error
        except OSError as error:
            raise TargetFailed(f"{self._path} cannot be opened: {reason(error)}") from error
        lock_directory(self._root, self._path)
        self._spool = DirectorySpool(place=self.root_path)

    def mend(self, entry: Entry) -> bool:
        """Put back the metadata of an entry whose content is right; return whether it is still there."""
        above, name = self._tree.locate(entry, make=False)
        if above is None:
            return False
        try:
            self._metadata.apply_existing(entry, above, name)
        except OSError as error:
            self._tree.report(entry.path, ProblemCode.METADATA, f"it could not be opened any more: {reason(error)}")
            return False
        return True

    def delete(self, path: bytes, *, directory: bool) -> bool:
        """Remove a name that must not be there, a directory once it is empty; return whether it is gone."""
        kind = EntryKind.DIRECTORY if directory else EntryKind.FILE
        return isinstance(self._tree, ReplacingTree) and self._tree.delete(Entry(path, kind))

    def make(self, entry: Entry) -> None:
        patch = self._patch_of(entry.path) if entry.kind is EntryKind.FILE else None
        if patch is None:
            super().make(entry)
        else:
            self._begin_patch(entry, patch)

    def settle(self, entry: Entry) -> None:
        patch = self._patched.pop(entry.path, None)
        if patch is not None and not self._tree.skipped(entry):
            try:
                file = self._files.get(entry)
                if os.fstat(file.fd).st_size != entry.size:
                    os.ftruncate(file.fd, entry.size)
                dig_holes(file, patch.holes)
                if self._tree.staged_name(entry, b"") == b"":  # in place: nothing else has it durable before its times
                    os.fsync(file.fd)
            except OSError as error:
                raise self._tree.failed(entry, error) from error
        super().settle(entry)

    def discard(self, entry: Entry) -> None:
        self._patched.pop(entry.path, None)
        self.lost = True
        super().discard(entry)

    def newly_placed(self) -> Placed:
        placed = super().newly_placed()
        self.lost = self.lost or bool(placed.lost)
        return placed

    def finish(self) -> None:
        self._writers.drain()
        self._files.clear()
        self._completing()
        super().finish()

    def _make_tree(self) -> TargetTree:
        return ReplacingTree(path=self._path, root=self._root, token=self._token)

    def _begin_patch(self, entry: Entry, patch: Patch) -> None:
        """Open a file to write the rest into: a clone of the one there, itself, or a new one with the kept ranges."""
        above, name = self._tree.locate(entry)
        if above is None:
            return
        try:
            first = Handle(os.open(name, READ_FLAGS, dir_fd=above.fd))
            if stamp_of(os.fstat(first.fd)) != patch.seen:
                raise OSError(errno.EPERM, "it changed after it was compared; run again")
            file = self._tree.make_file(entry, above, name, sized=False)
            if file is None:
                return
            if not clone(first, file):
                if patch.in_place and (opened := self._open_in_place(entry, first, above, name)) is not None:
                    file = opened
                else:
                    os.ftruncate(file.fd, entry.size)
                    copy_ranges(first, file, patch.kept)
                    if stamp_of(os.fstat(first.fd)) != patch.seen:
                        self._tree.remove(entry)
                        raise OSError(errno.EPERM, "it changed while it was copied; run again")
        except OSError as error:
            self._tree.refuse(entry, error)
            return
        self._patched[entry.path] = patch
        self._files.put(entry, file)

    def _open_in_place(self, entry: Entry, first: Handle, above: Handle, name: bytes) -> Handle | None:
        try:
            file = Handle(os.open(name, FILE_FLAGS | os.O_NONBLOCK, dir_fd=above.fd))
        except OSError:
            return None  # closed to us: a copy serves as well
        if not os.path.sameopenfile(first.fd, file.fd) or os.fstat(file.fd).st_nlink != 1:
            return None  # another file by now, or one that somebody else holds by another name
        self._tree.remove(entry)  # the empty one under a temporary name
        return file


def lock_directory(root: Handle, path: Path) -> None:
    """Keep other restores out of a directory as long as it is open here.

    Raises:
        TargetFailed: One is at work.
    """
    try:
        fcntl.flock(root.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TargetFailed(
            f"another restore is at work in {path}", "Wait until it has ended, or end it; then run this one again."
        ) from error
    except OSError:
        return  # a file system without locks
