"""Options for tags of snapshots."""

from __future__ import annotations

import argparse


def add_tag(parser: argparse.ArgumentParser, option: str, help_text: str) -> None:
    """Declare an option for a tag, which may be repeated."""
    parser.add_argument(option, action="append", default=[], metavar="TAG", help=help_text)
