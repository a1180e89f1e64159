"""`farshore restore`: put a snapshot back, into an empty directory or into a tree that is there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import SNAPSHOT_HELP, add_include_refused, choose_snapshot
from farshore.cli.delta import EXIT_DIFFERENCES, add_delta_arguments, options_of, print_delta, reporter_after_questions
from farshore.cli.opening import able_to_read, opened_snapshots
from farshore.cli.output import Output
from farshore.cli.parsing import UsageMistake
from farshore.cli.run_report import warn_of_bad_copies, warn_of_problems, warn_unrecorded
from farshore.cli.wording import elapsed, format_repair, format_requests, human_bytes, shown_path, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    CredentialCannotRead,
    ObjectArchived,
    ObjectCorrupt,
    ObjectNotFound,
    PathsClash,
    RestoreIncomplete,
    SnapshotUnknown,
    TargetFailed,
    TargetForbidden,
    TargetNotEmpty,
    TargetTooSmall,
)
from farshore.plural import count_of, first_of

if TYPE_CHECKING:
    from farshore.results import RestoreResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "snapshot",
        metavar="SNAPSHOT[:/PATH]",
        help=f"{SNAPSHOT_HELP}; with :/PATH what is below that path, as the root",
    )
    parser.add_argument(
        "--target",
        required=True,
        metavar="DIR",
        help="an empty or new directory to restore into, any with --delta; - sends a tar archive to standard output",
    )
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")
    add_include_refused(parser)
    parser.add_argument(
        "--no-repair", action="store_true", help="only report damage at a replica; mend nothing with good copies"
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="restore only what matches, with the directories above it; may be repeated",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out what matches, and what is below it, also where --include matches; may be repeated",
    )
    parser.add_argument(
        "--strip", type=whole_number, default=0, metavar="N", help="drop the first N names of every path"
    )
    parser.add_argument(
        "--no-space-check", action="store_true", help="begin although the disk seems too small for what will be written"
    )
    parser.add_argument("--no-devices", action="store_true", help="leave out devices, which give their users a disk")
    parser.add_argument(
        "--no-setuid",
        action="store_true",
        help="leave out setuid, setgid and capabilities of files, which lend the powers of their owner",
    )
    add_delta_arguments(parser)


def whole_number(text: str) -> int:
    """Return a number of 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be 0, 1, 2 and so on, not {text!r}")
    return int(text)


def execute(invocation: Invocation) -> int:
    """Say what will be done, then do it."""
    from farshore.access.open_replica import Writes
    from farshore.access.own_places import check_target
    from farshore.catalog.selection import split_selector
    from farshore.ops.restore.options import RestoreOptions
    from farshore.ops.restore.restore import restore_snapshot
    from farshore.run import Run
    from farshore.targets.stream.tar import TarStream

    arguments, output = invocation.arguments, invocation.output
    selector, below = split_selector(arguments.snapshot)
    stack = ExitStack()
    target: Path | TarStream
    delta = options_of(invocation)
    if to_standard_output(arguments):
        refuse_stream(invocation)
        config = invocation.config()
        target, where = TarStream(stack.enter_context(invocation.binary_stdout())), "standard output"
    else:
        target = Path(os.path.abspath(Path(arguments.target).expanduser()))  # noqa: PTH100 - keeps symlinks as given
        where = str(target)
        if delta is None:
            refuse_occupied(target)
        config = invocation.config()
        for warning in check_target(config, target, below):
            output.warning(warning, code="target-in-source")
    config = able_to_read(invocation, config)
    with (
        stack,
        opened_snapshots(invocation, config, writes=Writes.REPAIRS) as repository,
    ):
        snapshot = choose_snapshot(output, repository, selector, include_refused=arguments.include_refused)
        output.note(
            f"restoring snapshot {snapshot.snapshot_id[:12]} of {snapshot.source}, committed "
            f"{utc_time(snapshot.committed_utc)}: {count_of(snapshot.counts.entries, 'entry', 'entries')}, "
            f"{human_bytes(snapshot.counts.bytes_total)}{format_choice(arguments, below)}\n"
            f"  into {shown_text(where)} from {arguments.replica or 'any of ' + ', '.join(snapshot.replicas)}"
        )
        with reporter_after_questions(invocation, repository.moved) as progress:
            result = restore_snapshot(
                repository,
                snapshot,
                target,
                replica=arguments.replica,
                options=RestoreOptions(
                    include=tuple(arguments.include),
                    exclude=tuple(arguments.exclude),
                    below=below,
                    strip=arguments.strip,
                    space=not arguments.no_space_check,
                    devices=not arguments.no_devices,
                    setuid=not arguments.no_setuid,
                    delta=delta,
                ),
                repair=not arguments.no_repair,
                run=Run.start(invocation.clock, progress=progress),
            )
    return print_restored(output, result, arguments.include)


def to_standard_output(arguments: argparse.Namespace) -> bool:
    """Return whether the target is an archive on standard output."""
    return bool(arguments.target == "-")


