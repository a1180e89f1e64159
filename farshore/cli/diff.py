"""`farshore diff`: the differences between two snapshots."""

from __future__ import annotations

import argparse
from collections import Counter

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import SNAPSHOT_HELP, choose_snapshot
from farshore.cli.opening import able_to_read, opened_snapshots
from farshore.cli.wording import human_bytes, shown_path
from farshore.errors import EXIT_DONE, ObjectCorrupt, ObjectNotFound, SnapshotUnknown

SIGNS = {"added": "+", "removed": "-", "modified": "M", "metadata": "m"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    one_of = SNAPSHOT_HELP
    parser.add_argument("before", metavar="BEFORE", help=one_of)
    parser.add_argument("after", metavar="AFTER", help=one_of)
    parser.add_argument("--replica", metavar="NAME", help="read from this replica alone")


def execute(invocation: Invocation) -> int:
    """List the differences in the order of the manifest, then their count on standard error."""
    from farshore.catalog.contents import diff_snapshots

    arguments, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    counts: Counter[str] = Counter()
    grown = 0
    with opened_snapshots(invocation, config) as repository:
        before = choose_snapshot(output, repository, arguments.before)
        after = choose_snapshot(output, repository, arguments.after)
        for change in diff_snapshots(repository, before, after):
            counts[change.change] += 1
            grown += change.bytes_after - change.bytes_before
            output.record("change", change)
            output.line(f"{SIGNS[change.change]} {shown_path(change.path) or '.'}")
    parts = ", ".join(f"{counts[kind]:,} {kind}" for kind in SIGNS)
    sign = "-" if grown < 0 else "+"
    output.note(
        f"{before.source} {before.snapshot_id[:12]} -> {after.source} {after.snapshot_id[:12]}: "
        f"{parts} ({sign}{human_bytes(abs(grown))})"
    )
    return EXIT_DONE


COMMAND = Command(
    name="diff",
    summary="list what differs between two snapshots",
    description=(
        "List entries that were added (+), removed (-), changed in content (M) or in metadata alone (m) from one "
        "snapshot to another."
    ),
    example="farshore diff home@2026-11-20 home",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, ObjectNotFound, ObjectCorrupt),
)
