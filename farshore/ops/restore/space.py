"""Whether what a restore will write fits where it is to go: bytes as they are allocated, without holes, and inodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from farshore import limits
from farshore.errors import TargetTooSmall
from farshore.format.extents import EXTENT_BYTES, view_extents
from farshore.format.manifest import ManifestRow
from farshore.model import EntryKind, SnapshotCounts, dataclass

_INLINE_BYTES = 59  # a symlink up to here needs no block on ext4 and XFS


@dataclass(frozen=True, slots=True)
class Room:
    """Free space of a file system. None where it reports none, or has no such bound."""

    bytes_free: int | None
    inodes_free: int | None
    block_bytes: int


@dataclass(frozen=True, slots=True)
class Demand:
    """Space that will be allocated."""

    bytes: int
    inodes: int


def find_room(path: Path) -> Room:
    """Return what is left at a place that may not exist yet. Quotas are not seen."""
    for place in (path, *path.absolute().parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        break
    else:
        return Room(None, None, 1)
    as_root = os.geteuid() == 0  # who may use what is reserved
    blocks, inodes = (found.f_bfree, found.f_ffree) if as_root else (found.f_bavail, found.f_favail)
    return Room(
        bytes_free=blocks * found.f_frsize if found.f_blocks else None,
        inodes_free=inodes if found.f_files else None,
        block_bytes=max(found.f_frsize, 1),
    )


def demand_of(rows: Iterable[ManifestRow], block_bytes: int) -> Demand:
    """Return what rows need: the data of files without holes, in whole blocks. Pure."""
    needed = inodes = 0
    for row in rows:
        entry = row.entry
        if entry.kind is EntryKind.HARDLINK:
            continue
        inodes += 1
        size = 0
        if entry.kind is EntryKind.FILE:
            size = _data_bytes(row.extents)
        elif entry.kind is EntryKind.DIRECTORY:
            size = 1
        elif entry.kind is EntryKind.SYMLINK and len(entry.target) > _INLINE_BYTES:
            size = len(entry.target)
        needed += -(-size // block_bytes) * block_bytes
    return Demand(needed, inodes)


def require_space(path: Path, counts: SnapshotCounts, rows: Callable[[], Iterable[ManifestRow]]) -> None:
    """See that a restore will fit. Reads `rows` only where the whole snapshot, with its holes, would not.

    Raises:
        TargetTooSmall: It does not; the message says how much is missing.
    """
    room = find_room(path)
    most = Demand(counts.bytes_total + 2 * counts.entries * room.block_bytes, counts.entries)
    if _fits(most, room):
        return
    demand = demand_of(rows(), room.block_bytes)
    if _fits(demand, room):
        return
    lacking = []
    if room.bytes_free is not None and demand.bytes > room.bytes_free:
        lacking.append(
            f"{_mib(demand.bytes)} will be written and {_mib(room.bytes_free)} are free, "
            f"so {_mib(demand.bytes - room.bytes_free)} are missing"
        )
    if room.inodes_free is not None and demand.inodes > room.inodes_free:
        lacking.append(
            f"{demand.inodes:,} entries will be made and {room.inodes_free:,} inodes are free, "
            f"so {demand.inodes - room.inodes_free:,} are missing"
        )
    raise TargetTooSmall(f"the disk of {path} is too small: {'; '.join(lacking)}")


def _fits(demand: Demand, room: Room) -> bool:
    enough_bytes = room.bytes_free is None or demand.bytes <= room.bytes_free
    return enough_bytes and (room.inodes_free is None or demand.inodes <= room.inodes_free)


def _data_bytes(extents: bytes) -> int:
    """Return the bytes of a file that are data; a hole is an extent of the chunk of zeros."""
    if not extents:
        return 0
    view = view_extents(extents[: len(extents) - len(extents) % EXTENT_BYTES])
    chunks = np.ascontiguousarray(view["chunk"]).view("<u8").reshape(len(view), -1)
    return int(view["length"][chunks.any(axis=1)].astype(np.uint64).sum())


def _mib(count: int) -> str:
    return f"{count / limits.MIB:,.1f} MiB"
