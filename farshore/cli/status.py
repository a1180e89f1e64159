"""`farshore status`: are the replicas there, in sync and proven? For people and for monitoring."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.opening import waiting_note, with_listing
from farshore.cli.refused import warn_refused
from farshore.cli.status_sources import errors_of, format_age, print_sources
from farshore.cli.status_trust import LATE, TRUST_FAILURES, print_trust, trust_errors
from farshore.cli.wording import NOT_ASKED, age_of, human_bytes, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    BackupOverdue,
    ClockWrong,
    ConfigInvalid,
    ExtraMissing,
    FarshoreError,
    ReplicaEmpty,
    RepositoryMissing,
    SecretUnavailable,
    SnapshotIncomplete,
    StoreUnavailable,
    VerifyFailed,
)
from farshore.limits import CLOCK_SKEW_S_MAX
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.ops.ask.source_states import SourceState
    from farshore.results import ReplicaStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="DURATION",
        help="fail when the last complete snapshot of a source is older, for instance 26h (default: its rpo)",
    )


def duration(text: str) -> timedelta:
    """Return a duration given on the command line."""
    from farshore.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def execute(invocation: Invocation) -> int:
    """Ask every replica, then look at the age of every source where an age is allowed."""
    from farshore.extras import lacking
    from farshore.ops.ask.status import repository_status

    config, output = invocation.config(), invocation.output
    status = repository_status(config, on_wait=waiting_note(output), clock=invocation.clock)
    replicas = status.replicas
    for one in replicas:
        output.record("replica", one, state=state_of(one))
    locked = ("locked until",) if any(one.lock for one in config.replicas.values()) else ()
    output.table(
        ("replica", "region", "state", "snapshots", "behind", "latest", "last check", "found", "proven", *locked),
        [
            (
                one.replica,
                one.region,
                state_shown(one),
                str(one.snapshots) if one.reachable else "",
                str(one.behind) if one.reachable else "",
                utc_time(one.latest_utc),
                _format_check(one),
                _format_found(one),
                _format_proof(one, invocation.clock.now_utc()),
                *([utc_time(one.locked_until_utc)] if locked else []),
            )
            for one in replicas
        ],
        right=frozenset({"snapshots", "behind"}),
    )
    for one in replicas:
        if one.error:
            output.warning(
                f"{one.replica} ({one.url}) could not be asked: {one.error_code}: {shown_text(one.error)}",
                NOT_ASKED,
                replica=one.replica,
                reason=one.error_code,
            )
    if lacking("sql"):
        output.warning(
            "when replicas were last checked is not shown: that needs SQL over the audit tables "
            "(pip install 'farshore[sql]')",
            ExtraMissing.code,
        )
    for one in replicas:
        output.lines(format_garbage(one))
    print_trust(output, status.trust)
    warn_refused(output, status.refused, status.unread)
    sources = _source_states(invocation, config, replicas)
    print_sources(output, sources)
    return _verdict(invocation, replicas, sources, trust_errors(status.trust))


_IN_SYNC = "level"  # in the JSON, whose values stay


def state_of(replica: ReplicaStatus) -> str:
    """Return the state in JSON.

    It is missing, unsupported, unreachable, damaged, empty, cut, behind, or level when in sync.
    """
    if replica.error_code == RepositoryMissing.code:
        return "missing"
    if replica.error_code == ExtraMissing.code:
        return "unsupported"
    if not replica.reachable:
        return "unreachable"
    if replica.last_check_clean is False:
        return "damaged"
    if replica.behind and not replica.snapshots:
        return "empty"
    if replica.lost:
        return "cut"
    return "behind" if replica.behind else _IN_SYNC


def state_shown(replica: ReplicaStatus) -> str:
    """Return the state as people read it."""
    return "in sync" if state_of(replica) == _IN_SYNC else state_of(replica)


def exit_code_of(
    replicas: Sequence[ReplicaStatus], sources: Sequence[SourceState], trust: Sequence[FarshoreError] = ()
) -> int:
    """Return the exit code for monitoring; the first that applies of those that the help names."""
    if trust and not isinstance(trust[0], LATE):
        return trust[0].exit_code
    if found := _exit_code_of(replicas, sources):
        return found
    if trust:
        return trust[0].exit_code
    nothing = not any(one.snapshots for one in replicas)
    behind = any(state_of(one) == "behind" for one in replicas)
    return EXIT_WARNINGS if nothing or behind or any(one.doubtful for one in sources) else EXIT_DONE


def _exit_code_of(replicas: Sequence[ReplicaStatus], sources: Sequence[SourceState]) -> int:
    """Return that of what is wrong with replicas and sources, as far as it is more than a warning."""
    states = {state_of(one) for one in replicas}
    if "damaged" in states:
        return VerifyFailed.exit_code
    if grave := [*clock_errors(replicas), *errors_of(sources)]:
        return grave[0].exit_code
    if states == {"missing"}:
        return RepositoryMissing.exit_code
    if states & {"missing", "unreachable"}:
        return StoreUnavailable.exit_code
    if "unsupported" in states:
        return ExtraMissing.exit_code
    if "empty" in states:
        return ReplicaEmpty.exit_code
    return EXIT_DONE


def clock_errors(replicas: Sequence[ReplicaStatus]) -> list[ClockWrong]:
    """Return an error for each replica whose clock, or this host's, is off by more than is allowed."""
    return [
        ClockWrong(
            f"the clock of {one.replica} is {format_age(timedelta(seconds=abs(one.clock_skew_s)))} "
            f"{'ahead of' if one.clock_skew_s > 0 else 'behind'} this host's"
        )
        for one in replicas
        if one.clock_skew_s is not None and abs(one.clock_skew_s) > CLOCK_SKEW_S_MAX
    ]


