"""Every replica at a glance: reachable, snapshots held, how far behind, last check."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.errors import Denied, FarshoreError, RepositoryMissing
from farshore.format import names
from farshore.model import ReplicaStatus
from farshore.ops.opening import open_replica
from farshore.ops.query import last_checks, locked_until
from farshore.repository.repository import Replica


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one replica answered."""

    snapshots: dict[str, datetime | None]  # snapshot id -> when its commit record appeared there
    error: FarshoreError | None = None
    clock_skew_s: float | None = None


def repository_status(config: Config, *, clock: Clock) -> list[ReplicaStatus]:
    """Return one status per configured replica, in order. Needs no key. Never raises for what a replica does.

    `behind` counts the snapshots that some reachable replica holds and this one does not.
    """
    replicas = list(config.replicas.values())
    with ThreadPoolExecutor(len(replicas)) as pool:
        seen = list(pool.map(lambda one: _look(config, one, clock), replicas))
    everything = {snapshot for one in seen for snapshot in one.snapshots}
    reached = [one.name for one, found in zip(replicas, seen, strict=True) if not found.error]
    checks = last_checks(config, reached, clock)
    locked = locked_until(config, reached, clock)
    statuses: list[ReplicaStatus] = []
    for replica, found in zip(replicas, seen, strict=True):
        last = checks.get(replica.name)
        times = [moment for moment in found.snapshots.values() if moment]
        statuses.append(
            ReplicaStatus(
                replica=replica.name,
                url=replica.url,
                region=replica.region,
                reachable=found.error is None,
                snapshots=len(found.snapshots),
                behind=0 if found.error else len(everything - found.snapshots.keys()),
                latest_utc=max(times, default=None),
                last_check_utc=last.checked_utc if last else None,
                last_check_clean=last.clean if last else None,
                last_check_method=last.method if last else "",
                last_remote_check_utc=last.remote_utc if last else None,
                last_read_check_utc=last.read_utc if last else None,
                all_read_since_utc=last.all_read_since_utc if last else None,
                locked_until_utc=locked.get(replica.name),
                clock_skew_s=found.clock_skew_s,
                error_code=found.error.code if found.error else "",
                error=found.error.message if found.error else "",
            )
        )
    return statuses


def _look(config: Config, replica: ReplicaConfig, clock: Clock) -> _Seen:
    opened: Replica | None = None
    try:
        opened = open_replica(config, replica, clock)
        if not any(info.name == names.HEADER for info in opened.store.list(names.HEADER)):
            return _Seen({}, RepositoryMissing(f"there is no repository at {replica.name} ({opened.url})"))
        found: dict[str, datetime | None] = {}
        for info in opened.store.list(names.SNAPSHOTS):
            parsed = names.parse_snapshot_object(info.name)
            if parsed is not None and parsed.role == names.COMMIT:
                found[parsed.snapshot_id] = info.modified_utc
        return _Seen(found, clock_skew_s=opened.meter.service_clock.skew_s)
    except Denied as error:
        return _Seen({}, error)
    except FarshoreError as error:
        return _Seen({}, error)
    finally:
        if opened is not None:
            opened.store.close()
