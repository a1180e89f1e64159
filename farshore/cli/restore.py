"""`farshore restore`: put a snapshot back, into an empty directory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from farshore.cli.command import OPENING, Command, Invocation
from farshore.cli.passphrase import able_to_read
from farshore.cli.progress import reporter_for
from farshore.cli.wording import (
    count_of,
    elapsed,
    human_bytes,
    shown_path,
    shown_text,
    told_mending,
    told_requests,
    utc_time,
)
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    CredentialCannotRead,
    ObjectArchived,
    ObjectCorrupt,
    ObjectNotFound,
    RestoreIncomplete,
    SnapshotUnknown,
    TargetFailed,
    TargetNotEmpty,
)

PROBLEMS_SHOWN_MAX = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="id, unique prefix, SOURCE (its latest) or SOURCE@TIME")
    parser.add_argument("--target", required=True, metavar="DIR", help="an empty or new directory to restore into")
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")
    parser.add_argument(
        "--no-repair", action="store_true", help="only tell what is damaged at a replica; mend nothing with good copies"
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="restore only what matches, with the directories above it; may be repeated",
    )


def execute(invocation: Invocation) -> int:
    """Say what will be done, then do it."""
    from farshore.ops.opening import Need, open_repository
    from farshore.ops.restore import restore_snapshot
    from farshore.ops.snapshots import resolve_snapshot

    arguments, output = invocation.arguments, invocation.output
    target = Path(os.path.abspath(Path(arguments.target).expanduser()))  # noqa: PTH100 - keeps symlinks as given
    refuse_occupied(target)
    config = able_to_read(invocation, invocation.config())
    with open_repository(
        config, need=Need.READ, replica=arguments.replica, patient=False, clock=invocation.clock
    ) as repository:
        snapshot = resolve_snapshot(repository, arguments.snapshot)
        chosen = f", only {' '.join(arguments.include)}" if arguments.include else ""
        output.note(
            f"restoring snapshot {snapshot.snapshot_id[:12]} of {snapshot.source}, committed "
            f"{utc_time(snapshot.committed_utc)}: {count_of(snapshot.counts.entries, 'entry', 'entries')}, "
            f"{human_bytes(snapshot.counts.bytes_total)}{chosen}\n"
            f"  into {shown_text(str(target))} from {arguments.replica or 'any of ' + ', '.join(snapshot.replicas)}"
        )
        with reporter_for(invocation) as progress:
            result = restore_snapshot(
                repository,
                snapshot,
                target,
                replica=arguments.replica,
                include=tuple(arguments.include),
                engine="cli",
                repair=not arguments.no_repair,
                progress=progress,
                clock=invocation.clock,
            )
    output.record("restore", result)
    output.line(
        f"{result.source}: restored {count_of(result.entries, 'entry', 'entries')}, "
        f"{human_bytes(result.bytes_restored)}, every hash checked, from {', '.join(result.replicas) or 'no replica'} "
        f"in {elapsed(result.finished_utc - result.started_utc)}"
    )
    output.lines(told_requests(result.requests))
    for damaged in result.fell_over:
        output.warning(f"{damaged.name} is {damaged.code} at {damaged.replica}; it was read from another replica")
    output.lines([told_mending(one) for one in result.repairs])
    for problem in result.problems[:PROBLEMS_SHOWN_MAX]:
        output.warning(f"{shown_path(problem.path) or '.'}: {problem.code}: {shown_text(problem.message)}")
    if len(result.problems) > PROBLEMS_SHOWN_MAX:
        more = len(result.problems) - PROBLEMS_SHOWN_MAX
        output.warning(f"{count_of(more, 'more problem')}; --json lists them")
    return EXIT_WARNINGS if result.problems or result.fell_over else EXIT_DONE


def refuse_occupied(target: Path) -> None:
    """Refuse a target that holds anything, before anybody types a passphrase for it.

    Raises:
        TargetNotEmpty: There is something already.
        TargetFailed: It is no directory, or cannot be looked into.
    """
    try:
        with os.scandir(target) as inside:
            if next(inside, None) is not None:
                raise TargetNotEmpty(f"{target} is not empty")
    except FileNotFoundError:
        return
    except OSError as error:
        raise TargetFailed(f"cannot restore into {target}: {error.strerror}") from error


COMMAND = Command(
    name="restore",
    summary="put a snapshot back into an empty directory",
    description=(
        "Restore a snapshot into an empty or new directory. Every hash is checked; an object that is damaged at one "
        "replica is read from another and mended there where the credential may write, unless --replica names the only "
        "one to use. Archived packs must be warmed first: see 'farshore warm'. Needs the passphrase or an identity."
    ),
    example=(
        "farshore restore home --target /srv/restored\nfarshore restore home@2026-11-20 --target r --include '**/*.odt'"
    ),
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        SnapshotUnknown,
        TargetNotEmpty,
        TargetFailed,
        CredentialCannotRead,
        ObjectNotFound,
        ObjectArchived,
        ObjectCorrupt,
        RestoreIncomplete,
    ),
    exits=((EXIT_WARNINGS, "done with warnings: damaged copies were stepped over, or metadata could not be set"),),
    shows_progress=True,
    interrupted="the repository is untouched; the target is incomplete, so restore again into an empty directory",
)
