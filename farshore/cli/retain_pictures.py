"""Pictures of `farshore retain`: of the snapshots that are there, and of ones that nobody made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import Invocation
from farshore.cli.rules import rules_text, tried_rules
from farshore.errors import EXIT_DONE, ConfigInvalid
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.retain.judging import JudgedSource


def draw_calendars(output: Output, judged: Sequence[JudgedSource], *, dry: bool) -> None:
    """Print the calendar of each source."""
    from farshore.retention.calendar import draw

    for one in judged:
        output.line(f"{one.source}: {rules_text(one.rules)}{'' if dry else ' (forgotten)'}")
        for line in draw(one.verdicts, one.rules.time_zone):
            output.line(line)


def save_pictures(output: Output, path: str | None, judged: Sequence[JudgedSource]) -> None:
    """Draw the calendar of each source into files: the one that was named, or one beside it for each of several."""
    from farshore.retention.picture import draw_svg

    for one in judged if path else ():
        given = Path(path or "")
        file = given if len(judged) == 1 else given.with_name(f"{given.stem}-{_safe(one)}{given.suffix}")
        title = f"{one.source}: {rules_text(one.rules)}"
        _write(output, file, draw_svg(one.verdicts, one.rules.time_zone, title))


def _safe(one: JudgedSource) -> str:
    """Return the name of a source as part of the name of a file, because a writer chose it."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in one.source)[:64]


def _write(output: Output, file: Path, picture: str) -> None:
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ConfigInvalid(f"cannot write {file}: {error.strerror}", "Name a file that can be written.") from error
    output.note(f"drawn: {file}")


def draw_imagined(invocation: Invocation) -> int:
    """Draw what rules would keep of snapshots that nobody made. Opens nothing."""
    from farshore.config import parse_duration
    from farshore.retention.calendar import draw
    from farshore.retention.imagined import EVERY_MIN, imagine
    from farshore.retention.picture import draw_svg

    arguments, output = invocation.arguments, invocation.output
    rules = tried_rules(arguments)
    if rules is None:
        raise ConfigInvalid("say which rules to try", "farshore retain --imagine 6h --keep-daily 7 --keep-monthly 12")
    text, _, end = arguments.imagine.partition("@")
    try:
        every = parse_duration(text)
        end_utc = datetime.fromisoformat(end).replace(tzinfo=UTC) if end else invocation.clock.now_utc()
    except ValueError as error:
        raise ConfigInvalid(f"{arguments.imagine!r} is no distance", "Write --imagine 6h, or 6h@2026-11-30.") from error
    if every < EVERY_MIN:
        raise ConfigInvalid(f"{text} is too short a distance", "Give at least 5m.")
    verdicts = imagine(rules, every, end_utc)
    title = f"One snapshot every {text}: {rules_text(rules)}"
    kept = [one for one in verdicts if one.kept]
    for one in kept:
        reasons = [str(why) for why in one.reasons]
        output.raw({"type": "imagined", "committed_utc": one.snapshot.committed_utc, "reasons": reasons})
    output.line(title)
    output.lines(draw(verdicts, rules.time_zone))
    output.note(f"{len(kept)} of {count_of(len(verdicts), 'snapshot')} of three years stay")
    if arguments.svg:
        _write(output, Path(arguments.svg), draw_svg(verdicts, rules.time_zone, title))
    return EXIT_DONE
