"""The runs of the snapshot before, where this one can name them again: of its manifest, its page map and its needs.

Runs of needs may name more than this snapshot needs, and what they name counts as needed. So nothing superfluous may be
condemned, or lack at a replica: a backup brings back what it needs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from farshore.catalog.data_keys import find_key_names, lacking_keys
from farshore.catalog.inventory import Inventory
from farshore.catalog.kept_runs import may_be_kept
from farshore.catalog.needs import read_needs_runs
from farshore.catalog.next_needs import NeedsRun, lacking_needs
from farshore.catalog.next_runs import KeptRun
from farshore.errors import CACHED_READ_ERRORS
from farshore.format import names
from farshore.format.commit import Commit, CommitHead
from farshore.format.needs import NeededPack, Needs, join_needs
from farshore.index import ABSENT
from farshore.ops.backup.prepare import RunState
from farshore.replicas.repository import Replica, Repository


def needs_to_add_to(repository: Repository, run: RunState, needed: Needs) -> Sequence[NeedsRun]:
    """Return the runs of needs of the newest snapshot; none where a run of exactly what is needed is due or safer."""
    newest = run.commits.newest
    replicas = [repository.replicas[name] for name in run.fanout.at_work]
    earlier = _read(repository, replicas, newest) if isinstance(newest, Commit) else ()  # of keys that are at hand
    refs = [one.ref for one in earlier]
    files = {ref.name: path for ref in refs if (path := repository.cache.path(ref.name)) is not None}
    if not earlier or not may_be_kept(replicas, refs, run.condemned, files):
        return ()
    superfluous = lacking_needs(join_needs(one.needs for one in earlier), needed)
    condemned = {names.pack(one.pack_id) for one in superfluous.packs} | {one.name for one in superfluous.data_keys}
    if not condemned.isdisjoint(run.condemned):
        return ()
    whole = _all_list(run.inventory, replicas, superfluous.packs) and _all_hold(replicas, superfluous)
    return earlier if whole else ()


def manifest_to_add_to(repository: Repository, run: RunState) -> Sequence[KeptRun]:
    """Return the runs of the manifest of the snapshot before; none where a run of all entries is due or safer."""
    return _keepable(repository, run, run.base.runs if run.base is not None else ())


def pages_to_add_to(repository: Repository, run: RunState) -> Sequence[KeptRun]:
    """Return the runs of the page map of the snapshot before; none where one run of all pages is due or safer."""
    return _keepable(repository, run, run.base.pages_runs if run.base is not None else ())


def _keepable(repository: Repository, run: RunState, runs: Sequence[KeptRun]) -> Sequence[KeptRun]:
    """Return runs if each, and its data key, is at a replica or can be given to all, and no plan condemns them."""
    replicas = [repository.replicas[name] for name in run.fanout.at_work]
    files = {one.ref.name: one.local.file for one in runs if one.local is not None}
    if not runs or not may_be_kept(replicas, [one.ref for one in runs], run.condemned, files):
        return ()
    try:
        keys = [key.name for key in find_key_names(repository, replicas, {one.key_id for one in runs})]
        lacking = set(keys)
        for replica in replicas:
            lacking &= set(lacking_keys(replica, sorted(lacking)))
            if not lacking:
                return runs if run.condemned.isdisjoint(keys) else ()
    except CACHED_READ_ERRORS:
        return ()
    return ()


def _read(repository: Repository, replicas: Sequence[Replica], newest: CommitHead) -> Sequence[NeedsRun]:
    for replica in replicas:
        try:
            return read_needs_runs(repository, replica, newest)
        except CACHED_READ_ERRORS:
            continue
    return ()


def _all_list(inventory: Inventory, replicas: Sequence[Replica], packs: Sequence[NeededPack]) -> bool:
    """Whether every replica listed these packs, with the sizes that they must have."""
    rows = inventory.listed.find([pack.pack_id for pack in packs])
    if (rows == ABSENT).any():
        return False
    sizes = np.array([pack.bytes for pack in packs], np.int64)
    return all(bool((inventory.listed.sizes_at(one.name, rows) == sizes).all()) for one in replicas)


def _all_hold(replicas: Sequence[Replica], superfluous: Needs) -> bool:
    try:
        return not any(lacking_keys(replica, [key.name for key in superfluous.data_keys]) for replica in replicas)
    except CACHED_READ_ERRORS:
        return False
