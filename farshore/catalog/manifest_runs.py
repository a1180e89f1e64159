"""The manifest of a new snapshot, as runs: those of the snapshot before, and one more for what changed.

Only the writer merges, from files of its own, under the data key of the night; without them it writes one run of all
entries. docs/reference/format.md, section 5.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from farshore.catalog.merge_policy import runs_to_merge
from farshore.catalog.verified_objects import fetch_of_file, open_sealed
from farshore.format.commit import RunRef
from farshore.format.manifest import ManifestReader, ManifestWriter
from farshore.replicas.repository import Repository
from farshore.sealed.sealed_object import ObjectKey, SealedKind, SealedReader


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A sealed object in a file of this host, and its own key."""

    ref: RunRef
    key: ObjectKey
    file: Path

    def open(self, repository: Repository, kind: SealedKind) -> SealedReader:
        """Return its payload as a file.

        Raises:
            ObjectCorrupt: It is damaged.
            OSError: It cannot be read.
        """
        return open_sealed(repository, fetch_of_file(self.file), self.ref, self.key, kind)


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run of a manifest, the id of the data key that opens it, and its file where this host has one."""

    ref: RunRef
    key_id: str
    local: LocalFile | None = None


@dataclass(frozen=True, slots=True)
class NextManifest:
    """The runs of a new manifest: how many of the earlier ones stay, and what the new one is.

    `merged`: earlier runs that are merged with the changes. Without `kept` the new run has all entries; with it and
    where nothing changed there is none.
    """

    kept: int
    merged: int
    new: bool


def plan_manifest(earlier: Sequence[RunRef], *, changes_bytes: int, full_bytes: int) -> NextManifest:
    """Return what to write. Pure.

    Args:
        earlier: The runs of the snapshot before, oldest first; none for one run of all entries.
        changes_bytes: Of a run of the changes; 0 where there are none.
        full_bytes: Of a run of all entries.
    """
    if not earlier:
        return NextManifest(0, 0, new=True)
    merged = runs_to_merge([ref.bytes for ref in earlier], changes_bytes, full_bytes)
    return NextManifest(len(earlier) - merged, merged, new=changes_bytes > 0)


def merge_runs(repository: Repository, runs: Sequence[LocalFile], sink: IO[bytes] | io.RawIOBase) -> None:
    """Write several runs as one, marks among them. Memory: a block of each.

    Args:
        runs: Oldest first.

    Raises:
        ObjectCorrupt, OSError: A file cannot be read; the sink is of no use then.
    """
    reader = ManifestReader(*(run.open(repository, SealedKind.MANIFEST) for run in runs))
    writer = ManifestWriter(sink)
    for table in reader.all_tables():
        writer.add_slice(table)
    writer.close()
