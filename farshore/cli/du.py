"""`farshore du`: bytes that each source and snapshot needs, and that it alone needs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import with_listing
from farshore.cli.progress import reporter_for
from farshore.cli.wording import ID_DIGITS_SHOWN, human_bytes, shown_text, utc_time
from farshore.errors import EXIT_DONE, SnapshotUnknown, StateUnknown

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.retain.usage import RepositoryUsage, SnapshotUsage, Usage
    from farshore.replicas.repository import Repository

_FIGURES = ("needs", "alone", "repacked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="only these sources, by name or id")
    parser.add_argument("--snapshots", action="store_true", help="show each snapshot, too")


def execute(invocation: Invocation) -> int:
    """Measure every snapshot, and show what was asked for."""
    from farshore.ops.retain.usage import measure_usage
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output

    def measured(repository: Repository) -> RepositoryUsage:
        with reporter_for(invocation, repository.moved) as progress:
            return measure_usage(repository, run=Run.start(invocation.clock, progress=progress))

    _, found = with_listing(invocation, invocation.config(), measured)
    wanted = set(arguments.sources)
    unknown = wanted - {text for one in found.sources for text in (one.source, one.source_id)}
    if unknown:
        raise SnapshotUnknown(f"no snapshot is of a source {min(unknown)}", "farshore snapshots lists them.")
    ids = {one.source_id for one in found.sources if not wanted or wanted & {one.source, one.source_id}}
    _print(output, found, ids, whole=not wanted)
    if arguments.snapshots:
        names = {one.source for one in found.sources if one.source_id in ids}
        _print_snapshots(output, [one for one in found.snapshots if one.source in names])
    return EXIT_DONE


def _print(output: Output, found: RepositoryUsage, ids: set[str], *, whole: bool) -> None:
    rows = []
    for one in found.sources:
        if one.source_id in ids:
            output.record("usage", one)
            name = shown_text(one.source) or "(forgotten)"
            rows.append((name, str(one.snapshots), *_figures(one.usage)))
    if whole:
        output.raw({"type": "usage-total", "bytes": found.total})
    output.table(("source", "snapshots", *_FIGURES), rows, right=frozenset({"snapshots", *_FIGURES}))
    if whole:
        output.note(f"{human_bytes(found.total)} of all snapshots at each replica, each object once")


def _print_snapshots(output: Output, snapshots: list[SnapshotUsage]) -> None:
    for one in snapshots:
        output.record("snapshot-usage", one)
    output.line()
    output.table(
        ("snapshot", "source", "time", "state", *_FIGURES),
        [
            (
                one.snapshot[:ID_DIGITS_SHOWN], shown_text(one.source), utc_time(one.committed_utc),
                "forgotten" if one.forgotten else "", *_figures(one.usage),
            )
            for one in snapshots
        ],
        right=frozenset(_FIGURES),
    )  # fmt: skip


def _figures(usage: Usage) -> tuple[str, str, str]:
    return human_bytes(usage.needed), human_bytes(usage.whole), human_bytes(usage.unique)


COMMAND = Command(
    name="du",
    summary="show the bytes that sources and snapshots need, alone and together",
    description=(
        "For each source, and with --snapshots for each snapshot: the bytes that it needs at a replica; those of "
        "objects that nothing else needs, which forgetting it frees; and with them, about, its parts of shared packs, "
        "which are freed once a deletion repacks. By signed needs alone: no content is read, and a host that cannot "
        "read backups can ask. Audit rows and index fragments are not counted."
    ),
    example="farshore du\nfarshore du home --snapshots --json",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, StateUnknown),
    shows_progress=True,
)
