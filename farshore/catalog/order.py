"""The order of a source's snapshots. Pure; docs/reference/format.md, section 5, and decision 0012.

A run reads every commit record of its source before it begins, and its own record has a sequence above all of theirs.
So the sequence is the order in which they were committed, whatever any clock said; a time only orders records of one
sequence, which two hosts wrote side by side. The time a store gives a record is never an order, because a copy made
later is stamped later; it is a cap: nobody commits before it is written, so a record dated beyond its own stamp has a
wrong date.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from farshore import limits
from farshore.format.records import Commit

SKEW = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)


def order_key(commit: Commit) -> tuple[int, datetime, str]:
    """Return the sort key of the commit records of one source, oldest first."""
    return commit.sequence, commit.committed_utc, commit.snapshot


def in_order(commits: Iterable[Commit]) -> list[Commit]:
    """Return records of any sources, oldest first: each source in its own order, sources among each other by time.

    A record dated later than one that follows it has the place of that one.
    """
    of_source: dict[str, list[Commit]] = {}
    for commit in commits:
        of_source.setdefault(commit.source_id, []).append(commit)
    placed: list[tuple[datetime, str, int, Commit]] = []
    for source_id, own in of_source.items():
        own.sort(key=order_key)
        moment = own[-1].committed_utc
        for at in range(len(own) - 1, -1, -1):
            moment = min(moment, own[at].committed_utc)
            placed.append((moment, source_id, at, own[at]))
    placed.sort(key=lambda one: one[:3])
    return [one[3] for one in placed]


def is_misdated(commit: Commit, stored_utc: datetime | None, now_utc: datetime) -> bool:
    """Whether a record is dated later than it can have been written.

    Args:
        stored_utc: The earliest time that a store reports for it; None where none does.
        now_utc: By this host's clock, which decides only where no store reports one.
    """
    return commit.committed_utc > (stored_utc or now_utc) + SKEW
