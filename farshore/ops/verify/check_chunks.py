"""Look every chunk of every snapshot up, as a restore does: a manifest may name chunks that no pack has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.audit.rows import ProofState
from farshore.catalog.contents import open_snapshot
from farshore.catalog.index_loader import load_index, load_nothing, load_other_packs
from farshore.errors import CACHED_READ_ERRORS
from farshore.format.commit import CommitHead
from farshore.format.comparable import Comparable
from farshore.format.needs import Needs
from farshore.index import ABSENT, ChunkIndex
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository

Ids = npt.NDArray[Any]


def check_chunks(repository: Repository, checks: Sequence[ReplicaCheck], reader: ReplicaReader) -> None:
    """Blame manifests whose files have chunks that are in no pack. Memory: the index of the whole repository.

    Whether a chunk that is in a pack hashes to its id, the reading of that pack shows. A manifest that cannot be read
    is a finding of its own.
    """
    snapshots = {commit.snapshot: (commit, check) for check in reversed(checks) for commit in check.commits}
    index: ChunkIndex | None = None
    for snapshot, (commit, check) in snapshots.items():
        needs = check.needs.get(snapshot)
        if needs is None:
            continue
        try:
            index = index or load_other_packs(repository, reader, load_nothing(), None)
            lacking = _lacking(repository, commit, needs, index, reader)
        except CACHED_READ_ERRORS:
            continue
        if lacking:
            detail = f"{lacking:,} chunks of its files are in no pack that can be read"
            for one in checks:
                if snapshot in one.needs:
                    one.blame(commit.manifest.name, ProofState.UNDECODABLE, detail, snapshot)


def _lacking(repository: Repository, commit: CommitHead, needs: Needs, index: ChunkIndex, reader: ReplicaReader) -> int:
    """Return how many chunks of a snapshot a restore would not find."""
    unknown = {bytes(one) for ids in _chunk_ids(repository, commit, reader) for one in ids[index.find(ids) == ABSENT]}
    if not unknown:
        return 0
    ids = np.frombuffer(b"".join(sorted(unknown)), "V32")  # perhaps of packs without a fragment
    return int((load_index(repository, reader, needs, ids).find(ids) == ABSENT).sum())


def _chunk_ids(repository: Repository, commit: CommitHead, reader: ReplicaReader) -> Iterator[Ids]:
    """Yield the chunks of a snapshot's files, holes left out, a row group at a time."""
    for table in open_snapshot(repository, commit, reader).tables(["path", "extents"]):
        _, ids = Comparable(table).chunk_ids()
        yield ids[ids.view("<u8").reshape(len(ids), 4).any(axis=1)] if len(ids) else ids
