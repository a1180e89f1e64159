"""Whether a name of the target is as the snapshot has it, but for content. Compared is what this user can restore."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from farshore import limits
from farshore.handles import DirectoryHandles, Handle
from farshore.model import Entry, EntryKind
from farshore.ops.restore.delta.rows import COARSE_NS, SET_IDS, Ability
from farshore.sources.directory.attributes import hash_xattrs
from farshore.sources.directory.listing import PosixListing
from farshore.sources.directory.metadata import MetadataReader, Xattrs
from farshore.sources.posix_status import KnownStatus
from farshore.targets.directory.posix_metadata import is_restorable_xattr

# Their times have two seconds or one. Of others a time that differs by less is another time.
_COARSE = frozenset({"vfat", "msdos", "exfat", "hfs", "hfsplus", "ext2", "ext3", "fuse.sshfs", "minix"})
_NEEDS_RIGHTS = (b"trusted.", b"security.")


class Judge:
    """Compares metadata. One thread.

    Args:
        root: Of the target.
        ability: Of this user and file system to put metadata back.
    """

    def __init__(self, *, root: Handle, ability: Ability) -> None:
        self._handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
        self._reader = MetadataReader(report=lambda _path, _code, _message: None)
        self._ability = ability

    def has_metadata(self, entry: Entry, listing: PosixListing, at: int) -> bool:
        """Return whether owner, mode, time and attributes are right."""
        status = listing.status(at)
        return (
            self._is_owned(entry, status)
            and (entry.kind is EntryKind.SYMLINK or self._mode_of(entry) == stat.S_IMODE(status.st_mode))
            and self.is_of_time(entry, status)
            and self._has_xattrs(entry, listing, at)
        )

    def is_of_time(self, entry: Entry, status: KnownStatus) -> bool:
        """Return whether the time is right."""
        return abs(entry.mtime_ns - status.st_mtime_ns) < (COARSE_NS if self._ability.coarse else 1)

    def is_same_node(self, entry: Entry, listing: PosixListing, at: int) -> bool:
        """Return whether a symlink leads to the same place, or a device is the same."""
        if entry.kind is EntryKind.SYMLINK:
            return listing.target(at) == entry.target
        if entry.kind in (EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE):
            return listing.status(at).st_rdev == entry.rdev
        return True

    def _is_owned(self, entry: Entry, status: KnownStatus) -> bool:
        if self._ability.owner:
            return (entry.uid, entry.gid) == (status.st_uid, status.st_gid)
        return entry.gid == status.st_gid or entry.gid not in self._ability.groups

    def _mode_of(self, entry: Entry) -> int:
        lent = not self._ability.owner and entry.kind is EntryKind.FILE and entry.uid != self._ability.user
        return entry.mode & ~SET_IDS if lent else entry.mode

    def _has_xattrs(self, entry: Entry, listing: PosixListing, at: int) -> bool:
        found_hash = listing.attributes(at)
        if found_hash == (hash_xattrs(entry.xattrs) if entry.xattrs else b""):
            return True
        found = self._read_xattrs(entry.path, listing.status(at).st_dev) if found_hash else ()
        wanted = [one for one in entry.xattrs if self._ability.owner or not one[0].startswith(_NEEDS_RIGHTS)]
        names = {name for name, _ in wanted}
        others = [name for name, _ in found if name not in names and is_restorable_xattr(name)]
        if not self._ability.owner:
            others = [name for name in others if not name.startswith(_NEEDS_RIGHTS)]
        return not others and set(wanted) <= set(found)

    def _read_xattrs(self, path: bytes, device: int) -> Xattrs:
        above, _, name = path.rpartition(b"/")
        try:
            directory = self._handles.get(above)
        except OSError:
            return ()
        place = b"/proc/self/fd/%d/%s" % (directory.fd, name) if path else directory.fd
        return self._reader.xattrs(place, path, device)


def ability_at(path: bytes, file_system_type: Callable[[bytes], str]) -> Ability:
    """Return what this process can put back at an absolute path."""
    return Ability(
        owner=os.geteuid() == 0,
        user=os.geteuid(),
        groups=frozenset({os.getegid(), *os.getgroups()}),
        coarse=file_system_type(path) in _COARSE,
    )
