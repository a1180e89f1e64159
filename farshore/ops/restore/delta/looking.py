"""The entries in the target now, as columns in manifest order: found by processes where the tree is large."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from farshore import limits
from farshore.catalog.compare import cut_paths
from farshore.format.choosing import Subtree
from farshore.format.manifest import ManifestReader
from farshore.handles import DirectoryHandles, Handle
from farshore.model import dataclass
from farshore.sources.directory.attributes import AttributeWalk
from farshore.sources.directory.globs import Globs
from farshore.sources.directory.listing import PosixListing
from farshore.sources.directory.metadata import Report
from farshore.sources.directory.walk import WalkOptions
from farshore.sources.directory.walkers import Walkers
from farshore.sources.directory.walking_protocol import encode_attributed
from farshore.sources.posix_mounts import mounts_below
from farshore.workers import processes_that_pay

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetMounts:
    """The target as it is mounted.

    `mounts` are paths where something is mounted, `entered` those of them that the snapshot has something in, `devices`
    the file systems of these.
    """

    mounts: tuple[bytes, ...] = ()
    entered: frozenset[bytes] = frozenset()
    devices: frozenset[int] = frozenset()


def find_target_mounts(root: Handle, path: Path, manifest: ManifestReader) -> TargetMounts:
    """Return what is mounted in a target, and which of it the snapshot reaches into."""
    mounts = tuple(mounts_below(os.fsencode(os.path.realpath(path))))
    entered, devices = set(), set()
    handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
    for mount in mounts:
        tables = manifest.tables(["path"], Subtree(mount))
        if sum(table.num_rows for table in tables) > 1:
            try:
                directory = handles.get(mount)
                status = os.fstat(directory.fd)
            except OSError:
                continue  # a file that is mounted on its own, or one that is gone
            if stat.S_ISDIR(status.st_mode):
                entered.add(mount)
                devices.add(status.st_dev)
    return TargetMounts(mounts, frozenset(entered), frozenset(devices))


def look(root: Handle, target_mounts: TargetMounts, manifest: ManifestReader, report: Report) -> Iterator[PosixListing]:
    """Yield all that is below an open directory, and itself first; symlinks are not followed.

    File systems that are mounted inside are looked into where the snapshot has something in them.
    """
    options = WalkOptions(Globs(()), entered=target_mounts.entered, devices=target_mounts.devices, attributes=True)
    processes = processes_that_pay(limits.WALKING_PROCESSES_MAX)
    if processes and manifest.entries >= limits.WALKING_PROCESSES_ENTRIES_MIN:
        cuts = tuple(cut_paths(manifest, limits.WALK_SPAN_ENTRIES))
        try:
            walkers = Walkers(root=root, options=options, cuts=cuts, processes=processes)
        except OSError as error:
            _log.warning("no process to walk the target could be started, so one thread does: %s", error)
        else:
            yield from _found_by(walkers, report)
            return
    yield from _found_here(root, options, report)


def _found_by(walkers: Walkers, report: Report) -> Iterator[PosixListing]:
    try:
        for frame, unwanted in walkers.names(report):
            listing = PosixListing(frame)
            yield listing.without(unwanted) if unwanted else listing
    finally:
        walkers.close()


def _found_here(root: Handle, options: WalkOptions, report: Report) -> Iterator[PosixListing]:
    handles = DirectoryHandles(root=root, open_max=limits.OPEN_DIRECTORIES_MAX)
    walk = AttributeWalk(handles=handles, options=options, report=report)
    names = walk.find()
    while found := list(islice(names, limits.WALK_FRAME_ENTRIES)):
        yield PosixListing(b"".join(encode_attributed(found, walk.pop_attributes(), report)))


def is_within(path: bytes, places: Sequence[bytes]) -> bool:
    """Return whether a path is one of some places, or inside one."""
    return any(path == place or path.startswith(place + b"/") for place in places)
