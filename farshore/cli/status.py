"""`farshore status`: are the replicas there, level and proven? For people and for monitoring."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from farshore.cli.command import Command, Invocation
from farshore.cli.passphrase import able_to_write
from farshore.cli.records import plain
from farshore.cli.wording import age_of, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    BackupOverdue,
    ConfigInvalid,
    RepositoryMissing,
    SecretUnavailable,
    StoreUnavailable,
    VerifyFailed,
)

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.model import ReplicaStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="DURATION",
        help="fail when the newest snapshot of a configured source is older, for instance 26h (default: its rpo)",
    )


def duration(text: str) -> timedelta:
    """Return a duration given on the command line."""
    from farshore.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


_STANDBY_HINT = (
    "See whether the standby still follows its primary (pg_stat_wal_receiver, pg_is_wal_replay_paused), or back up the "
    "primary; a role in pg_monitor is told how old a standby's data is."
)


@dataclass(frozen=True, slots=True)
class SourceAge:
    """How old the newest snapshot of a source is, and how old it may be."""

    source: str
    latest_utc: datetime | None  # when reading the source began: the snapshot shows no later state
    age: timedelta | None  # of the data; None if there is no snapshot, or nobody told
    allowed: timedelta | None
    data_utc: datetime | None = None  # up to when it has the data: before `latest_utc` for a standby that is behind

    @property
    def behind(self) -> bool:
        """Whether the source was itself a copy, and older than its snapshot."""
        return self.data_utc is not None and self.data_utc != self.latest_utc

    @property
    def overdue(self) -> bool:
        """Whether the newest snapshot is older than allowed, or there is none."""
        return self.allowed is not None and (self.age is None or self.age > self.allowed)

    @property
    def state(self) -> str:
        """One word for people."""
        if self.latest_utc is not None and self.age is None:
            return "unknown"
        return "overdue" if self.overdue else "fresh" if self.allowed else ""


def execute(invocation: Invocation) -> int:
    """Ask every replica, then look at the age of every source where an age is allowed."""
    from farshore.ops.status import repository_status

    config, output = invocation.config(), invocation.output
    replicas = repository_status(config, clock=invocation.clock)
    for one in replicas:
        output.record("replica", one, state=state_of(one))
    locked = ("locked until",) if any(one.lock for one in config.replicas.values()) else ()
    output.table(
        ("replica", "region", "state", "snapshots", "behind", "latest", "last check", "found", "proven", *locked),
        [
            (
                one.replica,
                one.region,
                state_of(one),
                str(one.snapshots) if one.reachable else "",
                str(one.behind) if one.reachable else "",
                utc_time(one.latest_utc),
                _told_check(one),
                {None: "", True: "clean", False: "DAMAGE"}[one.last_check_clean],
                _told_proof(one, invocation.clock.now_utc()),
                *([utc_time(one.locked_until_utc)] if locked else []),
            )
            for one in replicas
        ],
        right=frozenset({"snapshots", "behind"}),
    )
    for one in replicas:
        if one.error:
            output.warning(f"{one.replica} ({one.url}): {one.error_code}: {shown_text(one.error)}")
    ages = _source_ages(invocation, config, replicas)
    return _verdict(invocation, replicas, ages)


def state_of(replica: ReplicaStatus) -> str:
    """Return one word for a replica: missing, unreachable, damaged, behind or level."""
    if replica.error_code == RepositoryMissing.code:
        return "missing"
    if not replica.reachable:
        return "unreachable"
    if replica.last_check_clean is False:
        return "damaged"
    return "behind" if replica.behind else "level"


def exit_code_of(replicas: Sequence[ReplicaStatus], overdue: Sequence[SourceAge]) -> int:
    """Return the exit code for monitoring; the first that applies: damage, overdue, unreachable, behind, done."""
    states = {state_of(one) for one in replicas}
    if "damaged" in states:
        return VerifyFailed.exit_code
    if overdue:
        return BackupOverdue.exit_code
    if states == {"missing"}:
        return RepositoryMissing.exit_code
    if states & {"missing", "unreachable"}:
        return StoreUnavailable.exit_code
    return EXIT_WARNINGS if "behind" in states else EXIT_DONE


def _told_check(replica: ReplicaStatus) -> str:
    if replica.last_check_utc is None:
        return "never" if replica.reachable else ""
    return utc_time(replica.last_check_utc)


def _told_proof(replica: ReplicaStatus, now_utc: datetime) -> str:
    """Return how and how long ago a replica was proven: by its provider's checksums, by reading, all of it when."""
    told: list[str] = []
    if replica.last_remote_check_utc:
        told.append(f"remote {age_of(replica.last_remote_check_utc, now_utc)} ago")
    if replica.last_read_check_utc:
        told.append(f"read {age_of(replica.last_read_check_utc, now_utc)} ago")
    if replica.all_read_since_utc:
        told.append(f"all within {age_of(replica.all_read_since_utc, now_utc)}")
    return ", ".join(told)


