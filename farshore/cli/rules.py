"""Rules of retention as options of commands, checked as those of a file are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farshore.config import RetentionConfig

_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each rule."""
    group = parser.add_argument_group("rules")
    for key in _COUNTS:
        group.add_argument(f"--{key.replace('_', '-')}", type=int, metavar="N")
    group.add_argument("--keep-within", metavar="DURATION", help="such as 48h")
    group.add_argument("--keep-tag", action="append", default=[], metavar="TAG", help="may be repeated")
    group.add_argument("--time-zone", metavar="NAME", help="such as Europe/Berlin (default: UTC)")


def given_rules(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the rules that were given, by the keys that a file has for them; none where none was given."""
    keys = (*_COUNTS, "keep_within", "time_zone")
    found = {key: getattr(arguments, key) for key in keys if getattr(arguments, key) is not None}
    return {**found, "keep_tags": list(arguments.keep_tag)} if arguments.keep_tag else found


def tried_rules(arguments: argparse.Namespace) -> RetentionConfig | None:
    """Return the rules that were given; None where none was.

    Raises:
        ConfigInvalid: One cannot be, or they keep nothing.
    """
    from farshore.config import read_retention

    given = given_rules(arguments)
    return read_retention(given, Path.cwd()) if given else None


def rules_text(rules: RetentionConfig) -> str:
    """Return rules in a line, as they are written."""
    from farshore.config import format_duration

    keys = {"keep_last": rules.keep_last, **{f"keep_{name}": count for name, count in rules.periods.items()}}
    said = [f"{key} = {count}" for key, count in keys.items() if count]
    if rules.keep_within is not None:
        said.append(f"keep_within = {format_duration(rules.keep_within)}")
    if rules.keep_tags:
        said.append(f"keep_tags = {', '.join(rules.keep_tags)}")
    return ", ".join(said) + (f" ({rules.time_zone})" if said else "none")
