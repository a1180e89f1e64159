"""Manifest and page map of a new snapshot, as runs: those of the snapshot before, and one more for what changed.

Only the writer merges, from files of its own, under the data key of the night; without them it writes one run of
everything. docs/reference/format.md, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from farshore import limits
from farshore.catalog.merge_policy import runs_to_merge
from farshore.catalog.verified_objects import fetch_of_file, open_sealed
from farshore.format.bounded_parquet import File
from farshore.format.commit import RunRef
from farshore.format.manifest import ManifestReader, ManifestWriter
from farshore.format.page_maps import PageMap, PagesWriter
from farshore.model import dataclass
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
    """One run, the id of the data key that opens it, and its file where this host has one."""

    ref: RunRef
    key_id: str
    local: LocalFile | None = None


@dataclass(frozen=True, slots=True)
class NextRuns:
    """The runs of a new manifest or page map: how many of the earlier ones stay, and what the new one is.

    `merged`: earlier runs that are merged with the changes. Without `kept` the new run has everything; with it and
    where nothing changed there is none.
    """

    kept: int
    merged: int
    new: bool


def plan_runs(earlier: Sequence[RunRef], *, changes_bytes: int, full_bytes: int) -> NextRuns:
    """Return what to write. Pure.

    Args:
        earlier: The runs of the snapshot before, oldest first; none for one run of everything.
        changes_bytes: Of a run of the changes; 0 where there are none.
        full_bytes: Of a run of everything.
    """
    if not earlier:
        return NextRuns(0, 0, new=True)
    merged = runs_to_merge([ref.bytes for ref in earlier], changes_bytes, full_bytes)
    return NextRuns(len(earlier) - merged, merged, new=changes_bytes > 0)


def merge_manifests(repository: Repository, runs: Sequence[LocalFile], sink: File) -> None:
    """Write several runs of a manifest as one, marks among them. Memory: a block of each.

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


def merge_page_maps(runs: Sequence[File], sink: File, *, all_runs: bool) -> int:
    """Write several runs of a page map as one; return the pages of which it has a hash. Memory: a block of each.

    Args:
        runs: Their payloads, oldest first.
        all_runs: They are all that there are, so pages that are gone are left out.

    Raises:
        ObjectCorrupt: A run cannot be read; the sink is of no use then.
    """
    writer = PagesWriter(sink)
    for row in PageMap(*runs).merged(all_runs=all_runs):
        writer.add(row)
    writer.close()
    return writer.pages


def page_map_bytes(pages: int) -> int:
    """Return about the bytes of one run with hashes of `pages` pages."""
    return limits.PAGE_MAP_BYTES_MIN + pages * limits.PAGE_HASH_BYTES