def _source_ages(invocation: Invocation, config: Config, replicas: Sequence[ReplicaStatus]) -> list[SourceAge]:
    """Return the age of each configured source, from the commit records that a quorum may hold.

    Without `--max-age` and without any rpo, nobody asked: no key is needed and nothing is returned.
    """
    from farshore.ops.opening import Need, open_repository
    from farshore.ops.snapshots import list_snapshots

    output, limit = invocation.output, invocation.arguments.max_age
    allowed = {name: limit or source.rpo for name, source in config.sources.items()}
    if not any(allowed.values()) or not any(one.reachable for one in replicas):
        return []
    with open_repository(able_to_write(invocation, config), need=Need.WRITE, clock=invocation.clock) as repository:
        found = list_snapshots(repository)
    away = sum(not one.reachable for one in replicas)
    counted = [one for one in found if len(one.replicas) + away >= config.repository.quorum]
    now = invocation.clock.now_utc()
    ages: list[SourceAge] = []
    for name, age_max in allowed.items():
        of_source = (one for one in counted if one.source == name)
        newest = max(of_source, key=lambda one: one.started_utc, default=None)
        data_utc = newest.data_utc if newest else None
        age = None if data_utc is None else now - data_utc
        ages.append(SourceAge(name, newest.started_utc if newest else None, age, age_max, data_utc))
    for one in ages:
        output.raw(
            {
                "type": "source",
                "source": one.source,
                "latest_utc": plain(one.latest_utc),
                "data_utc": plain(one.data_utc),
                "age_s": plain(one.age),
                "allowed_s": plain(one.allowed),
                "overdue": one.overdue,
            }
        )
    behind = any(one.behind for one in ages)
    output.line()
    output.table(
        ("source", "latest", *(("data of",) if behind else ()), "age", "allowed", "state"),
        [
            (
                one.source,
                utc_time(one.latest_utc),
                *((utc_time(one.data_utc),) if behind else ()),
                format_age(one.age),
                format_age(one.allowed),
                one.state,
            )
            for one in ages
        ],
    )
    return ages


def format_age(age: timedelta | None) -> str:
    """Return an age or a limit such as `1d2h`, or nothing."""
    from farshore.config import format_duration

    return "" if age is None else format_duration(age)


def _told_age(source: SourceAge) -> str:
    if source.latest_utc is None:
        return "is missing: there is none"
    if source.age is None:
        return "is of a standby that did not tell how old its data is"
    age = format_age(source.age)
    return f"has data that is {age} old" if source.behind else f"is {age} old"


def _verdict(invocation: Invocation, replicas: Sequence[ReplicaStatus], ages: Sequence[SourceAge]) -> int:
    """Tell what is graver than a warning as errors, and return the exit code."""
    overdue = [one for one in ages if one.overdue]
    damaged = [one.replica for one in replicas if state_of(one) == "damaged"]
    if damaged:
        invocation.output.error(VerifyFailed(f"the last check found damage at {', '.join(damaged)}"))
    for one in overdue:
        said = f"the newest snapshot of {one.source} {_told_age(one)}; {format_age(one.allowed)} is allowed"
        standby = one.behind or (one.latest_utc is not None and one.age is None)
        invocation.output.error(BackupOverdue(said, _STANDBY_HINT if standby else None))
    return exit_code_of(replicas, overdue)


COMMAND = Command(
    name="status",
    summary="tell whether replicas are there, level and proven",
    description=(
        "Show for each replica whether it is reachable, how many snapshots it holds, how many it is behind the others, "
        "its last check, and how it was proven; and for each source with an rpo (or with --max-age) whether its newest "
        "snapshot is young enough. The exit code is made for monitoring: the first that applies of 62, 80, 20, 3, 0."
    ),
    example="farshore status --max-age 26h || alert 'farshore: look at the backups'",
    add_arguments=add_arguments,
    execute=execute,
    failures=(ConfigInvalid, SecretUnavailable, RepositoryMissing, StoreUnavailable, VerifyFailed, BackupOverdue),
    exits=((EXIT_WARNINGS, "a replica is behind the others"),),
)
