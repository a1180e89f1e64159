"""Look every chunk of every snapshot up, as a restore does: a manifest may name chunks that no pack has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.audit.rows import ProofState
from farshore.catalog.contents import open_snapshot
from farshore.catalog.data_keys import RunKeys
from farshore.catalog.index_loader import load_index, load_nothing, load_other_packs
from farshore.errors import CACHED_READ_ERRORS, Corrupt, FarshoreError
from farshore.format.commit import CommitHead
from farshore.format.comparable import Comparable
from farshore.format.needs import Needs
from farshore.index import ABSENT, ChunkIndex, IdRows
from farshore.model import ChunkId
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository

Ids = npt.NDArray[Any]


def check_chunks(repository: Repository, checks: Sequence[ReplicaCheck], reader: ReplicaReader) -> None:
    """Blame manifests whose files have chunks that are in no pack, and needs that name too little.

    Memory: the index of the whole repository.

    Whether a chunk that is in a pack hashes to its id, the reading of that pack shows. A manifest whose bytes are those
    that were committed, and that is none, is blamed as well; one that is missing or altered has a finding already.
    """
    snapshots = {commit.snapshot: (commit, check) for check in reversed(checks) for commit in check.commits}
    index: ChunkIndex | None = None
    for snapshot, (commit, check) in snapshots.items():
        needs = check.needs.get(snapshot)
        if needs is None:
            continue
        try:
            index = index or load_other_packs(repository, reader, load_nothing(), None)
            lacking, unnamed = _look_up(repository, commit, needs, index, reader)
        except CACHED_READ_ERRORS as error:
            if _keys_are_there(repository, needs, reader):  # else that is a finding of its own
                _blame_unreadable(checks, commit, error)
            continue
        for one in checks if lacking or unnamed else ():
            if snapshot not in one.needs:
                continue
            if lacking:
                detail = f"{lacking:,} chunks of its files are in no pack that can be read"
                one.blame(commit.manifest[-1].name, ProofState.UNDECODABLE, detail, snapshot)
            if unnamed:
                detail = f"{unnamed:,} chunks of its files are in no segment that it names"
                one.blame(commit.needs[-1].name, ProofState.UNDECODABLE, detail, snapshot)


def _keys_are_there(repository: Repository, needs: Needs, reader: ReplicaReader) -> bool:
    """Whether every data key that a snapshot needs can be read."""
    try:
        for key_id in {key.key_id for key in needs.data_keys}:
            RunKeys(repository, reader, key_id).require()
    except CACHED_READ_ERRORS:
        return False
    return True


def _blame_unreadable(checks: Sequence[ReplicaCheck], commit: CommitHead, error: FarshoreError) -> None:
    """Blame a manifest that nobody can read although its bytes are right: its own writer made it so."""
    for one in checks if isinstance(error, Corrupt) else ():
        whole = all(one.digests.get(run.name) == run.blake3 for run in commit.manifest)
        if commit.snapshot in one.needs and whole:
            name = commit.manifest[-1].name
            one.blame(name, ProofState.UNDECODABLE, f"no restore can read it: {error}", commit.snapshot)


def _look_up(
    repository: Repository, commit: CommitHead, needs: Needs, index: ChunkIndex, reader: ReplicaReader
) -> tuple[int, int]:
    """Return how many chunks of a snapshot a restore would not find, and how many only where the needs do not name."""
    named = _named_segments(index, needs)
    unknown: set[bytes] = set()
    unnamed: set[bytes] = set()
    for ids in _chunk_ids(repository, commit, reader):
        rows = index.find(ids)
        unknown.update(bytes(one) for one in ids[rows == ABSENT])
        if named is not None:
            known = ids[rows != ABSENT]
            elsewhere = known[~named[index.segments_of(rows[rows != ABSENT])]]
            unnamed.update(bytes(one) for one in elsewhere)
    if unnamed and named is not None:  # another pack may have the chunk as well
        places = ((one, np.array(index.rows_of(ChunkId(one)))) for one in unnamed)
        unnamed = {one for one, rows in places if not named[index.segments_of(rows)].any()}
    if not unknown:
        return 0, len(unnamed)
    ids = np.frombuffer(b"".join(sorted(unknown)), "V32")  # perhaps of packs without a fragment
    return int((load_index(repository, reader, needs, ids).find(ids) == ABSENT).sum()), len(unnamed)


def _named_segments(index: ChunkIndex, needs: Needs) -> npt.NDArray[np.bool_] | None:
    """Return which segments of an index the needs name; None where a pack is not in it: that has its own finding."""
    packs = index.packs
    ids = np.frombuffer(b"".join(bytes.fromhex(pack.pack_id) for pack in needs.packs), "V32")
    rows = IdRows(packs.pack_ids).find(ids)
    if (rows == ABSENT).any():
        return None
    named = np.zeros(len(packs.segments), bool)
    for pack, row in zip(needs.packs, rows.tolist(), strict=True):
        start, end = int(packs.segment_starts[row]), int(packs.segment_starts[row + 1])
        named[start:end] = [pack.uses(number) for number in range(end - start)]
    return named


def _chunk_ids(repository: Repository, commit: CommitHead, reader: ReplicaReader) -> Iterator[Ids]:
    """Yield the chunks of a snapshot's files, holes left out, a row group at a time."""
    for table in open_snapshot(repository, commit, reader).tables(["path", "extents"]):
        _, ids = Comparable(table).chunk_ids()
        yield ids[ids.view("<u8").reshape(len(ids), 4).any(axis=1)] if len(ids) else ids
