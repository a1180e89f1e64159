"""`farshore retain`: forget the snapshots that no rule keeps, or show which they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.retain_pictures import draw_calendars, draw_imagined, save_pictures
from farshore.cli.rules import add_rules, rules_text, tried_rules
from farshore.cli.wording import ID_DIGITS_SHOWN, human_bytes, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ApprovalMissing, ConfigInvalid, QuorumNotReached, SnapshotUnknown
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.retain.judging import JudgedSource
    from farshore.ops.retain.usage import FreedBytes
    from farshore.replicas.repository import Repository
    from farshore.retention.rules import Verdict

WHY_STOPPED = {
    "shrunken": "its last snapshot has less than half of the last good one; look at it, then say --even-shrunken",
    "untagged": "its rules keep tagged snapshots alone, and none of it has such a tag; a misspelled one, perhaps",
}
NOTHING_KEEPS = "no rule keeps it"
NO_RULE = "Add for instance [retention] with keep_daily = 7 and keep_weekly = 5: docs/operate/retention.md."


@dataclass(frozen=True, slots=True)
class JudgedSnapshot:
    """One snapshot, whether it stays, and every reason why."""

    snapshot_id: str
    source: str
    source_id: str
    committed_utc: datetime
    keep: bool
    reasons: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="only these sources, by name or id")
    parser.add_argument("--dry-run", action="store_true", help="only say what stays, what goes, and why")
    parser.add_argument("--show", action="store_true", help="only draw a calendar of what stays and what goes")
    parser.add_argument("--svg", metavar="FILE", help="also draw the calendar into a file, and forget nothing")
    parser.add_argument(
        "--imagine", metavar="EVERY[@END]",
        help="draw what the rules given here keep of snapshots that nobody made, such as one every 6h",
    )  # fmt: skip
    parser.add_argument(
        "--even-shrunken",
        action="store_true",
        help="also where the last snapshot is suspiciously small, because you looked",
    )
    add_rules(parser)


def execute(invocation: Invocation) -> int:
    """Judge every snapshot, and forget those that nothing keeps."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.retain.forget import require_maintainer
    from farshore.ops.retain.judging import judge_repository

    arguments, output = invocation.arguments, invocation.output
    if arguments.imagine:
        return draw_imagined(invocation)
    config = able_to_read(invocation, invocation.config())
    tried = tried_rules(arguments)
    if tried is None and config.retention.keeps_nothing and not config.source_retention:
        raise ConfigInvalid(f"{config.path} has no rule for retention, so every snapshot stays", NO_RULE)
    only_shown = bool(arguments.dry_run or arguments.show or arguments.svg or tried)
    writes = Writes.NONE if only_shown else Writes.ALL
    with opened_repository(invocation, config, need=Need.MOST, writes=writes) as repository:
        if not only_shown:
            require_maintainer(repository, "forget")
        judged = judge_repository(
            repository, config, sources=arguments.sources, tried=tried, even_shrunken=arguments.even_shrunken
        )
        freed = _freed(invocation, repository, judged) if only_shown and not arguments.show else []
        failed = {} if only_shown else _accept(invocation, repository, judged) | _forget(invocation, repository, judged)
    for source in judged:
        for verdict in source.verdicts:
            output.record("verdict", _judged(source, verdict))
    for replica in freed:
        output.record("freed", replica)
    (draw_calendars if arguments.show else _print)(output, judged, dry=only_shown)
    save_pictures(output, arguments.svg, judged)
    for replica in freed:
        output.note(_freed_text(replica))
    for name, reason in failed.items():
        output.warning(f"{name} lacks tombstones: {reason}. They count there too; heal brings them")
    stopped = [one for one in judged if one.stopped]
    for one in stopped:
        output.warning(f"{one.source} forgets nothing: {WHY_STOPPED[one.stopped]}", code=f"retention-{one.stopped}")
    return EXIT_WARNINGS if stopped or failed else EXIT_DONE


