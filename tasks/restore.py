"""The steps of a restore: find the snapshot, then write it out."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.own_places import check_target
from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, resolve_snapshot
from farshore.clock import SystemClock
from farshore.errors import TargetFailed
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.restore import STANDARD_OUTPUT, restore_snapshot
from farshore.results import RestoreResult
from tasks.opening import open_config, start_run
from tasks.policy import RETRY_BASE_S, RETRY_JITTER, STEP_RETRIES, is_passing
from tasks.sessions import SESSIONS


@task(
    name="resolve",
    task_run_name="resolve-{snapshot}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=STEP_RETRIES,
    retry_delay_seconds=exponential_backoff(RETRY_BASE_S),
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=is_passing,
)
def find_snapshot(snapshot: str, replica: str | None, config_path: str | None) -> Snapshot:
    """Return the snapshot that a selector names: an id, a unique prefix, SOURCE for its latest, or SOURCE@TIME.

    Reads only, so it is safe to repeat.

    Raises:
        SnapshotUnknown: No snapshot, or more than one, answers to it.
        Unavailable: Passing.
    """
    with open_repository(
        open_config(config_path),
        need=Need.READ,
        writes=Writes.NONE,
        replica=replica,
        patient=False,
        clock=SystemClock(),
    ) as repository:
        return resolve_snapshot(repository, snapshot)


@task(name="restore", task_run_name="restore", cache_policy=NO_CACHE, persist_result=False, retries=0)
def write_target(
    session_id: str,
    info: Snapshot,
    target: str,
    replica: str | None,
    options: RestoreOptions,
    config_path: str | None,
) -> RestoreResult:
    """Restore a snapshot into an empty or new directory, checking every hash, from any replica that has a good copy.

    Not repeatable: a second try would find the target no longer empty. Single requests are retried by the stores, and a
    replica that fails is replaced by another, so what is left to retry needs a person.

    Raises:
        TargetNotEmpty, TargetFailed, TargetForbidden, TargetTooSmall: The place must change first.
        PathsClash: Names cannot be dropped so.
        RestoreIncomplete: No replica has a good copy of some entries; everything else was restored.
    """
    session = SESSIONS.get(session_id)
    clock = SystemClock()
    config = open_config(config_path)
    if target == STANDARD_OUTPUT:
        raise TargetFailed("a flow has no standard output to send an archive to", "Name a directory on the worker.")
    for warning in check_target(config, Path(target), options.below):
        get_run_logger().warning(warning)
    with open_repository(
        config, need=Need.READ, writes=Writes.REPAIRS, replica=replica, patient=False, clock=clock
    ) as repository:
        return restore_snapshot(
            repository,
            info,
            Path(target),
            replica=replica,
            options=options,
            run=start_run(clock, session.board.note),
        )
