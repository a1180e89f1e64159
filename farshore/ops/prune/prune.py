"""Prune: delete what no kept snapshot needs, at each replica by itself. docs/operate/prune.md, decision 0048."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from farshore.catalog.finish_commits import finish_commits
from farshore.errors import FarshoreError
from farshore.ops.prune.audit_rows import record_prune
from farshore.ops.prune.fold_tombstones import fold_tombstones
from farshore.ops.prune.outcome import PrunedReplica, PruneOptions, PruneResult, PruneState
from farshore.ops.prune.prune_replica import ReplicaPrune, empty_trash
from farshore.replicas.owner_log import check_maintainer
from farshore.replicas.repository import Repository
from farshore.run import Run

_FOLDS_AFTER = (PruneState.PRUNED, PruneState.CLEAN)


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
    if not options.dry_run:
        done |= _folded(repository, work, done, options, run)
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


def _folded(
    repository: Repository,
    work: Mapping[str, ReplicaPrune],
    done: Mapping[str, PrunedReplica],
    options: PruneOptions,
    run: Run,
) -> dict[str, PrunedReplica]:
    """Fold tombstones at the replicas that were pruned, or had nothing to prune; return their outcome with that."""
    chosen = {name: work[name].deletions for name, one in done.items() if one.state in _FOLDS_AFTER}
    before = {name: len(one.others) for name, one in chosen.items()}
    failed = fold_tombstones(
        repository,
        chosen,
        run.clock.now_utc() - options.grace,
        may_go_on=lambda: not any(work[one].is_over() for one in chosen),
    )
    found = {}
    for name, deletions in chosen.items():
        one, error = done[name], failed.get(name)
        found[name] = replace(
            one,
            freed=deletions.freed,
            failed=len(deletions.failed),
            folded=len(deletions.others) - before[name],
            error=error.message if error else one.error,
            error_code=error.code if error else one.error_code,
        )
    return found


def _with_trash(repository: Repository, one: PrunedReplica, options: PruneOptions) -> PrunedReplica:
    """Empty the trash of a replica, whatever became of its plan: that frees a disk that is full."""
    try:
        kept, emptied = empty_trash(repository.replicas[one.replica], options)
    except FarshoreError as error:
        return replace(one, error=one.error or error.message, error_code=one.error_code or error.code)
    return replace(one, trash=kept, trash_emptied=emptied)


def _failed(name: str, error: FarshoreError) -> PrunedReplica:
    return PrunedReplica(name, PruneState.FAILED, error_code=error.code, error=error.message, hint=error.hint)
