"""Saying that snapshots are gone from all replicas, as far as a command noticed while it listed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.cli.wording import ID_DIGITS_SHOWN
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, HistoryCut
from farshore.plural import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farshore.cli.output import Output
    from farshore.model import LostSnapshot


def report_lost(output: Output, lost: Iterable[LostSnapshot], code: int) -> int:
    """Print an error for snapshots that no replica has, and a record of each; return the exit code.

    Args:
        code: That of the command without them; an error of its own stays.
    """
    found = list(lost)
    for one in found:
        output.record("lost", one)
    if not found:
        return code
    output.error(HistoryCut(lost_text(found)))
    return HistoryCut.exit_code if code in (EXIT_DONE, EXIT_WARNINGS) else code


def warn_lost(output: Output, lost: Iterable[LostSnapshot]) -> None:
    """Warn of snapshots that no replica has, where the command goes on with another one."""
    found = list(lost)
    if found:
        output.warning(f"{lost_text(found)}. What follows is of an older one", code=HistoryCut.code)


def lost_text(lost: list[LostSnapshot]) -> str:
    """Return which snapshot is gone, how that is known, and how many others are."""
    first = lost[0]
    more = f" ({count_of(len(lost) - 1, 'more snapshot')} likewise)" if len(lost) > 1 else ""
    short = first.snapshot_id[:ID_DIGITS_SHOWN]
    return f"snapshot {short} of source {first.source_id} is at no replica, and {first.detail}{more}"
