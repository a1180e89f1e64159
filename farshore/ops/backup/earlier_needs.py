"""The runs of needs of the snapshot before, where this one can name them again.

They may name more than this snapshot needs, and what they name counts as needed. So nothing superfluous may be
condemned, or lack at a replica: a backup brings back what it needs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from farshore.catalog.data_keys import lacking_keys
from farshore.catalog.inventory import Inventory
from farshore.catalog.kept_runs import may_be_kept
from farshore.catalog.needs import read_needs_runs
from farshore.catalog.next_needs import NeedsRun, lacking_needs
from farshore.errors import CACHED_READ_ERRORS, READ_ERRORS
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.needs import NeededPack, Needs, join_needs
from farshore.index import ABSENT
from farshore.ops.backup.prepare import RunState
from farshore.replicas.repository import Replica, Repository


def needs_to_add_to(repository: Repository, run: RunState, needed: Needs) -> Sequence[NeedsRun]:
    """Return the runs of needs of the newest snapshot; none where a run of exactly what is needed is due or safer."""
    newest = run.commits.newest
    replicas = [repository.replicas[name] for name in run.fanout.at_work]
    earlier = _read(repository, replicas, newest) if newest is not None else ()
    if not earlier or not may_be_kept(replicas, [one.ref for one in earlier], run.condemned):
        return ()
    superfluous = lacking_needs(join_needs(one.needs for one in earlier), needed)
    condemned = {names.pack(one.pack_id) for one in superfluous.packs} | {one.name for one in superfluous.data_keys}
    if not condemned.isdisjoint(run.condemned):
        return ()
    whole = _all_list(run.inventory, replicas, superfluous.packs) and _all_hold(replicas, superfluous)
    return earlier if whole else ()


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
    except READ_ERRORS:
        return False
