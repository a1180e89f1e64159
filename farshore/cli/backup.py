"""`farshore backup`: back up sources, one after the other; the worst outcome is the exit code."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import add_tag
from farshore.cli.lost import report_lost
from farshore.cli.opening import able_to_write, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.run_report import warn_of_problems
from farshore.cli.wording import elapsed, format_requests, human_bytes, shown_text
from farshore.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_WARNINGS,
    BackupRunning,
    ClockWrong,
    Failure,
    HistoryCut,
    LeaseLost,
    QuorumNotReached,
    SourceChanged,
    SourceCorrupt,
    SourceFileLeftOut,
    SourceMissing,
    SourceMoved,
    SourceUnavailable,
    SourceUnsupported,
    StateUnknown,
    StoreConflict,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.config import Config
    from farshore.replicas.repository import Repository
    from farshore.results import BackupResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="a name under [sources]")
    parser.add_argument("--all", action="store_true", help="back up every source that is configured")
    parser.add_argument(
        "--identity",
        default="",
        metavar="TEXT",
        help="scheduled moment or event id: a source that was committed under it is not backed up again",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 3 also when a replica was left behind although the quorum holds",
    )
    add_tag(parser, "--tag", "tag the new snapshot: a word or key=value; may be repeated")
    parser.add_argument(
        "--allow-empty",
        action="store_true",
        help="accept a source that is empty, although its last snapshot was not or there is none",
    )
    parser.add_argument(
        "--accept-new",
        action="store_true",
        help="accept, this once, that a source is another one than before: file system, host, cluster",
    )


def execute(invocation: Invocation) -> int:
    """Back up each source in turn; one that fails does not stop the next."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.config import checked_tags
    from farshore.format.names import FORGOTTEN, LEASES

    config, output = invocation.config(), invocation.output
    checked_tags(invocation.arguments.tag)
    names = [known_source(config, name) for name in _chosen(invocation, config)]  # all, before the first is begun
    _warn_of_placement(invocation, config)
    config = able_to_write(invocation, config)
    worst = EXIT_DONE
    with opened_repository(
        invocation, config, need=Need.WRITE, writes=Writes.ALL, ahead=(LEASES, FORGOTTEN)
    ) as repository:
        for name in names:
            try:
                result = _backup_one(invocation, config, repository, name)
            except Failure as error:
                output.error(error, about=name)
                worst = worse(worst, error.exit_code)
                continue
            _print(invocation, result)
            unsound = result.warned if invocation.arguments.strict else is_doubtful(result)
            worst = worse(worst, EXIT_WARNINGS if unsound else EXIT_DONE)
        return report_lost(output, repository.lost.values(), worst)


def is_doubtful(result: BackupResult) -> bool:
    """Whether a person should look at what was stored, wherever it was stored."""
    return result.counts.problems > 0 or result.shrunken_from is not None


def _warn_of_placement(invocation: Invocation, config: Config) -> None:
    """Warn of rules of the placement policy that the plan breaks. The backup counts all the same."""
    from farshore.config import PlacementConfig

    if config.placement == PlacementConfig():
        return
    from farshore.plan.rules import placement_allows

    for one in placement_allows(config):
        invocation.output.warning(f"placement: {one.rule}: {one.wanted} wanted, found {one.found}; {one.change}")


def worse(one: int, other: int) -> int:
    """Return the graver of two exit codes: done, warnings, errors by their number, and a bug above all."""

    def gravity(code: int) -> tuple[int, int]:
        return (2 if code == EXIT_BUG else 1 if code not in (EXIT_DONE, EXIT_WARNINGS) else 0, code)

    return max(one, other, key=gravity)


def _chosen(invocation: Invocation, config: Config) -> list[str]:
    arguments = invocation.arguments
    if arguments.all and arguments.sources:
        arguments.parser.error("give sources or --all, not both")
    if not config.sources:
        raise SourceMissing(f"{config.path} names no source", "Add a section like [sources.home] first.")
    if not arguments.all and not arguments.sources:
        arguments.parser.error(f"give at least one source ({', '.join(config.sources)}) or --all")
    return list(dict.fromkeys(arguments.sources)) or list(config.sources)


def _backup_one(invocation: Invocation, config: Config, repository: Repository, name: str) -> BackupResult:
    from farshore.access.open_source import open_source
    from farshore.ops.backup.backup import run_backup
    from farshore.run import Run

    source = open_source(config, name, clock=invocation.clock)
    invocation.output.note(f"{name}: backing up to {', '.join(config.replicas)}")
    with reporter_for(invocation, repository.moved) as progress:
        return run_backup(
            repository,
            source,
            identity=invocation.arguments.identity,
            tags=invocation.arguments.tag,
            allow_empty=invocation.arguments.allow_empty,
            accept_new=invocation.arguments.accept_new,
            run=Run.start(invocation.clock, progress=progress),
        )


