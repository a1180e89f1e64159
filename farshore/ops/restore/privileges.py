"""Devices, and files that lend the powers of their owner, left out of a restore where that is asked for.

A snapshot holds whatever its source held. Restored by root, a device opens a disk, and a setuid file of root is root
for everybody who runs it: nothing that a restore of documents needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from farshore.format.manifest import ManifestRow
from farshore.model import Entry, EntryKind
from farshore.ops.restore.options import RestoreOptions

_DEVICES = (EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE)
_SET_IDS = 0o6000
_CAPABILITY = b"security.capability"  # of a file: the powers of root one by one


class Privileges:
    """Limits rows as the options say, and counts what the last pass left out. One thread."""

    def __init__(self, options: RestoreOptions) -> None:
        self._devices = options.devices
        self._setuid = options.setuid
        self._left_out: set[bytes] = set()  # paths of devices, and of further names of them
        self._changed: set[bytes] = set()  # paths of files that lost something

    @property
    def limited(self) -> bool:
        """Whether anything is left out where the snapshot has it."""
        return not (self._devices and self._setuid)

    @property
    def devices_left_out(self) -> int:
        """The number of devices, each name of one."""
        return len(self._left_out)

    @property
    def setuid_left_out(self) -> int:
        """The number of files that lost setuid, setgid or capabilities."""
        return len(self._changed)

    def is_left_out(self, path: bytes) -> bool:
        """Return whether the last pass left a path out."""
        return path in self._left_out

    def limit(self, rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
        """Yield the rows that are left, without setuid, setgid and capabilities of files where these are not wanted."""
        left_out, changed = self._left_out, self._changed = set[bytes](), set[bytes]()  # passes may overlap
        for row in rows:
            entry = row.entry
            if not self._devices and _is_device(entry, left_out):
                left_out.add(entry.path)
                continue
            if not self._setuid and lends_powers(entry):
                changed.add(entry.path)
                yield replace(row, entry=_without_powers(entry))
                continue
            yield row


def _is_device(entry: Entry, left_out: set[bytes]) -> bool:
    return entry.kind in _DEVICES or (entry.kind is EntryKind.HARDLINK and entry.target in left_out)


def lends_powers(entry: Entry) -> bool:
    """Return whether an entry runs with other rights than those of the user who runs it. Of directories none does."""
    if entry.kind is not EntryKind.FILE:
        return False
    return bool(entry.mode & _SET_IDS) or any(name == _CAPABILITY for name, _ in entry.xattrs)


def _without_powers(entry: Entry) -> Entry:
    xattrs = tuple(one for one in entry.xattrs if one[0] != _CAPABILITY)
    return entry._replace(mode=entry.mode & ~_SET_IDS, xattrs=xattrs)
