"""Read the manifests of all snapshots, each run once, for content that goes and other entries that share it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from farshore.catalog.contents import open_snapshot
from farshore.catalog.verified_objects import open_verified
from farshore.errors import SnapshotProtected
from farshore.format.choosing import Candidates
from farshore.format.commit import Commit, RunRef
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.manifest import ManifestReader, display_path
from farshore.format.removing import FoundRows, RemovedRow, find_removed, kept_rows
from farshore.index import ABSENT, ChunkIndex, IdRows
from farshore.model import HOLE
from farshore.ops.rewrite.removal import PatternRemoval
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.results import Progress
from farshore.run import Run
from farshore.sealed.sealed_object import SealedKind

_SHOWN_MAX = 20


@dataclass
class Found:
    """The findings about a removal in the runs of all manifests.

    `runs`: by hash of a run of a snapshot that is rewritten. `chunks`: of the content that is removed.
    """

    runs: dict[str, FoundRows] = field(default_factory=dict)
    chunks: frozenset[bytes] = frozenset()

    def removed_from(self, commit: Commit) -> dict[bytes, RemovedRow]:
        """Return the entries that one snapshot has and that are removed."""
        last: dict[bytes, RemovedRow | None] = {}
        for ref in commit.manifest:
            last.update(self.runs[ref.blake3].last)
        return {path: row for path, row in last.items() if row is not None}

    def touches(self, commit: Commit) -> bool:
        """Whether a run of its manifest has anything of what is removed, superseded or not."""
        return any(self.runs[ref.blake3].touched for ref in commit.manifest)


@dataclass
class Kept:
    """The chunks that other entries share. `where`: how many of them, by source and path."""

    chunks: set[bytes] = field(default_factory=set)
    where: dict[tuple[str, str], int] = field(default_factory=dict)
    links: set[bytes] = field(default_factory=set)  # paths of hard links whose file is removed


def scan_removed(
    repository: Repository, reader: ReplicaReader, commits: Sequence[Commit], removal: PatternRemoval, run: Run
) -> Found:
    """Return what is removed from these snapshots."""
    found = Found()
    chunks: set[bytes] = set()
    for _, ref in _distinct(commits):
        rows = find_removed(_open(repository, reader, ref), removal)
        found.runs[ref.blake3] = rows
        for ids in rows.chunks:
            chunks.update(ids[at : at + 32] for at in range(0, len(ids), 32))
        rows.chunks.clear()
        run.progress(Progress("search", entries=len(found.runs)))
    found.chunks = frozenset(chunks - {HOLE})
    return found


def scan_kept(
    repository: Repository, reader: ReplicaReader, commits: Sequence[Commit], rewritten: frozenset[str],
    removal: PatternRemoval, wanted: IdRows, ids: Sequence[bytes], erased: frozenset[bytes], run: Run,
) -> Kept:  # fmt: skip
    """Return which chunks other entries have, of all snapshots.

    Args:
        rewritten: Hashes of the commits that entries are removed from.
        wanted: The chunks that are looked for, which are `ids`, among them the `erased`.
    """
    kept = Kept()
    whole = {ref.blake3 for one in commits if one.hash not in rewritten for ref in one.manifest}
    for number, (commit, ref) in enumerate(_distinct(commits), start=1):
        for rows in kept_rows(_open(repository, reader, ref), None if ref.blake3 in whole else removal):
            kept.links.update(rows.links)
            places = wanted.find(rows.chunks)
            for at in np.flatnonzero(places != ABSENT).tolist():
                chunk = ids[int(places[at])]
                if chunk in erased and len(kept.where) < _SHOWN_MAX and chunk not in kept.chunks:
                    where = (commit.source, display_path(rows.paths[rows.row_of[at]]))
                    kept.where[where] = kept.where.get(where, 0) + 1
                kept.chunks.add(chunk)
        run.progress(Progress("compare", entries=number))
    return kept


def refuse_links(
    repository: Repository, reader: ReplicaReader, commits: Iterable[Commit], removal: PatternRemoval,
    links: Iterable[bytes],
) -> None:  # fmt: skip
    """Raise where a snapshot would have a hard link whose file is gone.

    Raises:
        SnapshotProtected: It names the link.
    """
    choice = Candidates((), tuple(sorted(links)))
    if not choice.paths:
        return
    for commit in commits:
        for table in open_snapshot(repository, commit, reader).tables(("path", "kind", "target"), choice):
            for row in table.to_pylist():
                if row["kind"] != "hardlink" or removal.removes(row["path"], directory=False):
                    continue
                if removal.removes(row["target"], directory=False):
                    link, file = display_path(row["path"]), display_path(row["target"])
                    raise SnapshotProtected(
                        f"in snapshot {commit.snapshot[:12]} of {commit.source}, {link} is another name of {file}, so "
                        "its content would stay or the link break",
                        f"Remove both: --remove {link!r}.",
                    )


def rows_of_packs(index: ChunkIndex, chunks: frozenset[bytes]) -> list[int]:
    """Return the numbers of the packs that say to have one of these chunks."""
    if not chunks:
        return []
    wanted = IdRows(np.frombuffer(b"".join(sorted(chunks)), PACK_ID_DTYPE))
    hits = np.flatnonzero(wanted.find(index.packs.chunks["id"]) != ABSENT)
    numbers = np.searchsorted(index.packs.chunk_starts, hits, side="right") - 1
    return sorted(set(numbers.tolist()))


def _distinct(commits: Iterable[Commit]) -> Iterator[tuple[Commit, RunRef]]:
    """Yield each run of the manifests once, with a commit that names it."""
    seen: set[str] = set()
    for commit in commits:
        for ref in commit.manifest:
            if ref.blake3 not in seen:
                seen.add(ref.blake3)
                yield commit, ref


def _open(repository: Repository, reader: ReplicaReader, ref: RunRef) -> ManifestReader:
    return ManifestReader(open_verified(repository, reader, ref, SealedKind.MANIFEST))
