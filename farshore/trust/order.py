"""The order of a source's signed commits, and which of them may be its newest. Pure.

Only accepted commits are ordered (TrustState.judge_commit). Each rule looks only at those that passed the ones before:
a commit is *ahead* whose maker knew an entry of the owner log that nobody shows, *misdated* when it is dated later than
it can have been written, earlier than its parent, or too early for its sequence, *forked* when another one that is
neither has the same parent. All of them restore; none is the newest, none displaces another in a rule of retention, and
all are reported.

A store's time orders nothing, because a copy has a later one; it is a cap, as is the reader's own clock.

A sequence is too high for its date where it exceeds the microseconds since 1970. Each run is dated after its parent, so
there is always a number for it, whatever numbers a thief has signed: the high ones need a date that is not there yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from farshore import limits
from farshore.model import dataclass

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SKEW = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)


class Place(StrEnum):
    """Whether a commit may be the newest of its source, or why not."""

    SOUND = "sound"
    AHEAD = "ahead"
    MISDATED = "misdated"
    FORKED = "forked"


_PARENTS = frozenset({Place.SOUND, Place.FORKED})


@dataclass(frozen=True, slots=True)
class Link:
    """One accepted commit of a source.

    `parent`: the hash of the commit before it; "" for the first, None where the record has no such hash, which forks
    nothing. `stored_utc`: the earliest time that any replica's store reports for it. `ahead`: its maker knew a newer
    entry of the owner log than anybody shows.
    """

    hash: str
    snapshot: str
    sequence: int
    parent: str | None
    committed_utc: datetime
    stored_utc: datetime | None = None
    ahead: bool = False

    @property
    def position(self) -> tuple[int, datetime, str, str]:
        """The sort key among the commits of its source."""
        return self.sequence, self.committed_utc, self.snapshot, self.hash


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """The commits of one source, oldest first, and the place of each by its hash.

    `next_sequence`: that of the next run. It is above all accepted ones, so that what is misdated or ahead stays before
    that run, but for those that are too high for a run of now.
    """

    links: tuple[Link, ...]
    places: Mapping[str, Place]
    next_sequence: int

    @property
    def newest(self) -> Link | None:
        """The last one that is sound."""
        return next((link for link in reversed(self.links) if self.places[link.hash] is Place.SOUND), None)

    @property
    def next_parent(self) -> Link | None:
        """The commit that the next run follows: a forked one too, or a fork would never end."""
        return next((link for link in reversed(self.links) if self.places[link.hash] in _PARENTS), None)


def order_source(links: Iterable[Link], now_utc: datetime) -> SourceOrder:
    """Return the order of the accepted commits of one source. A commit that is given twice counts once.

    Args:
        now_utc: By the reader's clock.
    """
    ordered = sorted({link.hash: link for link in links}.values(), key=lambda link: link.position)
    by_hash = {link.hash: link for link in ordered}
    places = {link.hash: _dated(link, by_hash, now_utc) for link in ordered}
    children = Counter(link.parent for link in ordered if places[link.hash] is Place.SOUND and link.parent is not None)
    for link in ordered:
        if places[link.hash] is Place.SOUND and link.parent is not None and children[link.parent] > 1:
            places[link.hash] = Place.FORKED
    room = sequence_max(now_utc)
    counted = [link.sequence for link in ordered if places[link.hash] in _PARENTS or link.sequence < room]
    return SourceOrder(tuple(ordered), places, max(counted, default=0) + 1)


def sequence_max(moment_utc: datetime) -> int:
    """Return the highest sequence that a commit of this moment may have."""
    return (moment_utc - _EPOCH) // timedelta(microseconds=1)


def cap_of(stored_utc: datetime | None, now_utc: datetime) -> datetime:
    """Return the latest moment that a commit can truly bear."""
    return (now_utc if stored_utc is None else min(stored_utc, now_utc)) + SKEW


def _dated(link: Link, by_hash: Mapping[str, Link], now_utc: datetime) -> Place:
    if link.ahead:
        return Place.AHEAD
    parent = by_hash.get(link.parent or "")
    late = link.committed_utc > cap_of(link.stored_utc, now_utc)
    early = parent is not None and link.committed_utc < parent.committed_utc
    early = early or link.sequence > sequence_max(link.committed_utc)
    return Place.MISDATED if late or early else Place.SOUND
