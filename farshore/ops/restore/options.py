"""Options of a restore."""

from __future__ import annotations

from farshore.catalog.selection import SelectionOptions
from farshore.model import dataclass
from farshore.ops.restore.delta.options import DeltaOptions


@dataclass(frozen=True, slots=True)
class RestoreOptions(SelectionOptions):
    """Which entries of a snapshot to restore, at which paths, and how.

    space: Check first that the target has room for all of it.
    devices: Restore devices as well.
    setuid: Restore setuid, setgid and capabilities of files as well.
    delta: How to bring back what differs in a tree that exists; None for a new or empty directory.
    """

    space: bool = True
    devices: bool = True
    setuid: bool = True
    delta: DeltaOptions | None = None
