"""The questions, lists and reports of `farshore restore --delta`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farshore.cli import Invocation
from farshore.cli.output import Output
from farshore.cli.parsing import UsageMistake
from farshore.cli.progress import reporter_for
from farshore.cli.wire import Moved
from farshore.cli.wording import human_bytes, shown_path
from farshore.errors import EXIT_DONE
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.ops.restore.delta.options import DeltaOptions, Difference
    from farshore.results import DeltaCounts, Progress, ProgressCallback

EXIT_DIFFERENCES = 4  # of a dry run that found some
SIGNS = {"add": "+", "replace": "M", "patch": "P", "link": "L", "metadata": "m", "delete": "-", "leftover": "-"}
_NEED_DELTA = ("by_content", "delete", "dry_run", "yes")


def add_delta_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a restore into an existing tree."""
    group = parser.add_argument_group("into a tree that is there")
    group.add_argument(
        "--delta",
        action="store_true",
        help="bring back only what differs, by size and time, owner, mode, attributes, links; completes an interrupted "
        "restore as well",
    )
    group.add_argument(
        "--by-content", action="store_true", help="read and hash every file of the target, whatever its size and time"
    )
    group.add_argument(
        "--delete", action="store_true", help="remove what the snapshot has not; on a terminal it lists and asks first"
    )
    group.add_argument("--yes", action="store_true", help="do not ask before --delete removes something")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help=f"list what would be done; exit code {EXIT_DIFFERENCES} if that is anything",
    )


def options_of(invocation: Invocation) -> DeltaOptions | None:
    """Return how to restore into an existing tree; None where that is not asked for.

    Raises:
        UsageMistake: An option makes sense only with `--delta`.
    """
    from farshore.ops.restore.delta.options import DeltaOptions

    arguments, output = invocation.arguments, invocation.output
    if not arguments.delta:
        for name in _NEED_DELTA:
            if getattr(arguments, name):
                raise UsageMistake(
                    f"--{name.replace('_', '-')} needs --delta",
                    "See 'farshore restore --help', or docs/reference/cli.md.",
                )
        return None
    if arguments.target == "-":
        raise UsageMistake("--delta compares with a directory, and --target - is none", "Name the directory.")

    def list_one(difference: Difference) -> None:
        output.record("difference", difference)
        output.line(f"{SIGNS[difference.action]} {shown_path(difference.path) or '.'}")

    def ask(counts: DeltaCounts, first: Sequence[bytes]) -> bool:
        return not is_asking(invocation) or _ask_to_delete(output, counts, first)

    return DeltaOptions(
        by_content=arguments.by_content,
        delete=arguments.delete,
        dry_run=arguments.dry_run,
        report=list_one if arguments.dry_run else None,
        confirm=ask,
    )


def is_asking(invocation: Invocation) -> bool:
    """Return whether a person is asked before something is deleted."""
    arguments = invocation.arguments
    return bool(arguments.delete and not arguments.yes and not arguments.dry_run and invocation.interactive)


@contextmanager
def reporter_after_questions(invocation: Invocation, moved: Moved) -> Iterator[ProgressCallback]:
    """Yield what reports progress; where a person is asked something, nothing is drawn before."""
    if not is_asking(invocation):
        with reporter_for(invocation, moved) as reporter:
            yield reporter
        return
    with ExitStack() as stack:
        started: list[ProgressCallback] = []

        def report(progress: Progress) -> None:
            if not started:
                started.append(stack.enter_context(reporter_for(invocation, moved)))
            started[0](progress)

        yield report


def print_delta(output: Output, counts: DeltaCounts) -> int:
    """Print the differences and the actions on them; return the exit code, warnings apart."""
    parts = ", ".join(
        f"{number:,} {word}"
        for number, word in (
            (counts.added, "added"),
            (counts.replaced, "replaced"),
            (counts.patched, "patched"),
            (counts.linked, "linked anew"),
            (counts.metadata, "with other metadata"),
            (counts.deleted, "deleted"),
            (counts.leftovers, "left by a killed restore"),
        )
        if number
    )
    extra = f"; {count_of(counts.extra, 'name')} that the snapshot has not left alone" if counts.extra else ""
    read = f", {human_bytes(counts.bytes_read)} read to compare" if counts.bytes_read else ""
    output.line(
        f"{count_of(counts.compared, 'entry', 'entries')} compared{read}: {parts or 'no difference'}; "
        f"{human_bytes(counts.bytes_fetched)} from the repository{extra}"
    )
    if counts.dry_run:
        output.line("nothing was changed")
        return EXIT_DIFFERENCES if counts.differences else EXIT_DONE
    return EXIT_DONE


def _ask_to_delete(output: Output, counts: DeltaCounts, first: Sequence[bytes]) -> bool:
    """List the names that will be deleted, and ask."""
    output.stdout.flush()
    shown = "".join(f"  {shown_path(path)}\n" for path in first)
    more = counts.deleted + counts.leftovers - len(first)
    output.stderr.write(
        f"{count_of(counts.deleted, 'name')} that the snapshot has not, {human_bytes(counts.bytes_deleted)}, will be "
        f"deleted:\n{shown}{f'  and {more:,} more' if more > 0 else ''}\nDelete them? [y/N] "
    )
    output.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
