"""The traces of a run in Prefect: its final state, its result as an artifact, and an event for automations.

Nothing here decides anything: the truth is in the repository and its audit tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Completed, Failed

from farshore.check_results import VerifyResult
from farshore.errors import Failure
from farshore.ops.prune.outcome import PruneResult, refusal_of
from farshore.ops.verify.outcomes import check_errors
from farshore.plural import count_of
from farshore.repair.outcome import HealedState, HealResult, heal_error
from farshore.results import BackupResult, RestoreResult
from tasks.naming import artifact_key
from tasks.pages import DAMAGED_ROWS_MAX, backup_page, bytes_text, heal_page, prune_page, restore_page, verify_page

WARNING = "Warning"  # states of type Completed, because the run counts, under a name that is seen at a glance
ALREADY_DONE = "AlreadyDone"


def failed(error: Failure) -> State[Any]:
    """Return the final state of a run that failed: the failure, and the hint."""
    return Failed(message=f"{error.message} ({error.code}). {error.hint}".strip(), data=error)


def report_backup(result: BackupResult) -> State[Any]:
    """Leave a committed backup's artifact and event; return the run's final state."""
    held = [outcome.replica for outcome in result.replicas if outcome.committed]
    behind = [outcome.replica for outcome in result.replicas if not outcome.committed]
    _write_artifact(artifact_key("backup", result.source), backup_page(result))
    _emit(
        "farshore.backup.committed",
        _source_resource(result.source, result.snapshot_id)
        | {"farshore.warned": str(result.warned).lower(), "farshore.state": result.state.value},
        related=[("snapshot", result.snapshot_id), *(("replica", replica) for replica in held)],
        payload={
            "snapshot": result.snapshot_id,
            "run": result.run_id,
            "already_done": result.already_done,
            "held_by": held,
            "left_behind": behind,
            "warnings": [{"code": one.code, "subject": one.subject, "cause": one.cause} for one in result.warnings],
            "problems": result.counts.problems,
            "state": result.state.value,
            "lacking": result.counts.lacking,
            "shrunken": result.shrunken_from is not None,
            "lost": [one.snapshot_id for one in result.lost],
        },
    )
    for replica in behind if not result.already_done else ():
        _emit(
            "farshore.replica.behind",
            {"prefect.resource.id": f"farshore.replica.{replica}", "prefect.resource.name": replica},
            related=[("source", result.source)],
            payload={"snapshot": result.snapshot_id, "run": result.run_id},
        )
    notes = [f"at no replica any more: {', '.join(one.snapshot_id[:12] for one in result.lost)}"] if result.lost else []
    notes += [f"left behind: {', '.join(behind)}"] if behind else []
    notes += [] if result.complete else [f"INCOMPLETE: it lacks what {result.counts.lacking:,} problems name"]
    notes += ["the source has shrunken to less than half"] if result.shrunken_from else []
    notes += [f"{result.counts.problems:,} problems with single entries"] if result.counts.problems else []
    short = result.snapshot_id[:12]
    if result.already_done:
        return Completed(name=ALREADY_DONE, message=f"snapshot {short} is of an earlier attempt", data=result)
    return _completed(f"snapshot {short} is held by {len(held)} of {len(result.replicas)} replicas", notes, result)


def report_restore(result: RestoreResult) -> State[Any]:
    """Leave a restore's artifact and event; return the run's final state."""
    _write_artifact(artifact_key("restore", result.source), restore_page(result))
    _emit(
        "farshore.restore.finished",
        _source_resource(result.source, result.snapshot_id),
        related=[("snapshot", result.snapshot_id)],
        payload={
            "snapshot": result.snapshot_id,
            "run": result.run_id,
            "entries": result.entries,
            "bytes": result.bytes_restored,
            "fell_over": len(result.fell_over),
            "problems": len(result.problems),
        },
    )
    notes = [f"{len(result.fell_over):,} bad objects were read from another replica"] if result.fell_over else []
    notes += [f"{len(result.problems):,} problems with single entries"] if result.problems else []
    notes += [f"nothing matches {' '.join(result.unmatched)}"] if result.unmatched else []
    notes += [f"no audit row was kept: {result.unrecorded}"] if result.unrecorded else []
    if result.delta is not None and result.delta.dry_run:
        return _completed("nothing was changed", [f"{result.delta.differences:,} names differ", *notes], result)
    read_from = ", ".join(result.replicas)
    return _completed(
        f"{result.entries:,} entries, {bytes_text(result.bytes_restored)} from {read_from}", notes, result
    )


def report_verify(result: VerifyResult, subject: str) -> State[Any]:
    """Leave a verify's artifact and event; return the run's final state: damage fails it."""
    _write_artifact(artifact_key("verify", subject), verify_page(result))
    _emit(
        "farshore.verify.finished",
        {
            "prefect.resource.id": "farshore.repository",
            "prefect.resource.name": "repository",
            "farshore.clean": str(result.clean).lower(),
        },
        related=[("replica", replica) for replica in result.replicas],
        payload={
            "clean": result.clean,
            "run": result.run_id,
            "objects": result.objects,
            "damaged": [f"{found.replica}/{found.name}" for found in result.damaged[:DAMAGED_ROWS_MAX]],
        },
    )
    errors = check_errors(result)
    if not errors:
        notes = [f"the content of {result.unproven:,} is unproven"] if result.unproven else []
        notes += [f"{len(result.damaged):,} damaged objects were mended"] if result.damaged else []
        notes += [f"{', '.join(result.behind)} list fewer snapshots than others"] if result.behind else []
        return _completed(f"{count_of(result.objects, 'object')} checked, nothing damaged", notes, result)
    return failed(errors[0])


def report_heal(result: HealResult, subject: str) -> State[Any]:
    """Leave a heal's artifact and event; return the run's final state: a replica that is not level fails it."""
    _write_artifact(artifact_key("heal", subject), heal_page(result))
    behind = [one.replica for one in result.replicas if one.state is not HealedState.IN_SYNC]
    _emit(
        "farshore.heal.finished",
        {
            "prefect.resource.id": "farshore.repository",
            "prefect.resource.name": "repository",
            "farshore.level": str(result.in_sync).lower(),
        },
        related=[("replica", one.replica) for one in result.replicas],
        payload={
            "level": result.in_sync,
            "run": result.run_id,
            "copied": sum(one.copied for one in result.replicas),
            "replaced": sum(one.replaced for one in result.replicas),
            "open": result.open,
            "not_level": behind,
            "lost": [one.snapshot_id for one in result.lost],
        },
    )
    if result.in_sync:
        done = sum(one.bytes_copied for one in result.replicas)
        said = f"{bytes_text(done)} copied" if result.changed else "nothing to do"
        return Completed(message=f"{said}; level: {', '.join(one.replica for one in result.replicas)}", data=result)
    return failed(heal_error(result))


def report_prune(result: PruneResult, subject: str) -> State[Any]:
    """Leave a prune's artifact and event; return the run's final state: a replica that was refused fails it."""
    _write_artifact(artifact_key("prune", subject), prune_page(result))
    freed = sum(one.freed.bytes for one in result.replicas)
    _emit(
        "farshore.prune.finished",
        {
            "prefect.resource.id": "farshore.repository",
            "prefect.resource.name": "repository",
            "farshore.done": str(result.done).lower(),
        },
        related=[("replica", one.replica) for one in result.replicas],
        payload={
            "done": result.done,
            "run": result.run_id,
            "bytes_freed": freed,
            "objects_freed": sum(one.freed.objects for one in result.replicas),
            "states": {one.replica: one.state.value for one in result.replicas},
            "waits_for": sorted({waits.lease for one in result.replicas for waits in one.waits_for}),
        },
    )
    refusal = refusal_of(result)
    if refusal is not None:
        return failed(refusal)
    left = [f"{one.replica} is not finished ({one.state})" for one in result.replicas if not one.done]
    return _completed(f"{bytes_text(freed)} deleted", left, result)


def _completed(message: str, notes: Sequence[str], result: object) -> State[Any]:
    if notes:
        return Completed(name=WARNING, message="; ".join([message, *notes]), data=result)
    return Completed(message=message, data=result)


def _source_resource(source: str, snapshot_id: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"farshore.source.{source}",
        "prefect.resource.name": source,
        "farshore.snapshot": snapshot_id,
    }


def _write_artifact(key: str, page: str) -> None:
    if FlowRunContext.get() is not None:
        create_markdown_artifact(page, key=key)


def _emit(
    event: str, resource: dict[str, str], *, related: Sequence[tuple[str, str]], payload: Mapping[str, Any]
) -> None:
    if FlowRunContext.get() is None:
        return
    others = [
        {"prefect.resource.id": f"farshore.{role}.{name}", "prefect.resource.role": role} for role, name in related
    ]
    emit_event(event, resource, related=others, payload=dict(payload))