def refuse_stream(invocation: Invocation) -> None:
    """Refuse to send an archive to a terminal, which would show bytes as letters, or to compare with one.

    Raises:
        UsageMistake: That was asked for.
    """
    if invocation.arguments.delta:
        raise UsageMistake("--delta compares with a tree that is there, and --target - is none", "Name a directory.")
    if invocation.content is not None and invocation.content.isatty():
        raise UsageMistake("a tar archive is nothing for a terminal", "Send it to a file (>home.tar) or into a pipe.")


def print_restored(output: Output, result: RestoreResult, include: Sequence[str]) -> int:
    """Print the restored entries and everything that needs attention; return the exit code."""
    output.record("restore", result)
    code = print_delta(output, result.delta) if result.delta is not None else EXIT_DONE
    if result.delta is not None and result.delta.dry_run:
        return code
    output.line(
        f"{result.source}: restored {count_of(result.entries, 'entry', 'entries')}, "
        f"{human_bytes(result.bytes_restored)}, every hash checked, from {', '.join(result.replicas) or 'no replica'} "
        f"in {elapsed(result.finished_utc - result.started_utc)}"
    )
    output.lines(format_left_out(result))
    output.lines(format_requests(result.requests))
    warn_of_bad_copies(output, result.fell_over)
    output.lines([format_repair(one) for one in result.repairs])
    warn_of_problems(output, result.problems)
    lacking = [one for one in result.unmatched if one in include]
    for pattern in lacking:
        output.warning(f"nothing in the snapshot matches --include {shown_text(pattern)}", code="pattern-unmatched")
    for pattern in result.unmatched:
        if pattern not in lacking:
            output.note(f"nothing that would be restored matches --exclude {shown_text(pattern)}")
    warned = result.problems or result.fell_over or lacking
    return warn_unrecorded(output, result.unrecorded, EXIT_WARNINGS if warned else code)


def format_left_out(result: RestoreResult) -> list[str]:
    """Return a line on what was left out on request; none where nothing was."""
    parts = [count_of(result.devices_left_out, "device")] if result.devices_left_out else []
    if result.setuid_left_out:
        parts.append(f"setuid, setgid and capabilities of {count_of(result.setuid_left_out, 'file')}")
    return [f"left out on request: {', '.join(parts)}"] if parts else []


def format_choice(arguments: argparse.Namespace, below: bytes) -> str:
    """Return a clause on the part of a snapshot that is restored, beginning with a comma; empty for everything."""
    parts = [f"only {shown_path(below)}"] if below else []
    parts += [f"only what matches {' '.join(map(shown_text, arguments.include))}"] if arguments.include else []
    parts += [f"without {' '.join(map(shown_text, arguments.exclude))}"] if arguments.exclude else []
    parts += [f"without {first_of(arguments.strip, 'name')} of every path"] if arguments.strip else []
    return "".join(f", {part}" for part in parts)


def refuse_occupied(target: Path) -> None:
    """Refuse a target that holds anything, before anybody types a passphrase for it.

    Raises:
        TargetNotEmpty: There is something already.
        TargetFailed: It is no directory, or cannot be looked into.
    """
    from farshore.targets.directory.occupants import find_occupant

    try:
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            occupant = find_occupant(fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return
    except OSError as error:
        raise TargetFailed(f"cannot restore into {target}: {error.strerror}") from error
    if occupant is not None:
        raise TargetNotEmpty(f"{target} is not empty: it holds {shown_path(occupant)}")


COMMAND = Command(
    name="restore",
    acts=True,
    summary="put a snapshot back, or only what differs from it",
    description=(
        "Restore a snapshot into an empty or new directory. Every hash is checked; an object that is damaged at one "
        "replica is read from another and mended there where the credential may write, unless --replica names the only "
        "one to use. Archived packs must be warmed first: see 'farshore warm'. Needs a bucket and the passphrase or an "
        "identity, and nothing else. Patterns are those of .gitignore, seen from the root of what is restored. A place "
        "inside a replica, the state directory or the cache is refused, and so is a disk that is too small. "
        "With --delta the target may hold anything: only what differs is brought back, each file replaced at once."
    ),
    example=(
        "farshore restore home --target /srv/restored\n"
        "farshore restore home@2026-11-20 --target r --include '**/*.odt' --exclude Trash/\n"
        "farshore restore home:/docs/2026 --target /srv/docs\n"
        "farshore restore home --target - | ssh other tar -x --numeric-owner --xattrs --acls\n"
        "farshore restore home --target /home --delta --delete --dry-run"
    ),
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        SnapshotUnknown,
        TargetNotEmpty,
        TargetFailed,
        TargetForbidden,
        TargetTooSmall,
        PathsClash,
        CredentialCannotRead,
        ObjectNotFound,
        ObjectArchived,
        ObjectCorrupt,
        RestoreIncomplete,
    ),
    exits=(
        (
            EXIT_WARNINGS,
            "done, with warnings: damaged copies, metadata, an unmatched --include, no audit row",
        ),
        (EXIT_DIFFERENCES, "differences: of --dry-run, or --delete was declined; nothing was changed"),
    ),
    shows_progress=True,
    sends_content=to_standard_output,
    interrupted="the repository is untouched; the target is incomplete, and --delta completes it",
)
