"""The newest snapshot of each source that each replica holds, as the replicas themselves list it."""

from __future__ import annotations

from datetime import datetime

from farshore.repository.commits import list_commits
from farshore.repository.repository import Repository


def newest_held(repository: Repository) -> dict[str, dict[str, datetime]]:
    """Return for each replica that could be listed, by source, when reading for its newest snapshot began.

    Needs a writer's keys at least. A replica that is not in the answer holds what nobody knows, which is not nothing.

    Raises:
        FarshoreError: No replica could be listed.
    """
    found = list_commits(repository)
    held: dict[str, dict[str, datetime]] = {name: {} for name in repository.replicas if name not in found.failed}
    if not held:
        raise next(iter(found.failed.values()))
    for snapshot_id, commit in found.commits.items():
        for replica in found.holders[snapshot_id]:
            if replica in held:
                latest = held[replica].get(commit.source, commit.started_utc)
                held[replica][commit.source] = max(commit.started_utc, latest)
    return held