def known_source(config: Config, name: str) -> str:
    """Return `name` if it is configured.

    Raises:
        SourceMissing: It is not; the message names the nearest.
    """
    if name in config.sources:
        return name
    close = get_close_matches(name, config.sources, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    raise SourceMissing(
        f"no source is called {name!r}", f"{meant}Configured are: {', '.join(config.sources) or 'none'}."
    )


def _print(invocation: Invocation, result: BackupResult) -> None:
    from farshore.results import WarningCode

    output, counts = invocation.output, result.counts
    output.record("backup", result, state=result.state, warned=result.warned, warnings=result.warnings)
    committed = [one.replica for one in result.replicas if one.committed]
    if result.already_done:
        output.line(
            f"{result.source}: snapshot {result.snapshot_id} was committed by an earlier attempt; nothing to do"
        )
        _warn_left_behind(output, result)
        return
    output.line(
        f"{result.source}: snapshot {result.snapshot_id} committed and read back at {len(committed)} of "
        f"{count_of(len(result.replicas), 'replica')} ({', '.join(committed)}; quorum {result.quorum})"
    )
    output.line(
        f"  read {human_bytes(counts.bytes_read)} of {human_bytes(counts.bytes_total)}, "
        f"new {human_bytes(counts.bytes_new)}, stored {human_bytes(counts.bytes_stored)} at each; "
        f"{count_of(counts.entries, 'entry', 'entries')}, {counts.entries_unchanged:,} unchanged; "
        f"{elapsed(result.finished_utc - result.started_utc)}"
    )
    output.lines(format_requests(result.requests))
    _warn_left_behind(output, result)
    for note in result.notes:
        output.note(f"  {result.source}: {shown_text(note)}")
    warn_of_problems(
        output, result.problems, about=f"{result.source}: ", total=counts.problems, listed="the first 1,000"
    )
    for one in result.warnings:
        if one.code is WarningCode.SOURCE_SHRUNKEN:
            output.warning(f"{result.source}: the source has shrunken suddenly: {one.message}", code=one.code)
    if not result.complete:
        _warn_incomplete(output, result)


def _warn_incomplete(output: Output, result: BackupResult) -> None:
    """Say that the snapshot does not count as a good one, and how the next one will."""
    lacks = count_of(result.counts.lacking, "entry that could not be stored", "entries that could not be stored")
    output.warning(
        f"{result.source}: the snapshot is INCOMPLETE: it lacks {lacks}; the last complete one stays the last good one",
        code="snapshot-incomplete",
    )
    output.note("  make what is named readable, or exclude it, and back up again")


def _warn_left_behind(output: Output, result: BackupResult) -> None:
    """Name each replica that lacks the snapshot, why, and how it gets back in sync."""
    from farshore.results import WarningCode

    behind = [one for one in result.warnings if one.code is WarningCode.REPLICA_LEFT_BEHIND]
    for one in behind:
        cause = f" ({one.cause})" if one.cause else ""
        output.warning(
            f"{result.source}: {one.subject} was left behind: {shown_text(one.message)}{cause}", code=one.code
        )
    for one in result.lossy:
        output.warning(f"{result.source}: {shown_text(one.message)}", code=one.code)
    if behind:
        names = ", ".join(one.subject for one in behind)
        output.note(f"  the snapshot counts, and {names} lacks it until the next backup or 'farshore heal'")


COMMAND = Command(
    name="backup",
    acts=True,
    summary="back up sources to all replicas",
    description=(
        "Back up one or more sources, one after the other. A source is done when its snapshot was committed and read "
        "back at a quorum of replicas. One that fails does not stop the next; the exit code is that of the worst. A "
        "replica that was left behind while the quorum holds is a warning, no failure: the exit code is 0, or 3 with "
        "--strict."
    ),
    example="farshore backup home shop\nfarshore backup --all --identity 2026-11-21T02:00Z",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        SourceMissing,
        SourceMoved,
        HistoryCut,
        ClockWrong,
        QuorumNotReached,
        SourceUnavailable,
        SourceChanged,
        StoreConflict,
        LeaseLost,
        BackupRunning,
        StateUnknown,
        SourceCorrupt,
        SourceUnsupported,
        SourceFileLeftOut,
    ),
    exits=(
        (
            EXIT_WARNINGS,
            "done, and entries could not be read, or half is gone; --strict: a replica was left behind",
        ),
    ),
    shows_progress=True,
    interrupted="nothing is lost: uploaded objects are kept, and the next run continues",
)
