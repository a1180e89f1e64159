"""Every replica at a glance: reachable, snapshots held, how far behind, last check."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime

from farshore.access.open_replica import Writes, open_replica
from farshore.access.query import LastChecks, last_checks, locked_until, open_tables
from farshore.catalog import list_commits
from farshore.catalog.signed_commits import Refusal
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError, RepositoryMissing
from farshore.format import names
from farshore.format.names import CommitName
from farshore.model import RefusedObject, dataclass
from farshore.ops.ask.garbage import look_for_garbage
from farshore.ops.ask.trust_report import TrustReport, report_trust
from farshore.replicas import OnWait, ask_all, wait_quietly
from farshore.replicas.repository import Replica, Repository
from farshore.results import NO_GARBAGE, GarbageStatus, ReplicaStatus


@dataclass(frozen=True, slots=True)
class _Seen:
    """The answer of one replica."""

    commits: dict[CommitName, datetime | None]  # when each appeared there
    clock_skew_s: float | None = None

    def without(self, hashes: Collection[str]) -> _Seen:
        """Return the answer without the commits of these hashes."""
        return _Seen({one: at for one, at in self.commits.items() if one.hash not in hashes}, self.clock_skew_s)


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """Every configured replica, in order, the report about trust, and the commits that do not count.

    `unread`: by replica how many names nothing signed names, and were too many to be read.
    """

    replicas: list[ReplicaStatus]
    trust: TrustReport
    refused: tuple[RefusedObject, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The findings of the owner log, the commits and the audit rows; nothing where it cannot be known."""

    checks: Mapping[str, LastChecks] = field(default_factory=dict)
    locked: Mapping[str, datetime] = field(default_factory=dict)
    trust: TrustReport = field(default_factory=TrustReport)
    uncounted: frozenset[str] = frozenset()  # hashes of commits that are refused or forgotten
    refused: tuple[RefusedObject, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    garbage: Mapping[str, GarbageStatus] = field(default_factory=dict)


def repository_status(config: Config, *, on_wait: OnWait = wait_quietly, clock: Clock) -> RepositoryStatus:
    """Return one status per configured replica. Needs no key. Never raises for what a replica does.

    `behind` counts the snapshots that some reachable replica holds and this one does not. Commits that are refused or
    forgotten are no snapshots. A replica that is silent after another one answered is not waited for long.

    Args:
        on_wait: Called with the replicas that do not answer soon.
    """
    replicas = list(config.replicas.values())
    opened, failed = _open_all(config, clock)
    try:
        seen, silent = ask_all(
            opened, lambda name: _look(opened[name]), clock=clock, patient=False, on_wait=on_wait,
            alive=lambda name: opened[name].life_sign(),
        )  # fmt: skip
    finally:
        for one in opened.values():
            one.store.close()
    failed.update(silent)
    recorded = _recorded(config, seen, clock)
    seen = {name: one.without(recorded.uncounted) for name, one in seen.items()}
    everything = {item.snapshot_id for one in seen.values() for item in one.commits}
    checks, locked, trust = recorded.checks, recorded.locked, recorded.trust
    statuses: list[ReplicaStatus] = []
    for replica in replicas:
        found, error = seen.get(replica.name, _Seen({})), failed.get(replica.name)
        snapshots = {item.snapshot_id for item in found.commits}
        last = checks.get(replica.name)
        times = [moment for moment in found.commits.values() if moment]
        statuses.append(
            ReplicaStatus(
                replica=replica.name,
                url=replica.url,
                region=replica.region,
                reachable=error is None,
                snapshots=len(snapshots),
                behind=0 if error else len(everything - snapshots),
                lost=0 if error else sum(1 for one in trust.cut if one.commit),
                latest_utc=max(times, default=None),
                last_check_utc=last.checked_utc if last else None,
                last_check_clean=last.clean if last else None,
                last_check_mended=last.mended if last else False,
                last_check_method=last.method if last else "",
                last_remote_check_utc=last.remote_utc if last else None,
                last_read_check_utc=last.read_utc if last else None,
                all_read_since_utc=last.all_read_since_utc if last else None,
                locked_until_utc=locked.get(replica.name),
                clock_skew_s=found.clock_skew_s,
                garbage=recorded.garbage.get(replica.name, NO_GARBAGE),
                error_code=error.code if error else "",
                error=error.message if error else "",
            )
        )
    return RepositoryStatus(statuses, trust, recorded.refused, recorded.unread)


def _recorded(config: Config, seen: Mapping[str, _Seen], clock: Clock) -> _Recorded:
    reached, commits = list(seen), _earliest(seen.values())
    if not reached:
        return _Recorded()
    asked = replace(config, replicas={name: config.replicas[name] for name in reached})
    try:
        with open_tables(asked, clock=clock) as repository:
            locks = any(one.lock for one in config.replicas.values())
            checks = last_checks(repository, reached)
            locked = locked_until(repository, reached) if locks else {}
            report = report_trust(repository, commits, complete=len(reached) == len(config.replicas))
            uncounted = _uncounted(repository, commits)
            refused, unread = tuple(repository.refused.values()), dict(repository.unread)
            garbage = look_for_garbage(repository, {name: one.commits for name, one in seen.items()})
    except FarshoreError as error:
        return _Recorded(trust=TrustReport(error=error))
    return _Recorded(checks, locked, report, uncounted, refused, unread, garbage)


def _uncounted(repository: Repository, commits: Iterable[CommitName]) -> frozenset[str]:
    """Return which of these commits, by hash, are no snapshots; a damaged one is, or was."""
    listed = list_commits(repository)
    damaged = {one.name.hash for one in listed.refused if one.reason is Refusal.DAMAGED}
    refused = {one.name.hash for one in listed.refused} - damaged
    if listed.failed:  # what is not among them may only not have been read
        return frozenset(refused | listed.forgotten.keys())
    return frozenset({one.hash for one in commits} - listed.heads.keys() - damaged)


def _earliest(seen: Iterable[_Seen]) -> dict[CommitName, datetime | None]:
    """Return every commit that a replica lists, and the earliest time that a store reports for it."""
    found: dict[CommitName, datetime | None] = {}
    for one in seen:
        for item, moment in one.commits.items():
            times = [known for known in (found.get(item), moment) if known is not None]
            found[item] = min(times, default=None)
    return found


def _open_all(config: Config, clock: Clock) -> tuple[dict[str, Replica], dict[str, FarshoreError]]:
    """Return the replicas whose configuration can be used, and why that of others cannot. Sends nothing."""
    opened: dict[str, Replica] = {}
    failed: dict[str, FarshoreError] = {}
    for name, replica in config.replicas.items():
        try:
            opened[name] = open_replica(config, replica, clock, writes=Writes.NONE)
        except FarshoreError as error:
            failed[name] = error
    return opened, failed


def _look(replica: Replica) -> _Seen:
    """Return the commits that a replica lists.

    Raises:
        RepositoryMissing: It answers, and has no header.
    """
    if not any(info.name == names.HEADER for info in replica.store.list(names.HEADER)):
        raise RepositoryMissing(f"there is no repository at {replica.name} ({replica.url})")
    found: dict[CommitName, datetime | None] = {}
    for info in replica.store.list(names.SNAPSHOTS):
        parsed = names.parse_commit(info.name)
        if parsed is not None:
            found[parsed] = info.modified_utc
    return _Seen(found, replica.meter.service_clock.skew_s)
