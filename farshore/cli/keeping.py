"""Keep snapshots, list what is kept, and let it go: shared by `farshore pin` and `farshore hold`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from farshore.cli import Invocation
from farshore.cli.choosing import choose_snapshot
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ConfigInvalid
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.format.note import Keep
    from farshore.ops.retain.annotate import Noted
    from farshore.replicas.repository import Repository

_DONE = {"pin": "pinned", "hold": "held"}


def add_keeping(parser: argparse.ArgumentParser) -> None:
    """Declare the options of both commands."""
    parser.add_argument(
        "snapshots", nargs="*", metavar="SNAPSHOT", help="an id or prefix of one, SOURCE, or SOURCE@TIME"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for people who read it later")
    parser.add_argument("--list", action="store_true", help="list what is kept so, why, and until when")
    parser.add_argument("--remove", action="store_true", help="keep these snapshots so no more")


def execute_keeping(invocation: Invocation, keep: Keep, until_utc: datetime | None) -> int:
    """Keep snapshots, list them, or let them go."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.retain.annotate import keep_snapshots, lift_keeping
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    if bool(arguments.snapshots) == arguments.list or (arguments.list and arguments.remove):
        raise ConfigInvalid(f"say which snapshots to {keep.value}, or --list", "farshore snapshots lists them.")
    if not arguments.reason and not arguments.list and not arguments.remove:
        raise ConfigInvalid(f"a {keep.value} needs a reason", "Add --reason: somebody will ask why in a year.")
    config = able_to_read(invocation, invocation.config())
    run = Run.start(invocation.clock)
    writes = Writes.NONE if arguments.list else Writes.ALL
    with opened_repository(invocation, config, need=Need.MOST, writes=writes) as repository:
        if arguments.list:
            return _list(invocation, repository, keep)
        if arguments.remove:
            reason = arguments.reason or "by hand"
            made = [lift_keeping(repository, one, keep, reason=reason, run=run) for one in arguments.snapshots]
        else:
            chosen = {one.snapshot_id: one for one in (
                choose_snapshot(output, repository, text) for text in arguments.snapshots
            )}  # fmt: skip
            made = [
                keep_snapshots(
                    repository, list(chosen.values()), keep, reason=arguments.reason, until_utc=until_utc, run=run
                )
            ]
    return _report(invocation, made, f"{keep.value} removed" if arguments.remove else _DONE[keep.value])


def _report(invocation: Invocation, made: list[Noted], done: str) -> int:
    failed: dict[str, str] = {}
    for noted in made:
        invocation.output.record("noted", noted)
        invocation.output.lines(f"{one[:ID_DIGITS_SHOWN]}: {done}" for one in noted.snapshots)
        failed |= noted.failed
    for name, reason in failed.items():
        invocation.output.warning(
            f"{name} lacks the notes: {shown_text(reason)}. They count there too; heal brings them"
        )
    return EXIT_WARNINGS if failed else EXIT_DONE


def _list(invocation: Invocation, repository: Repository, keep: Keep) -> int:
    from farshore.ops.retain.annotate import list_kept

    output = invocation.output
    found = [one for one in list_kept(repository) if one.keep is keep]
    for one in found:
        output.record("kept", one)
    if not found:
        output.note(f"nothing has a {keep.value}")
        return EXIT_DONE
    rows = [
        (
            one.snapshot[:ID_DIGITS_SHOWN], one.source, utc_time(one.since_utc),
            ("ended " if one.ended else "") + utc_time(one.until_utc) if one.until_utc else "", shown_text(one.reason),
        )
        for one in found
    ]  # fmt: skip
    output.table(("snapshot", "source", "since", "until", "why"), rows, wraps=frozenset({"why"}))
    output.note(f"{count_of(len(found), keep.value)}; 'farshore {keep.value} --remove SNAPSHOT' lifts one")
    return EXIT_DONE


def end_of_pin(text: str, now_utc: datetime) -> datetime:
    """Return the moment that `--until` means: a duration from now, or an ISO date or time, UTC unless it says more.

    Raises:
        ConfigInvalid: It is neither, or has passed.
    """
    from farshore.config import parse_duration

    try:
        end = datetime.fromisoformat(text)
        end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    except ValueError:
        try:
            end = now_utc + parse_duration(text)
        except (ValueError, OverflowError) as error:
            raise ConfigInvalid(f"{text!r} is no time", "Write --until 2027-12-31, or --until 90d.") from error
    if end <= now_utc:
        raise ConfigInvalid(f"{text} has passed", "Give a time that is still ahead.")
    return end
