"""The impact of a damaged object: the paths of every snapshot that needs it. Needs a reader's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from farshore import limits
from farshore.catalog.contents import open_snapshot
from farshore.catalog.index_loader import load_index
from farshore.errors import CACHED_READ_ERRORS
from farshore.format import names
from farshore.format.commit import Commit, CommitHead
from farshore.format.comparable import Comparable
from farshore.format.needs import Needs
from farshore.model import DamagedObject
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository


def paths_touched(
    repository: Repository, commits: Sequence[CommitHead], needs: Mapping[str, Needs], damaged: Sequence[DamagedObject]
) -> list[DamagedObject]:
    """Return the findings with the paths whose content is in them; the first 1,000 of each, and their number.

    Reads the manifests of the snapshots concerned, from whichever replica has a good copy.
    """
    packs = {names.pack(pack.pack_id): pack.pack_id for one in needs.values() for pack in one.packs}
    wanted = {packs[one.name] for one in damaged if one.name in packs}
    touched: dict[str, dict[bytes, None]] = {pack_id: {} for pack_id in wanted}
    opened = [commit for commit in commits if isinstance(commit, Commit)]
    for commit in opened:
        mine = wanted & {one.pack_id for one in needs[commit.snapshot].packs} if commit.snapshot in needs else set()
        if mine:
            _collect(repository, commit, needs[commit.snapshot], mine, touched)
    by_id = {commit.snapshot: commit for commit in opened}
    results: list[DamagedObject] = []
    for one in damaged:
        if one.name not in packs:  # a manifest, a key, a commit: all of each snapshot that needs it
            whole = [by_id[snapshot] for snapshot in one.snapshots if snapshot in by_id]
            paths = tuple(dict.fromkeys(commit.source.encode() + b":" for commit in whole))
            results.append(replace(one, paths=paths, paths_total=sum(commit.counts.entries for commit in whole)))
            continue
        paths = tuple(touched[packs[one.name]])
        results.append(replace(one, paths=paths[: limits.PROBLEMS_KEPT_MAX], paths_total=len(paths)))
    return results


def _collect(
    repository: Repository, commit: Commit, needs: Needs, packs: set[str], touched: dict[str, dict[bytes, None]]
) -> None:
    reader = open_reader(repository)
    source = commit.source.encode()
    try:
        index = load_index(repository, reader, needs)
        manifest = open_snapshot(repository, commit, reader)
        bad = {number: one.pack_id.hex() for number, one in enumerate(index.packs) if one.pack_id.hex() in packs}
        for table in manifest.tables(["path", "extents"]):
            columns = Comparable(table)
            ends, chunk_ids = columns.chunk_ids()
            numbers = index.packs_of(index.find(chunk_ids))
            lost = np.flatnonzero(np.isin(numbers, list(bad)))
            paths = columns.paths if len(lost) else []
            for at, row in zip(lost.tolist(), (np.searchsorted(ends, lost, side="right") - 1).tolist(), strict=True):
                touched[bad[int(numbers[at])]][source + b":" + paths[row]] = None
    except CACHED_READ_ERRORS:
        return  # the manifest itself is gone everywhere: that is a finding of its own
