"""Options for tags of snapshots."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from farshore.errors import ConfigInvalid


def add_tag(parser: argparse.ArgumentParser, option: str, help_text: str) -> None:
    """Declare an option for a tag, which may be repeated."""
    parser.add_argument(option, action="append", default=[], metavar="TAG", help=help_text)


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags that can be, each once.

    Raises:
        ConfigInvalid: One cannot.
    """
    from farshore import limits
    from farshore.model import is_tag

    for tag in tags:
        if not is_tag(tag):
            raise ConfigInvalid(
                f"{tag!r} is no tag", "A tag is a word or key=value, without spaces, commas and control characters."
            )
    if len(set(tags)) > limits.TAGS_MAX:
        raise ConfigInvalid(f"these are more than {limits.TAGS_MAX} tags", "Give fewer.")
    return tuple(dict.fromkeys(tags))
