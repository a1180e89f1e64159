"""Leases and plans that decide nothing any more, so that neither grows with the years. Part of step P7.

An end that says broken stays for ever, because a suspended writer could commit without it; so do tombstones. The end of
a lease that committed stays until a plan names its commit among its roots: until then a listing that leaves the commit
out would hide it from the next plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from farshore.format import names
from farshore.format.lease import EndState
from farshore.format.plan import PlanState
from farshore.ops.prune.plans import ReplicaPlans
from farshore.replicas.leases import ListedLease

_ORDER = (PlanState.CONDEMNED, PlanState.OPEN, PlanState.ABANDONED, PlanState.CLOSED)  # so that none condemns anew


def settled_leases(
    leases: Iterable[ListedLease], *, kept: Collection[str], gone: Collection[str], countered: Collection[str]
) -> Iterator[str]:
    """Yield the names of leases that may go, beats before ends.

    Args:
        kept: Hashes of commits that are here, and among the roots of a plan that is here.
        gone: Hashes of commits that are forgotten.
        countered: Hashes of tombstones that a counter-object here counters.
    """
    for lease in leases:
        decision = lease.decision
        if decision is None or decision.end is None:
            continue
        end = decision.end
        promised = (names.hash_of(end.commit),) if end.commit else end.commits
        if decision.state == EndState.COMMITTING and not all(
            one in kept or one in gone or one in countered for one in promised
        ):
            continue
        yield from (names.lease_beat(lease.lease_id, beat) for beat in lease.beats)
        if decision.state in (EndState.COMMITTING, EndState.ENDED):
            yield from (names.lease_end(lease.lease_id, k) for k in lease.ends)


def settled_plans(plans: ReplicaPlans, now_utc: datetime) -> Iterator[str]:
    """Yield the names of closed plans that may go: all but the last one, once they condemn nothing any more."""
    for number in plans.closed[:-1]:
        closed = plans.part(number, PlanState.CLOSED)
        if closed is None or closed.quiet_until_utc > now_utc:
            continue
        yield from (names.plan(number, state.value) for state in _ORDER if state in plans.parts[number])
