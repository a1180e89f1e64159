"""The newest snapshot of each source that each replica holds, as the replicas themselves list it."""

from __future__ import annotations

from datetime import datetime

from farshore.catalog.commits import list_commits
from farshore.catalog.order import is_misdated
from farshore.model import SnapshotState, data_moment
from farshore.replicas.repository import Repository
from farshore.replicas.unasked import unasked_error


def newest_held(repository: Repository) -> dict[str, dict[str, datetime]]:
    """Return for each replica that could be listed, by source, of when the data of its newest good snapshot is.

    Good is one that is complete and dated as it can have been committed.
    Needs a writer's keys at least. A replica that is not in the answer holds what nobody knows, which is not nothing.

    Raises:
        FarshoreError: No replica could be listed.
    """
    found = list_commits(repository)
    held: dict[str, dict[str, datetime]] = {name: {} for name in repository.replicas if name not in found.failed}
    if not held:
        raise unasked_error({**repository.unreachable, **found.failed})
    now_utc = repository.clock.now_utc()
    for snapshot_id, commit in found.commits.items():
        data_utc = data_moment(commit.started_utc, commit.facts)
        if commit.state is not SnapshotState.COMPLETE or data_utc is None:
            continue
        if is_misdated(commit, found.stored_utc.get(snapshot_id), now_utc):
            continue
        for replica in found.holders[snapshot_id]:
            if replica in held:
                held[replica][commit.source] = max(data_utc, held[replica].get(commit.source, data_utc))
    return held