def format_garbage(replica: ReplicaStatus) -> list[str]:
    """Return a line for each kind of garbage of a replica: since when it is there, and what holds it up."""
    found, name = replica.garbage, replica.replica
    lines = []
    if found.forgotten:
        lines.append(
            f"{name}: {count_of(found.forgotten, 'forgotten snapshot')} not pruned, the first since "
            f"{utc_time(found.forgotten_since_utc)}"
        )
    if found.plan:
        held = f"; at work are {', '.join(map(shown_text, found.blocked_by))}" if found.blocked_by else ""
        lines.append(
            f"{name}: plan {found.plan} to delete {count_of(found.plan_objects, 'object')} is open since "
            f"{utc_time(found.plan_since_utc)}{held}; farshore prune goes on with it"
        )
    if found.trash_objects:
        lines.append(
            f"{name}: {count_of(found.trash_objects, 'object')}, {human_bytes(found.trash_bytes)}, in the trash since "
            f"{utc_time(found.trash_since_utc)}"
        )
    return lines


def _format_found(replica: ReplicaStatus) -> str:
    if replica.last_check_clean is None:
        return ""
    if not replica.last_check_clean:
        return "DAMAGE"
    return "mended" if replica.last_check_mended else "clean"


def _format_check(replica: ReplicaStatus) -> str:
    if replica.last_check_utc is None:
        return "never" if replica.reachable else ""
    return utc_time(replica.last_check_utc)


def _format_proof(replica: ReplicaStatus, now_utc: datetime) -> str:
    """Return how and how long ago a replica was proven: by its provider's checksums, by reading, all of it when."""
    parts: list[str] = []
    if replica.last_remote_check_utc:
        parts.append(f"remote {age_of(replica.last_remote_check_utc, now_utc)} ago")
    if replica.last_read_check_utc:
        parts.append(f"read {age_of(replica.last_read_check_utc, now_utc)} ago")
    if replica.all_read_since_utc:
        parts.append(f"all within {age_of(replica.all_read_since_utc, now_utc)}")
    return ", ".join(parts)


def _source_states(invocation: Invocation, config: Config, replicas: Sequence[ReplicaStatus]) -> list[SourceState]:
    """Return the state of each configured source, from the commit records that a quorum may hold.

    Without `--max-age` and without any rpo nobody asked for ages: no key is needed, and the audit tables are asked.
    """
    from farshore.catalog.snapshots import host_of, list_snapshots
    from farshore.ops.ask.source_states import judge_sources, recorded_states

    limit, reached = invocation.arguments.max_age, [one.replica for one in replicas if one.reachable]
    allowed = {name: limit or source.rpo for name, source in config.sources.items()}
    if not reached:
        return []
    if not any(allowed.values()):
        states = recorded_states(config, reached, invocation.clock)
        return [one for one in states if one.doubtful or one.misdated]
    asked = replace(config, replicas={name: config.replicas[name] for name in reached})
    repository, found = with_listing(invocation, asked, list_snapshots)
    hosts = {one.source_id: host_of(repository, one.commit) for one in found}
    away = sum(not one.reachable for one in replicas)
    counted = [one for one in found if len(one.replicas) + away >= config.repository.quorum]
    return judge_sources(counted, allowed, invocation.clock.now_utc(), hosts)


def _verdict(
    invocation: Invocation,
    replicas: Sequence[ReplicaStatus],
    sources: Sequence[SourceState],
    trust: Sequence[FarshoreError],
) -> int:
    """Print errors for findings above a warning, and return the exit code."""
    damaged = [one.replica for one in replicas if state_of(one) == "damaged"]
    if damaged:
        invocation.output.error(VerifyFailed(f"the last check found damage at {', '.join(damaged)}"))
    for empty in [one for one in replicas if state_of(one) == "empty"]:
        invocation.output.error(ReplicaEmpty(f"{empty.replica} lists no snapshot, and others list {empty.behind:,}"))
    if not any(one.snapshots for one in replicas) and any(one.reachable for one in replicas):
        invocation.output.warning("no replica that could be asked lists a snapshot", "no-snapshots")
    for error in (*trust, *clock_errors(replicas), *errors_of(sources)):
        invocation.output.error(error)
    return exit_code_of(replicas, sources, trust)


COMMAND = Command(
    name="status",
    summary="show whether replicas are there, in sync and proven",
    description=(
        "Show for each replica whether it is reachable, how many snapshots it holds, how many it is behind the others, "
        "its last check, and how it was proven; and for each source with an rpo (or with --max-age) whether its last "
        "complete snapshot is young enough. The exit code is made for monitoring: the first that applies of 37, 38, "
        "33, 61, 71, 39, 62, 36, 80, 85, 20, 78, 84, 86, 3, 0."
    ),
    example="farshore status --max-age 26h || alert 'farshore: look at the backups'",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        ConfigInvalid,
        SecretUnavailable,
        RepositoryMissing,
        StoreUnavailable,
        ExtraMissing,
        VerifyFailed,
        ClockWrong,
        BackupOverdue,
        SnapshotIncomplete,
        ReplicaEmpty,
        *TRUST_FAILURES,
    ),
    exits=((EXIT_WARNINGS, "a replica is behind, none lists a snapshot, or a source's last snapshot is doubtful"),),
)
