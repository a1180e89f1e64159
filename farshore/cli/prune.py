"""`farshore prune`: delete what no kept snapshot needs."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.output import Output
from farshore.cli.progress import reporter_for
from farshore.cli.refused import warn_refused
from farshore.cli.status import duration
from farshore.cli.wording import elapsed, format_requests, human_bytes, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    DeleteUnsupported,
    LogForked,
    PruneRefused,
    StoreUnsafe,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.ops.prune.outcome import Amount, DeleteMax, PrunedReplica, PruneResult, WaitedLease

_LEASES_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--replica", metavar="NAME", help="prune this replica alone")
    parser.add_argument("--dry-run", action="store_true", help="say what would go and what stays, and change nothing")
    parser.add_argument(
        "--max-delete", type=delete_max, metavar="N|PERCENT",
        help="refuse where more packs, or a larger share of the bytes, would go at a replica (default: 50%%)",
    )  # fmt: skip
    parser.add_argument(
        "--max-time", type=duration, metavar="DURATION",
        help="begin no deletion and wait for no writer after this, for instance 4h; the next prune goes on",
    )  # fmt: skip
    parser.add_argument(
        "--grace", type=grace, metavar="DURATION",
        help="how long what was forgotten, or is needed by nothing, stays (default: 7d)",
    )  # fmt: skip
    parser.add_argument(
        "--even-last", action="store_true",
        help="also where a source loses its newest complete snapshot, or every one that was proven",
    )  # fmt: skip
    parser.add_argument(
        "--empty-trash", action="store_true",
        help="delete for good what directories keep of earlier prunes, however new it is",
    )  # fmt: skip


def delete_max(text: str) -> DeleteMax:
    """Return a number of packs, or a share of the bytes with a percent sign."""
    from farshore.ops.prune.outcome import DeleteMax

    try:
        return DeleteMax.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def grace(text: str) -> timedelta:
    """Return a duration, which may be nothing."""
    return timedelta(0) if text.strip("0") in ("", "s") else duration(text)


def execute(invocation: Invocation) -> int:
    """Prune, and print what became of each replica."""
    from farshore import limits
    from farshore.access.open_replica import Writes
    from farshore.access.read_prices import deletion_prices
    from farshore.access.unlock import Need
    from farshore.ops.prune.outcome import PruneOptions
    from farshore.ops.prune.prune import prune_repository
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    options = PruneOptions(
        replica=arguments.replica,
        dry_run=arguments.dry_run,
        delete_max=arguments.max_delete,
        max_time=arguments.max_time,
        grace=timedelta(seconds=limits.PRUNE_GRACE_S) if arguments.grace is None else arguments.grace,
        empty_trash=arguments.empty_trash,
        even_last=arguments.even_last,
        early_prices=deletion_prices(config),
    )
    writes = Writes.NONE if options.dry_run else Writes.ALL
    with (
        opened_repository(invocation, config, need=Need.MOST, writes=writes) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        result = prune_repository(repository, options, Run.start(invocation.clock, progress=progress))
    warn_refused(output, repository.refused.values(), repository.unread)
    output.record("prune", result, done=result.done)
    for one in result.replicas:
        _print(output, one)
    duration_text = elapsed(result.finished_utc - result.started_utc)
    output.line(f"nothing was changed (dry run); {duration_text}" if result.dry_run else f"in {duration_text}")
    output.lines(format_requests(result.requests))
    return exit_code_of(output, result)


def exit_code_of(output: Output, result: PruneResult) -> int:
    """Print an error where a replica was refused or failed, and return the exit code."""
    from farshore.ops.prune.outcome import refusal_of

    refusal = refusal_of(result)
    if refusal is not None:
        output.error(refusal)
        return refusal.exit_code
    return EXIT_DONE if result.done else EXIT_WARNINGS


def _print(output: Output, one: PrunedReplica) -> None:
    from farshore.ops.prune.outcome import PruneState

    name = one.replica
    if one.state in (PruneState.REFUSED, PruneState.FAILED):
        said = "nothing was deleted" if one.state is PruneState.REFUSED else "not pruned"
        output.line(f"{name}: {said}: {shown_text(one.error)}")
    elif one.state is PruneState.CLEAN:
        output.line(f"{name}: nothing to delete")
    elif one.state is PruneState.PLANNED:
        forgotten = count_of(len(one.forgotten), "forgotten snapshot")
        output.line(f"{name}: {_amount(one.garbage)} would go, of {forgotten} and of what nothing needs")
    elif one.state is PruneState.PRUNED:
        output.line(f"{name}: {_amount(one.freed)} deleted by plan {one.plan}")
    else:
        output.line(f"{name}: plan {one.plan} is not finished, {_amount(one.freed)} deleted so far; run it again")
    for line in _kept(one):
        output.line(f"  {line}")
    for waits in one.waits_for[:_LEASES_SHOWN]:
        output.warning(f"{name} waits for {_lease(waits)}", "prune-waits", replica=name, lease=waits.lease)
    if one.failed:
        output.warning(f"{name}: {count_of(one.failed, 'object')} could not be deleted; the next prune tries again")
    if one.foreign:
        output.warning(f"{name}: {count_of(one.foreign, 'name')} of commits that nobody certified signed; left alone")


def _kept(one: PrunedReplica) -> list[str]:
    """Return what is not deleted, and when it is."""
    lines = []
    if one.early.objects:
        lines.append(
            f"{count_of(one.early.objects, 'pack')} of it, {human_bytes(one.early.bytes)}, before the shortest time of "
            f"their storage class: {one.early.price} billed all the same"
        )
    if one.locked.objects:
        until = f", the first until {utc_time(one.locked_until_utc)}" if one.locked_until_utc else " by legal holds"
        lines.append(f"{_amount(one.locked)} locked{until}: what is freed later")
    if one.in_grace:
        until = utc_time(one.grace_until_utc)
        lines.append(f"{count_of(one.in_grace, 'forgotten snapshot')} may still be taken back, the first until {until}")
    if one.young.objects:
        lines.append(f"{_amount(one.young)} without use stay until they are older")
    if one.rescued:
        lines.append(f"{count_of(one.rescued, 'object')} needed again, and kept")
    if one.folded:
        lines.append(f"{count_of(one.folded, 'tombstone object')} folded into a signed set")
    if one.trash_emptied.objects:
        lines.append(f"{_amount(one.trash_emptied)} deleted for good from the trash")
    if one.trash.objects:
        lines.append(
            f"{count_of(one.trash.objects, 'object')}, {human_bytes(one.trash.bytes)}, in the trash since "
            f"{utc_time(one.trash.oldest_utc)}; freed after 7 days, or with --empty-trash"
        )
    return lines


def _lease(lease: WaitedLease) -> str:
    since = f" since {utc_time(lease.since_utc)}" if lease.since_utc else ""
    return f"lease {lease.lease} of {shown_text(lease.host) or 'a writer'}{since}, key {lease.signer}"


def _amount(amount: Amount) -> str:
    return f"{count_of(amount.objects, 'object')}, {human_bytes(amount.bytes)},"


COMMAND = Command(
    name="prune",
    summary="delete what no kept snapshot needs, while writers write",
    description=(
        "Delete at each replica what only forgotten snapshots needed and what killed runs left, each replica by "
        "itself, while writers are at work. A plan is published first; writers keep off what it names, and those at "
        "work are waited for. Nothing that is locked goes. What was forgotten less than 7 days ago stays. A directory "
        "moves what goes to a trash, which a prune empties after 7 days. Refuses where a replica does not show enough "
        "to delete on. May be stopped and run again. Needs a key with the right to maintain, best on a host that "
        "makes no backups."
    ),
    example="farshore prune --dry-run\nfarshore prune --replica oslo --max-delete 80% --max-time 4h",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, LogForked, StoreUnsafe, DeleteUnsupported, PruneRefused),
    exits=((EXIT_WARNINGS, "a plan is not finished: writers are at work, or the time was over; run it again"),),
    acts=True,
    shows_progress=True,
    interrupted="every snapshot is whole; run it again and it goes on with the same plan",
)
