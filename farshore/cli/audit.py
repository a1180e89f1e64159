"""`farshore audit`: keep the audit tables ready for engines that read the buckets themselves."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.status import duration
from farshore.cli.wording import elapsed, human_bytes, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    FarshoreError,
    KeyMissing,
    LogForked,
    ObjectCorrupt,
    ObjectNotFound,
    StateUnknown,
    StoreDenied,
    StoreUnavailable,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.audit.fold import FoldedMonth
    from farshore.audit.fold_sweep import SweptReplica
    from farshore.cli.output import Output

_SHOWN_MAX = 5


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--replica", metavar="NAME", help="at this replica alone")
    parser.add_argument("--rebuild", action="store_true", help="delete the logs that are there, and write them anew")


def index(invocation: Invocation) -> int:
    """Write the Delta logs."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.audit.index import index_replica, require_maintainer
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    writes = Writes.ALL if arguments.rebuild else Writes.ROWS
    failed: dict[str, FarshoreError] = {}
    with (
        opened_repository(invocation, config, need=Need.MOST, writes=writes, replica=arguments.replica) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        require_maintainer(repository)
        run = Run.start(invocation.clock, progress=progress)
        for name, replica in repository.replicas.items():
            try:
                found = index_replica(repository, replica, run=run, rebuild=arguments.rebuild)
            except (ObjectCorrupt, ObjectNotFound, StateUnknown, StoreUnavailable, StoreDenied) as error:
                failed[name] = error
                continue
            for one in found:
                output.record("indexed", one)
            files, new = sum(one.files for one in found), sum(one.added for one in found)
            output.line(f"{name}: {count_of(files, 'file')} in {count_of(len(found), 'table')}, {new} of them new")
        whole = not repository.unasked
    for name, reason in failed.items():
        output.warning(f"{name}: {shown_text(reason.message)}. {reason.hint}", code=reason.code)
    if failed and len(failed) == len(repository.replicas):
        raise next(iter(failed.values()))
    return EXIT_DONE if whole and not failed else EXIT_WARNINGS


def add_fold_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be folded and deleted, change nothing")
    parser.add_argument(
        "--grace", type=grace, metavar="DURATION",
        help="from a fold until the replaced files are deleted (default: 7d)",
    )  # fmt: skip


def fold(invocation: Invocation) -> int:
    """Fold months that are over, and delete the replaced files."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.audit.fold import FoldOptions, fold_tables
    from farshore.audit.fold_sweep import GRACE
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    options = FoldOptions(
        dry_run=arguments.dry_run, grace=GRACE if arguments.grace is None else arguments.grace, keep=config.audit.keep
    )
    writes = Writes.NONE if options.dry_run else Writes.ALL
    with (
        opened_repository(invocation, config, need=Need.MOST, writes=writes) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        result = fold_tables(repository, options, Run.start(invocation.clock, progress=progress))
    output.record("fold", result, done=result.done)
    for month in result.months:
        output.line(_month_line(month, dry_run=result.dry_run))
    if not result.months:
        output.line("nothing to fold")
    for one in result.replicas:
        _print_swept(output, one, dry_run=result.dry_run)
    if result.unfolded:
        output.warning(
            f"{count_of(len(result.unfolded), 'file')} not folded, because nobody who sealed it may say its rows: "
            f"{', '.join(result.unfolded[:_SHOWN_MAX])}"
        )
    if result.unexpired:
        output.warning(shown_text(result.unexpired))
    duration_text = elapsed(result.finished_utc - result.started_utc)
    output.line(f"nothing was changed (dry run); {duration_text}" if result.dry_run else f"in {duration_text}")
    return EXIT_DONE if result.done else EXIT_WARNINGS


def _month_line(one: FoldedMonth, *, dry_run: bool) -> str:
    before = f"{count_of(one.files_before, 'file')}, {human_bytes(one.bytes_before)}"
    after = "" if dry_run else f" into {count_of(one.files, 'file')}, {human_bytes(one.bytes)}"
    said = f"rows until {one.expired} left out of" if one.expired else "folded"
    where = f"{one.month:%Y-%m} of {shown_text(one.host) or one.chain}"
    return f"{where}: {'would be ' if dry_run and not one.expired else ''}{said} {before}{after}"


def _print_swept(output: Output, one: SweptReplica, *, dry_run: bool) -> None:
    if one.error:
        output.warning(f"{one.replica}: {shown_text(one.error)}", code=one.error_code)
        return
    deleted = f"{count_of(one.deleted, 'object')}, {human_bytes(one.freed)}, {'would be ' if dry_run else ''}deleted"
    waiting = f"; {count_of(one.waiting, 'object')} stay until {utc_time(one.waiting_until_utc)}" if one.waiting else ""
    locked = f"; {count_of(one.locked, 'object')} locked" if one.locked else ""
    output.line(f"{one.replica}: {deleted}{waiting}{locked}")
    for name, reason in list(one.left.items())[:_SHOWN_MAX]:
        output.warning(f"{one.replica}: {name} stays: {shown_text(reason)}", "fold-unproven", replica=one.replica)


def grace(text: str) -> timedelta:
    """Return a duration, which may be nothing."""
    return timedelta(0) if text.strip("0") in ("", "s") else duration(text)


COMMAND = Command(
    name="audit",
    summary="fold the audit tables, and keep them ready for SQL engines that read the buckets",
    description=(
        "The audit tables are folders of Parquet at every replica. A fold makes few files of the many that runs wrote; "
        "an index is what other engines read beside them. 'farshore sql' asks the tables themselves."
    ),
    example="farshore audit fold\nfarshore audit index",
    children=(
        Command(
            name="fold",
            acts=True,
            summary="make few files of the audit files of each month that is over",
            description=(
                "Prove the audit files of each host and month, write their rows into one file for each table, seal "
                "them, and give them to every replica. 7 days later another fold reads them back from each replica, "
                "compares them with the files that they replace, and deletes those. The daily seals of each "
                "host stay, and name the seals that went. Rows older than audit.keep go, but for those about objects "
                "and snapshots that still exist. The Delta logs are brought up. Locked files stay until their lock "
                "ends. Needs a key with the right to maintain, best on a host that makes no backups. Run it daily, or "
                "with each prune."
            ),
            example="farshore audit fold --dry-run\nfarshore audit fold --json",
            add_arguments=add_fold_arguments,
            execute=fold,
            failures=(*OPENING, KeyMissing, LogForked, ObjectCorrupt, StateUnknown),
            exits=((EXIT_WARNINGS, "a replica was not swept, or has files that a fold does not prove"),),
            shows_progress=True,
            interrupted="every row is still there; run it again and it goes on",
        ),
        Command(
            name="index",
            acts=True,
            summary="write a Delta log beside each table, at each replica",
            description=(
                "Write or continue a Delta log in the folder of each table: the files that count now, with bounds of "
                "their columns, so that engines list nothing, skip files, and show the table as it was at an earlier "
                "version. Only files that a certified seal vouches for are in it. It is derived and not signed: "
                "'farshore sql' does not use it, and --rebuild makes it again. Needs a key with the right to maintain."
            ),
            example="farshore audit index --replica iowa\nfarshore audit index --rebuild --json",
            add_arguments=add_index_arguments,
            execute=index,
            failures=(*OPENING, KeyMissing, ObjectCorrupt, StateUnknown),
            exits=((EXIT_WARNINGS, "done, and a replica could not be indexed"),),
            interrupted="run it again: it goes on from what is there",
        ),
    ),
)