def _forget(invocation: Invocation, repository: Repository, judged: Sequence[JudgedSource]) -> dict[str, str]:
    """Forget what nothing keeps; return why replicas lack tombstones."""
    from farshore.ops.retain.forget import forget_snapshots, require_forgettable
    from farshore.run import Run

    failed: dict[str, str] = {}
    require_forgettable(repository, [going for one in judged for going in one.going], NOTHING_KEEPS)
    for one in judged:
        run, rule = Run.start(invocation.clock), rules_text(one.rules)
        failed |= forget_snapshots(repository, one.going, reason=NOTHING_KEEPS, rule=rule, run=run).failed
    return failed


def _accept(invocation: Invocation, repository: Repository, judged: Sequence[JudgedSource]) -> dict[str, str]:
    """Note that somebody looked at the small snapshots, as --even-shrunken says; return why replicas lack the notes."""
    from farshore.ops.retain.annotate import tag_snapshots
    from farshore.ops.retain.judging import LOOKED
    from farshore.run import Run

    small = [one.doubtful for one in judged if one.doubtful is not None] if invocation.arguments.even_shrunken else []
    return tag_snapshots(repository, small, add=[LOOKED], remove=[], run=Run.start(invocation.clock)).failed


def _freed(invocation: Invocation, repository: Repository, judged: Sequence[JudgedSource]) -> list[FreedBytes]:
    """Return the bytes that go with what nothing keeps."""
    from farshore.ops.retain.usage import freed_by
    from farshore.run import Run

    going = {going.commit.hash for one in judged for going in one.going}
    if not going:
        return []
    with reporter_for(invocation, repository.moved) as progress:
        return freed_by(repository, going, run=Run.start(invocation.clock, progress=progress))


def _judged(source: JudgedSource, verdict: Verdict) -> JudgedSnapshot:
    one = verdict.snapshot
    reasons = tuple(str(reason) for reason in verdict.reasons)
    return JudgedSnapshot(one.snapshot_id, source.source, source.source_id, one.committed_utc, verdict.kept, reasons)


def _print(output: Output, judged: Sequence[JudgedSource], *, dry: bool) -> None:
    goes = "go" if dry else "forgotten"
    rows = [
        (
            found.snapshot_id[:ID_DIGITS_SHOWN],
            found.source,
            utc_time(found.committed_utc),
            "stay" if found.keep else goes,
            ", ".join(found.reasons) or NOTHING_KEEPS,
        )
        for source in judged
        for found in (_judged(source, one) for one in source.verdicts)
    ]
    if not rows:
        output.note("no snapshots")
        return
    output.table(("snapshot", "source", "time", "verdict", "why"), rows)
    going = sum(len(one.going) for one in judged)
    total = sum(len(one.verdicts) for one in judged)
    said = f"{going} of {count_of(total, 'snapshot')} {'would be' if dry else 'are'} forgotten"
    output.note(f"{said}; 'farshore unforget' undoes it, and nothing was deleted" if going and not dry else said)


def _freed_text(one: FreedBytes) -> str:
    """Return when which bytes of a replica go with what is forgotten."""
    said = f"{one.replica}: the next deletion frees {human_bytes(one.now)}"
    if one.last_utc is not None:
        said += f"; {human_bytes(one.locked)} more is locked, the last until {utc_time(one.last_utc)}"
    return said + (f"; and about {human_bytes(one.packs_shared)} once it repacks" if one.packs_shared else "")


COMMAND = Command(
    name="retain",
    summary="forget the snapshots that no rule keeps",
    description=(
        "Judge every snapshot by the rules under [retention] and forget those that nothing keeps; --dry-run says for "
        "each why it stays or goes, and what each replica frees. Rules that are given as options are tried instead of "
        "those of the file, and forget nothing. The last snapshot of a source, its last complete one and its last "
        "proven one always stay, and so does what is misdated or forked. A source whose last snapshot has less than "
        "half of the last good one forgets nothing until somebody looked (--even-shrunken). Nothing is deleted: "
        "'farshore unforget' undoes it."
    ),
    example="farshore retain --dry-run\nfarshore retain home --keep-daily 7 --keep-weekly 5 --show\n"
    "farshore retain --imagine 6h --keep-daily 7 --keep-monthly 12 --svg rules.svg",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, ApprovalMissing, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a source forgets nothing now, or a replica lacks tombstones"),),
    acts=True,
    shows_progress=True,
    interrupted="nothing was deleted; what is forgotten already stays forgotten",
)
