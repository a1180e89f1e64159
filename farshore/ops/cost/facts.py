"""Facts about each replica from the audit tables, for its cost: bytes stored, requests of runs, bytes read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any

from farshore.access.query import run_query
from farshore.audit import questions
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError
from farshore.model import dataclass
from farshore.replicas import OnWait, wait_quietly

WINDOW_DAYS = 30.0  # the present rate is that of these days, or of all where there are fewer
_DAYS_MIN = 1.0  # younger than this a rate is a guess: one day is assumed


@dataclass(frozen=True, slots=True)
class BackupRuns:
    """Backups of one source at one replica in the window, first ones left out."""

    runs: int
    requests: int
    objects: int  # sent: each a put


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """One replica. Sums of runs, checks and restores are of the window."""

    objects: int = 0
    bytes_stored: int = 0
    needed_objects: int = 0
    needed_bytes: int = 0
    bytes_grown: int = 0
    backups: Mapping[str, BackupRuns] = field(default_factory=dict)  # by source
    checks: int = 0
    objects_checked: int = 0
    bytes_checked: int = 0
    restores: int = 0
    bytes_restored: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """All replicas that the tables know, over a window of `days`."""

    read_from: str
    days: float
    replicas: Mapping[str, ReplicaFacts]


def read_facts(
    config: Config,
    *,
    replica: str | None = None,
    unasked: dict[str, FarshoreError] | None = None,
    on_wait: OnWait = wait_quietly,
    clock: Clock,
) -> Facts:
    """Ask the audit tables of one replica, which cover all. Needs no key.

    Raises:
        FarshoreError: No replica could be read, or not the one that was named; the first reason.
    """
    now = clock.now_utc()
    first = run_query(config, questions.FIRST_RUN, replica=replica, unasked=unasked, on_wait=on_wait, clock=clock)
    began = first.rows[0][0] if first.rows else None
    age_days = (now - began).total_seconds() / 86_400 if isinstance(began, datetime) else 0.0
    days = min(max(age_days, _DAYS_MIN), WINDOW_DAYS)

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return list(run_query(config, sql, replica=first.replica, clock=clock).rows)

    return Facts(first.replica, days, _gathered(ask, now - timedelta(days=days)))


def _gathered(ask: Callable[[str], list[tuple[Any, ...]]], since_utc: datetime) -> dict[str, ReplicaFacts]:
    values: dict[str, dict[str, Any]] = {}

    def put(replica: str, **found: Any) -> None:
        values.setdefault(replica, {}).update(found)

    for replica, objects, stored in ask(questions.STORED):
        put(replica, objects=objects, bytes_stored=int(stored))
    for replica, objects, needed in ask(questions.NEEDED):
        put(replica, needed_objects=objects, needed_bytes=int(needed))
    for replica, grown in ask(questions.grown(since_utc)):
        put(replica, bytes_grown=int(grown))
    for replica, source, runs, requests, objects in ask(questions.backup_runs(since_utc)):
        backups = values.setdefault(replica, {}).setdefault("backups", {})
        backups[source] = BackupRuns(runs, int(requests), int(objects))
    for replica, checks, objects, read in ask(questions.checks_made(since_utc)):
        put(replica, checks=checks, objects_checked=int(objects), bytes_checked=int(read))
    for replica, restores, restored in ask(questions.restores_made(since_utc)):
        put(replica, restores=restores, bytes_restored=float(restored))
    return {replica: ReplicaFacts(**found) for replica, found in values.items()}
