"""The part of `farshore status` about sources: whether each has a good snapshot that is young enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from farshore.cli.wording import plain, utc_time
from farshore.errors import BackupOverdue, ClockWrong, FarshoreError, SnapshotIncomplete
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.ask.source_states import SourceState


_STANDBY_HINT = (
    "See whether the standby still follows its primary (pg_stat_wal_receiver, pg_is_wal_replay_paused), or back up the "
    "primary; only a role in pg_monitor sees how old a standby's data is."
)


def print_sources(output: Output, states: Sequence[SourceState]) -> None:
    """Print a record and a row for each source."""
    for one in states:
        output.raw(
            {
                "type": "source",
                "source": one.source,
                "latest_utc": plain(one.latest_utc),
                "data_utc": plain(one.data_utc),
                "age_s": plain(one.age),
                "allowed_s": plain(one.allowed),
                "overdue": one.overdue,
                "state": one.state,
                "newest_utc": plain(one.newest_utc),
                "incomplete": one.incomplete,
                "lacking": one.lacking,
                "shrunken": one.shrunken,
                "misdated": one.misdated,
            }
        )
    if states:
        behind = any(one.behind for one in states)
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
                for one in states
            ],
        )
    for one in states:
        if one.shrunken:
            output.warning(
                f"{one.source}: the snapshot of {utc_time(one.newest_utc)} has less than half of the entries or bytes "
                "of the one before",
                code="source-shrunken",
            )
        if one.incomplete and one.state != "incomplete":
            output.warning(
                f"{one.source}: the snapshot of {utc_time(one.newest_utc)} is INCOMPLETE: it lacks what "
                f"{count_of(one.lacking, 'problem')} of its backup named",
                code="snapshot-incomplete",
            )


def errors_of(states: Sequence[SourceState]) -> list[FarshoreError]:
    """Return what is graver than a warning, the gravest first."""
    return [
        *(_misdated(one) for one in states if one.state == "misdated"),
        *(_overdue(one) for one in states if one.overdue and one.state in ("overdue", "unknown")),
        *(_incomplete(one) for one in states if one.state == "incomplete"),
    ]


def _misdated(one: SourceState) -> ClockWrong:
    return ClockWrong(
        f"a snapshot of {one.source} is dated later than its replicas received it, or than it is now by this host's "
        f"clock; the last one that can be right is of {utc_time(one.newest_utc)}"
    )


def _overdue(one: SourceState) -> BackupOverdue:
    standby = one.behind or one.state == "unknown"
    said = f"the newest snapshot of {one.source} {_format_data_age(one)}; {format_age(one.allowed)} is allowed"
    return BackupOverdue(said, _STANDBY_HINT if standby else None)


def _format_data_age(one: SourceState) -> str:
    if one.latest_utc is None:
        return "is missing: there is none"
    if one.age is None:
        return "is of a standby that did not report how old its data is"
    return f"has data that is {format_age(one.age)} old" if one.behind else f"is {format_age(one.age)} old"


def _incomplete(one: SourceState) -> SnapshotIncomplete:
    last = f"the last complete one is {format_age(one.age)} old" if one.age else "there is no complete one"
    made = count_of(one.incomplete, "backup was", "backups were")
    return SnapshotIncomplete(
        f"{made} made of {one.source}, the last at {utc_time(one.newest_utc)}, and each is incomplete; {last}, and "
        f"{format_age(one.allowed)} is allowed"
    )


def format_age(age: timedelta | None) -> str:
    """Return an age or a limit such as `1d2h`, or nothing; a future moment has a sign."""
    from farshore.config import format_duration

    if age is None:
        return ""
    return format_duration(age) if age >= timedelta() else f"-{format_duration(-age)}"
