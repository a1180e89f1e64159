"""Whether this host's clock may date a snapshot: beside the clocks of the stores, and after the snapshot before it.

Retention, locks and `farshore status` judge a snapshot by its date, and every later backup is ordered after it; so a
wrong one is refused before it is written. Decision 0012.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from farshore import limits
from farshore.config import format_duration
from farshore.errors import ClockWrong
from farshore.format.commit import Commit, CommitHead
from farshore.replicas.repository import Replica, Repository
from farshore.trust.order import SKEW

_TICK = timedelta(microseconds=1)


def check_clocks(repository: Repository) -> None:
    """Check that this host's clock agrees with those of a quorum of replicas, as far as their answers were dated.

    Raises:
        ClockWrong: It does not, so no snapshot could be committed.
    """
    wrong: list[ClockWrong] = []
    for replica in repository.replicas.values():
        try:
            check_service_clock(replica)
        except ClockWrong as error:
            wrong.append(error)
    if wrong and len(repository.replicas) - len(wrong) < repository.quorum:
        raise ClockWrong("; ".join(error.message for error in wrong))


def check_service_clock(replica: Replica) -> None:
    """Check that the clock of one replica agrees with this host's.

    Raises:
        ClockWrong: A snapshot that this host dates must not be committed there.
    """
    skew_s = replica.meter.service_clock.skew_s
    if skew_s is not None and abs(skew_s) > limits.CLOCK_SKEW_S_MAX:
        apart = format_duration(timedelta(seconds=abs(skew_s)))
        side = "ahead of" if skew_s > 0 else "behind"
        raise ClockWrong(f"the clock of {replica.name} is {apart} {side} this host's")


def next_moment(newest: CommitHead | None, now_utc: datetime) -> datetime:
    """Return the moment of a commit that is made now: never before that of the snapshot it follows.

    Two hosts that share a source may differ by the allowed skew, and their snapshots still have one order.

    Raises:
        ClockWrong: The snapshot before is later by more than that.
    """
    if newest is None or now_utc > newest.committed_utc:
        return now_utc
    apart = newest.committed_utc - now_utc
    if apart > SKEW:
        source = newest.source if isinstance(newest, Commit) else newest.source_id
        raise ClockWrong(
            f"by this host's clock it is {now_utc:%Y-%m-%d %H:%M} UTC, and the last snapshot of {source} was "
            f"committed {format_duration(apart)} later, at {newest.committed_utc:%Y-%m-%d %H:%M}"
        )
    return newest.committed_utc + _TICK
