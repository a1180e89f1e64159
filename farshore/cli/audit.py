"""`farshore audit`: keep the audit tables ready for engines that read the buckets themselves."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.wording import shown_text
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    FarshoreError,
    KeyMissing,
    ObjectCorrupt,
    ObjectNotFound,
    StateUnknown,
    StoreDenied,
    StoreUnavailable,
)
from farshore.plural import count_of


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


COMMAND = Command(
    name="audit",
    summary="keep the audit tables ready for SQL engines that read the buckets",
    description=(
        "The audit tables are folders of Parquet at every replica. These commands write what engines read beside them; "
        "nothing that Farshore decides depends on it. 'farshore sql' asks the tables themselves."
    ),
    example="farshore audit index",
    children=(
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
