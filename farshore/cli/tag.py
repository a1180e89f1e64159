"""`farshore tag`: add tags to snapshots and remove others."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import add_tag, choose_snapshot
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, shown_text
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ConfigInvalid, QuorumNotReached, SnapshotUnknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "snapshots", nargs="+", metavar="SNAPSHOT", help="an id or prefix of one, SOURCE, or SOURCE@TIME"
    )
    add_tag(parser, "--add", "a word or key=value; may be repeated")
    add_tag(parser, "--remove", "a tag that the snapshots are to lose; may be repeated")


def execute(invocation: Invocation) -> int:
    """Change the tags of snapshots."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.catalog.notes import read_notes
    from farshore.config import checked_tags
    from farshore.ops.retain.annotate import tag_snapshots
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    add, remove = checked_tags(arguments.add), checked_tags(arguments.remove)
    if (not add and not remove) or set(add) & set(remove):
        raise ConfigInvalid("say which tags to add or to remove, each once", "farshore tag 3f2a --add release")
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.MOST, writes=Writes.ALL) as repository:
        chosen = {one.snapshot_id: one for one in (
            choose_snapshot(output, repository, text) for text in arguments.snapshots
        )}  # fmt: skip
        done = tag_snapshots(repository, list(chosen.values()), add=add, remove=remove, run=Run.start(invocation.clock))
        notes = read_notes(repository)
        tags = {one.snapshot_id: notes.tags_of(one.commit) for one in chosen.values()}
    output.record("tagged", done, tags=tags)
    for snapshot, found in tags.items():
        output.line(f"{snapshot[:ID_DIGITS_SHOWN]}: {shown_text(', '.join(found)) or 'no tags'}")
    for name, reason in done.failed.items():
        output.warning(f"{name} lacks the notes: {shown_text(reason)}. They count there too; heal brings them")
    return EXIT_WARNINGS if done.failed else EXIT_DONE


COMMAND = Command(
    name="tag",
    summary="add tags to snapshots and remove others",
    description=(
        "Change the tags of snapshots that are there; 'farshore backup --tag' gives a new one its own. Rules can keep "
        "what has a tag (keep_tags), and 'farshore snapshots' and 'farshore forget' choose by tags. Tags are sealed: "
        "a provider does not see them. Needs a key with the right to maintain."
    ),
    example="farshore tag home --add release --add version=4.2\nfarshore tag 3f2a --remove release",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica lacks notes"),),
    acts=True,
    interrupted="run it again: what is tagged already stays tagged",
)
