"""`farshore lock`: how long a snapshot is locked at each replica; extend that, and legal holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import choose_snapshot
from farshore.cli.opening import able_to_write, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.status import duration
from farshore.cli.wording import shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, LockDenied, LockUnsupported, SnapshotUnknown, StoreUnavailable
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.locks.locking import SnapshotLocks


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="an id or prefix of one, SOURCE, or SOURCE@TIME")
    parser.add_argument("--replica", metavar="NAME", help="at this replica alone")


def add_extend_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_check_arguments(parser)
    parser.add_argument(
        "--for", dest="period", required=True, type=duration, metavar="DURATION", help="from now on, for instance 365d"
    )


def add_hold_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_check_arguments(parser)
    parser.add_argument("state", choices=("on", "off"), help="put the hold, or lift it")


def check(invocation: Invocation) -> int:
    """Ask for the lock of every object."""
    return _at_each(invocation)


def extend(invocation: Invocation) -> int:
    """Extend the lock of every object."""
    return _at_each(invocation, period=invocation.arguments.period)


def hold(invocation: Invocation) -> int:
    """Put or lift a legal hold on every object."""
    return _at_each(invocation, held=invocation.arguments.state == "on")


def _at_each(invocation: Invocation, *, period: timedelta | None = None, held: bool | None = None) -> int:
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.locks.locking import check_locks, extend_locks, set_holds
    from farshore.run import Run

    arguments = invocation.arguments
    config = able_to_write(invocation, invocation.config())
    with (
        opened_repository(
            invocation, config, need=Need.WRITE, writes=Writes.ALL, replica=arguments.replica
        ) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        snapshot = choose_snapshot(invocation.output, repository, arguments.snapshot)
        run = Run.start(invocation.clock, progress=progress)
        if period is not None:
            found = extend_locks(repository, snapshot, period, run=run)
        elif held is not None:
            found = set_holds(repository, snapshot, held=held, run=run)
        else:
            found = check_locks(repository, snapshot, run=run)
    directories = frozenset(name for name, one in config.replicas.items() if one.url.startswith("file://"))
    return _print(invocation, found, directories, whole=not repository.unasked)


def _print(invocation: Invocation, found: Sequence[SnapshotLocks], directories: frozenset[str], *, whole: bool) -> int:
    output = invocation.output
    for one in found:
        output.record("locks", one)
    if any(not one.error_code for one in found):
        _draw(output, found)
    failed = [one for one in found if one.error_code]
    can_lock = [one for one in found if one.error_code != LockUnsupported.code or one.replica not in directories]
    if found and not can_lock:
        output.error(
            LockUnsupported("every replica of this snapshot is a directory, which has no locks", _NEEDS_BUCKET)
        )
        return LockUnsupported.exit_code
    for one in failed:
        if one in can_lock:
            output.warning(f"{one.replica}: {one.error_code}: {shown_text(one.error)}")
        else:
            output.warning(f"{one.replica}: a directory has no locks, so nothing is changed there", code=one.error_code)
    if can_lock and all(one.error_code for one in can_lock):
        kinds = {one.code: one for one in (LockDenied, LockUnsupported)}
        kind = kinds.get(can_lock[0].error_code, StoreUnavailable)
        output.error(kind(can_lock[0].error))
        return kind.exit_code
    broken = [one for one in found if _is_broken(one)]
    for one in broken:
        said = f"{one.replica} keeps less than its commit record promises: {count_of(one.unlocked, 'object')} unlocked"
        output.warning(said if one.unlocked else f"{said}, the first free at {utc_time(one.locked_until_utc)}")
    return EXIT_DONE if whole and not failed and not broken else EXIT_WARNINGS


def _draw(output: Output, found: Sequence[SnapshotLocks]) -> None:
    output.table(
        ("replica", "locked until", "mode", "promised", "objects", "changed", "unlocked", "held"),
        [
            (
                one.replica,
                utc_time(one.locked_until_utc) if one.locked_until_utc else "not locked",
                one.mode,
                utc_time(one.promised_until_utc),
                str(one.objects),
                str(one.changed),
                str(one.unlocked),
                str(one.held),
            )
            for one in found
            if not one.error_code
        ],
        right=frozenset({"objects", "changed", "unlocked", "held"}),
    )


def _is_broken(found: SnapshotLocks) -> bool:
    """Whether a replica keeps less than was promised."""
    promised, locked = found.promised_until_utc, found.locked_until_utc
    return promised is not None and not found.error_code and (locked is None or locked < promised)


_FAILURES = (*OPENING, SnapshotUnknown, StoreUnavailable, LockDenied, LockUnsupported)
_NEEDS_BUCKET = "Locks and holds need a bucket that has them: docs/stores/immutability.md says which do."
_WARNED = (
    (
        EXIT_WARNINGS,
        "a replica could not be asked, lacks the snapshot, or keeps less than it promised",
    ),
)

COMMAND = Command(
    name="lock",
    summary="look at the locks of a snapshot, extend them, hold it",
    description="Look at the locks of one snapshot at every replica that holds it, extend them, or put a legal hold.",
    example="farshore lock check home",
    children=(
        Command(
            name="check",
            summary="ask for the lock of every object that a snapshot needs",
            description=(
                "Ask each replica that holds the snapshot for the lock of every object it needs there, and show the "
                "least: from that moment on something of it could be deleted. One request for each object, two where "
                "the service keeps holds apart. 'farshore snapshots --locks' shows promised locks, without asking."
            ),
            example="farshore lock check home\nfarshore lock check home@2026-01-31 --replica oslo --json",
            add_arguments=add_check_arguments,
            execute=check,
            failures=_FAILURES,
            exits=_WARNED,
            shows_progress=True,
        ),
        Command(
            name="extend",
            acts=True,
            summary="lock everything that a snapshot needs for longer",
            description=(
                "Lock every object that the snapshot needs, at each replica that is configured with a lock, for a "
                "period from now on. Never shortens a lock. Only the snapshot's own backups extend locks by themselves."
            ),
            example="farshore lock extend home@2025-12-31 --for 3650d",
            add_arguments=add_extend_arguments,
            execute=extend,
            failures=_FAILURES,
            exits=_WARNED,
            shows_progress=True,
            interrupted="locks that were extended stay so; run it again for the rest",
        ),
        Command(
            name="hold",
            acts=True,
            summary="put a legal hold on a snapshot, or lift it",
            description=(
                "Put a legal hold on every object that the snapshot needs, or lift it. A hold has no end of its own. "
                "Snapshots share objects: lifting the hold of one lifts it from what another held snapshot shares."
            ),
            example="farshore lock hold home@2025-12-31 on",
            add_arguments=add_hold_arguments,
            execute=hold,
            failures=_FAILURES,
            exits=_WARNED,
            shows_progress=True,
            interrupted="holds that were changed stay so; run it again for the rest",
        ),
    ),
)
