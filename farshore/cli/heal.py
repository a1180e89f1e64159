"""`farshore heal`: bring replicas back in sync, and mend what is damaged. Also `replica add` and `retire`."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.lost import report_lost
from farshore.cli.opening import UnaskedWarnings, able_to_write, waiting_note
from farshore.cli.output import Output
from farshore.cli.progress import reporter_for
from farshore.cli.refused import warn_refused
from farshore.cli.wording import elapsed, format_requests, human_bytes, shown_text
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    ConfigInvalid,
    HealIncomplete,
    HistoryCut,
    KeyMissing,
    LeaseLost,
    LifecycleDeletes,
    LockUnsupported,
    ReplicaEmpty,
    ReplicaNeeded,
    RepositoryMissing,
    StoreFull,
    StoreUnavailable,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from farshore.config import Config
    from farshore.repair.outcome import HealedReplica, HealResult

REPAIRS_SHOWN_MAX = 20  # a person reads these; the JSON record has the first thousand
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)i?B?(?:/s)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3}


def add_copy_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of whatever copies objects from replica to replica."""
    parser.add_argument(
        "--bandwidth",
        type=rate,
        default=0,
        metavar="RATE",
        help="limit in bytes a second through this host, such as 20MB; provider-side copies are not counted",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be copied, and change nothing")
    parser.add_argument(
        "--keyless", action="store_true", help="use no key although one is configured, as a replicator has none"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--replica", metavar="NAME", help="heal this replica alone")
    parser.add_argument(
        "--read-data", action="store_true", help="also read every object at the replicas that are healed, and hash it"
    )
    add_copy_arguments(parser)


def rate(text: str) -> int:
    """Return bytes a second: a figure with K, M or G (1024 each), with or without B and /s."""
    match = _RATE.fullmatch(text.strip())
    count = int(float(match[1]) * 1024 ** _POWERS[match[2].upper()]) if match else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a rate such as 500K or 20MB, not {text!r}")
    return count


def execute(invocation: Invocation) -> int:
    """Heal, and report."""
    return heal_and_print(invocation, invocation.config(), invocation.arguments.replica, ())


def add_replica(invocation: Invocation) -> int:
    """Fill a new replica, and report. A place that cannot keep what it is given is refused first."""
    from farshore.access.bucket_checks import check_bucket

    config, name = invocation.config(), invocation.arguments.name
    require_replica(config, name)
    for mark in check_bucket(config, config.replicas[name], invocation.clock):
        if mark.refusal is not None:
            raise mark.refusal
        show = invocation.output.warning if mark.hint else invocation.output.note
        show(f"{name}: {mark.said}{f'. {mark.hint}' if mark.hint else ''}")
    return heal_and_print(invocation, config, name, (name,))


def require_replica(config: Config, name: str) -> None:
    """Raise `ConfigInvalid` unless the configuration has a replica of this name."""
    if name not in config.replicas:
        raise ConfigInvalid(
            f"no replica is called {name!r}",
            f"Write a section [replicas.{name}] first. Configured are: {', '.join(config.replicas)}.",
        )


def heal_and_print(invocation: Invocation, config: Config, replica: str | None, new: Collection[str]) -> int:
    """Heal one replica or all, print the result, and return the exit code."""
    from farshore.ops.heal.context import open_context
    from farshore.ops.heal.heal import HealOptions, heal_repository
    from farshore.ops.heal.provider_copies import ProviderCopies
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    options = HealOptions(
        replica=replica,
        new=new,
        read_data=getattr(arguments, "read_data", False),
        bandwidth=arguments.bandwidth,
        dry_run=arguments.dry_run,
    )
    with (
        open_context(
            config, keyless=arguments.keyless, on_wait=waiting_note(output), clock=invocation.clock
        ) as context,
        ProviderCopies(config, invocation.clock) as copy_within,
        reporter_for(invocation, context.moved) as progress,
    ):
        warnings = UnaskedWarnings(output)
        warnings.show(context.repository.unasked)
        result = heal_repository(
            context,
            options,
            copy_within=copy_within,
            planned=lambda ahead: _note_ahead(output, ahead),
            run=Run.start(invocation.clock, progress=progress),
        )
    warnings.show(context.repository.unasked)
    warn_refused(output, context.repository.refused.values(), context.repository.unread)
    output.record("heal", result, level=result.in_sync)
    _print(invocation, result)
    return exit_code_of(invocation, result)


def _note_ahead(output: Output, replicas: Collection[HealedReplica]) -> None:
    for line in format_missing(replicas):
        output.note(line)


def format_missing(replicas: Collection[HealedReplica]) -> list[str]:
    """Return a line for each replica that lacks objects, printed before they are copied."""
    return [
        f"{one.replica}: {count_of(one.missing, 'object')} missing, {human_bytes(one.bytes_missing)} to copy"
        for one in replicas
        if one.missing
    ]


def _print(invocation: Invocation, result: HealResult) -> None:
    output = invocation.output
    for repair in [one for one in result.repairs if one.open][:REPAIRS_SHOWN_MAX]:
        output.warning(f"{repair.replica}: {repair.object} is {repair.found}: {shown_text(repair.detail)}")
    if result.open > REPAIRS_SHOWN_MAX:
        output.warning(f"{count_of(result.open - REPAIRS_SHOWN_MAX, 'more object')}; --json lists the first 1,000")
    for one in result.replicas:
        if one.foreign:
            output.warning(
                f"{one.replica}: {count_of(one.foreign, 'foreign object')}, left alone; keep nothing else there"
            )
        output.line(_format_replica(one, dry_run=result.dry_run))
    duration = elapsed(result.finished_utc - result.started_utc)
    if result.dry_run:
        output.line(f"nothing was changed (dry run); {duration}")
    elif result.changed:
        output.line(f"{'without a key' if result.keyless else 'with a key'} in {duration}")
    elif result.in_sync:
        compared = count_of(result.snapshots, "snapshot")
        output.line(f"nothing to do: {compared}, and all that was looked at is in sync; {duration}")
    output.lines(format_requests(result.requests))


def _format_replica(one: HealedReplica, *, dry_run: bool) -> str:
    from farshore.repair.outcome import HealedState

    if one.state is HealedState.FAILED:
        return f"{one.replica}: not healed: {shown_text(one.error)}"
    if dry_run:
        return f"{one.replica}: {count_of(one.missing, 'object')} missing, {human_bytes(one.bytes_missing)} to copy"
    parts = [str(one.state)]
    if one.copied:
        parts.append(f"{count_of(one.copied, 'object')} copied ({human_bytes(one.bytes_copied)})")
    if one.snapshots_added:
        parts.append(f"{count_of(one.snapshots_added, 'snapshot')} added")
    if one.replaced:
        parts.append(f"{count_of(one.replaced, 'damaged object')} replaced")
    if one.open:
        parts.append(f"{count_of(one.open, 'object')} missing or damaged still")
    if one.error:
        parts.append(f"stopped: {shown_text(one.error)}")
    return f"{one.replica}: {', '.join(parts)}"


def exit_code_of(invocation: Invocation, result: HealResult) -> int:
    """Print an error where a replica is not in sync, and return the exit code; a dry run succeeds."""
    from farshore.repair.outcome import heal_error

    if not result.snapshots:
        invocation.output.warning("no replica lists a snapshot, so there was nothing to compare", "no-snapshots")
    done = EXIT_DONE if result.snapshots else EXIT_WARNINGS
    if result.lost:
        return report_lost(invocation.output, result.lost, done)
    if result.in_sync or result.dry_run:
        return done
    error = heal_error(result)
    invocation.output.error(error)
    return error.exit_code


def add_add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replica add`."""
    parser.add_argument("name", metavar="NAME", help="a replica of farshore.toml that is new")
    add_copy_arguments(parser)


def add_retire_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replica retire`."""
    parser.add_argument("name", metavar="NAME", help="the replica to do without")
    parser.add_argument(
        "--lost", action="store_true", help="it will never answer again: do not ask it for what exists only there"
    )


def retire(invocation: Invocation) -> int:
    """Check that the repository can do without a replica, write that down, and say what to change."""
    from farshore.ops.heal.retire import retire_replica
    from farshore.run import Run

    config, arguments, output = invocation.config(), invocation.arguments, invocation.output
    require_replica(config, arguments.name)
    result = retire_replica(
        able_to_write(invocation, config), arguments.name, lost=arguments.lost, run=Run.start(invocation.clock)
    )
    output.record("retired", result)
    output.line(
        f"{result.replica} is retired: {count_of(result.snapshots, 'snapshot')} there, "
        f"each held at a quorum of {', '.join(result.left)}"
    )
    output.line(f"now remove the section [replicas.{result.replica}] from {config.path or 'farshore.toml'}")
    output.line(f"nothing was deleted: {result.url} is yours to keep or to empty")
    return EXIT_DONE


_FAILURES = (*OPENING, StoreUnavailable, StoreFull, LeaseLost, HistoryCut, HealIncomplete, ReplicaEmpty)
_WARNED = ((EXIT_WARNINGS, "no replica lists a snapshot, so there was nothing to compare"),)
_INTERRUPTED = "copied objects are kept; run it again and it goes on from there"

ADD = Command(
    name="add",
    acts=True,
    summary="fill a new replica with everything that the others hold",
    description=(
        "Copy a whole repository to a replica that farshore.toml names and that is empty: packs, indexes, keys, slots, "
        "header, snapshots, audit tables, in an order in which it never lists a snapshot that is not whole there. Says "
        "first how much there is to copy. Needs no key. May be stopped and run again."
    ),
    example="farshore replica add iowa --dry-run\nfarshore replica add iowa --bandwidth 20MB",
    add_arguments=add_add_arguments,
    execute=add_replica,
    failures=(*_FAILURES, LockUnsupported, LifecycleDeletes),
    exits=_WARNED,
    shows_progress=True,
    interrupted=_INTERRUPTED,
)

RETIRE = Command(
    name="retire",
    acts=True,
    summary="check that the repository can do without a replica, and write that down",
    description=(
        "Refuse where the quorum or the placement policy would break without a replica, or where a snapshot would be "
        "held by fewer of the others than the quorum. Otherwise write into the audit tables that it is retired, and "
        "say what to remove from farshore.toml. Deletes nothing."
    ),
    example="farshore replica retire oslo",
    add_arguments=add_retire_arguments,
    execute=retire,
    failures=(*OPENING, RepositoryMissing, KeyMissing, ReplicaNeeded),
    interrupted="nothing was changed",
)

COMMAND = Command(
    name="heal",
    acts=True,
    summary="bring replicas in sync with each other, and mend what is damaged",
    description=(
        "Copy to each replica what the others hold and it lacks, from the nearest that has a good copy, and replace "
        "objects whose bytes prove them damaged. Sizes are compared; with --read-data every object is read and hashed. "
        "A snapshot is listed at a replica only after everything it needs is whole there. Without a key everything is "
        "proven by names, checks and audit rows. Foreign objects are left alone. May be stopped and run again."
    ),
    example="farshore heal\nfarshore heal --replica oslo --bandwidth 20MB\nfarshore heal --read-data --dry-run",
    add_arguments=add_arguments,
    execute=execute,
    failures=_FAILURES,
    exits=_WARNED,
    shows_progress=True,
    interrupted=_INTERRUPTED,
)
