"""Prune: delete what no kept snapshot needs, at each replica by itself. docs/operate/prune.md, decision 0048."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from farshore.catalog.finish_commits import finish_commits
from farshore.errors import FarshoreError
from farshore.ops.prune.audit_rows import record_prune
from farshore.ops.prune.outcome import PrunedReplica, PruneOptions, PruneResult, PruneState
from farshore.ops.prune.prune_replica import ReplicaPrune, empty_trash
from farshore.replicas.owner_log import check_maintainer
from farshore.replicas.repository import Repository
from farshore.run import Run


def prune_repository(repository: Repository, options: PruneOptions, run: Run) -> PruneResult:
    """Prune one replica or all, each from its own objects alone; write audit rows.

    Writers may be at work. Repeatable, and safe to kill at any moment: the next prune goes on. The outcome of a
    replica is a result, also where it is refused. Memory: about 100 bytes for each pack that is needed, and as much for
    each that goes.

    Raises:
        KeyMissing: The key at hand may not maintain.
        FeatureMissing, LogForked: As `check_maintainer` says.
        StoreUnavailable, StoreDenied: The replica that was asked for cannot be opened.
    """
    if not options.dry_run:
        check_maintainer(repository, "prune")
        finish_commits(repository)
    if options.replica is not None:
        repository.replica(options.replica)
    chosen = [options.replica] if options.replica else list(repository.configured)
    work = {
        name: ReplicaPrune(repository, repository.replicas[name], options, run)
        for name in chosen
        if name in repository.replicas
    }
    with ThreadPoolExecutor(max(len(work), 1), thread_name_prefix="prune") as pool:
        done = dict(zip(work, pool.map(lambda one: one.apply(), work.values()), strict=True))
    replicas = tuple(
        _with_trash(repository, done[name], options) if name in done else _failed(name, repository.unreachable[name])
        for name in chosen
    )
    result = PruneResult(
        run_id=run.run_id,
        dry_run=options.dry_run,
        started_utc=run.started_utc,
        finished_utc=run.clock.now_utc(),
        replicas=replicas,
    )
    if not options.dry_run:
        record_prune(repository, result, {name: one.deletions for name, one in work.items()}, run)
    return replace(result, requests=repository.drain_requests())


def _with_trash(repository: Repository, one: PrunedReplica, options: PruneOptions) -> PrunedReplica:
    """Empty the trash of a replica, whatever became of its plan: that frees a disk that is full."""
    try:
        kept, emptied = empty_trash(repository.replicas[one.replica], options)
    except FarshoreError as error:
        return replace(one, error=one.error or error.message, error_code=one.error_code or error.code)
    return replace(one, trash=kept, trash_emptied=emptied)


def _failed(name: str, error: FarshoreError) -> PrunedReplica:
    return PrunedReplica(name, PruneState.FAILED, error_code=error.code, error=error.message, hint=error.hint)
