"""Names of runs and artifacts, and the identity of a scheduled backup.

The identity is the moment a schedule asked for, not the moment when a worker starts: every attempt at the same
moment (a retry, a run picked up again after its worker died) has the same one, and the repository knows whether it was
done.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from prefect.context import FlowRunContext
from prefect.runtime import flow_run

_NOT_IN_KEYS = re.compile(r"[^a-z0-9]+")


def scheduled_identity() -> str:
    """Return the moment that a schedule made this run for, or "" for a run asked for by hand or by an event."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not run.auto_scheduled or run.expected_start_time is None:
        return ""
    return run.expected_start_time.astimezone(UTC).isoformat(timespec="seconds")


def name_backup_run() -> str:
    """Return `backup-SOURCE-TIME`."""
    return _name_run("backup", str(flow_run.parameters.get("source", "")))


def name_restore_run() -> str:
    """Return `restore-SNAPSHOT-TIME`."""
    return _name_run("restore", str(flow_run.parameters.get("snapshot", "")))


def name_verify_run() -> str:
    """Return `verify-REPLICA-TIME`, with `all` when no replica was named."""
    return _name_run("verify", str(flow_run.parameters.get("replica") or "all"))


def name_heal_run() -> str:
    """Return `heal-REPLICA-TIME`, with `all` when no replica was named."""
    return _name_run("heal", str(flow_run.parameters.get("replica") or "all"))


def name_prune_run() -> str:
    """Return `prune-REPLICA-TIME`, with `all` when no replica was named."""
    return _name_run("prune", str(flow_run.parameters.get("replica") or "all"))


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts: lower-case letters, digits and dashes."""
    return _NOT_IN_KEYS.sub("-", "-".join(parts).lower()).strip("-")


def _name_run(job: str, subject: str) -> str:
    return f"{job}-{subject}-{_moment_text(flow_run.scheduled_start_time)}"


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
