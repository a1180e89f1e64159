"""Garbage of replicas for `farshore status`: forgotten snapshots, plans that are open and what holds them up, trash.

By a few small listings: how many bytes a prune would free, `farshore prune --dry-run` says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from farshore.catalog.tombstones import active_tombstones
from farshore.format.names import CommitName
from farshore.replicas.leases import read_leases
from farshore.replicas.plans import oldest_open_plan
from farshore.replicas.repository import Replica, Repository
from farshore.results import GarbageStatus


def look_for_garbage(repository: Repository, commits: Mapping[str, Collection[CommitName]]) -> dict[str, GarbageStatus]:
    """Return the garbage of each replica; those that cannot be asked are left out.

    Args:
        commits: By replica, the commits that it lists.
    """
    forgotten = {
        commit: min(stone.made_utc for stone in stones.values())
        for commit, stones in active_tombstones(repository).items()
    }
    asked = [one for name, one in repository.replicas.items() if name in commits]
    found, failed = repository.ask_all(
        lambda replica: _look(repository, replica, commits[replica.name], forgotten), asked
    )
    repository.note_unasked(failed)
    return found


def _look(
    repository: Repository, replica: Replica, commits: Collection[CommitName], forgotten: Mapping[str, datetime]
) -> GarbageStatus:
    gone = [forgotten[one.hash] for one in commits if one.hash in forgotten]
    plan, trash = oldest_open_plan(repository, replica), replica.store.trash()
    live = [one for one in read_leases(repository, replica).leases if one.live] if plan is not None else []
    return GarbageStatus(
        forgotten=len(gone),
        forgotten_since_utc=min(gone, default=None),
        plan=plan.number if plan else 0,
        plan_since_utc=plan.made_utc if plan else None,
        plan_objects=plan.count if plan else 0,
        blocked_by=tuple(sorted({one.lease.host for one in live})),
        trash_objects=trash.objects,
        trash_bytes=trash.bytes,
        trash_since_utc=trash.oldest_utc,
    )
