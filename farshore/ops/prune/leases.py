"""Writers at work when a plan was published: step P5. Each lease without an end is waited for, or broken.

No clock decides on safety: a writer whose lease is broken cannot commit, however alive it is. The clock decides on
kindness: who still beats, and may write, is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from farshore import limits
from farshore.errors import LeaseLost
from farshore.format import names
from farshore.format.lease import EndState, LeaseEnd, encode_end
from farshore.ops.prune.outcome import WaitedLease
from farshore.replicas.lease_ends import decide
from farshore.replicas.lease_holder import known_log
from farshore.replicas.leases import ListedLease, read_every_lease
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.signing import SignedKind
from farshore.trust.actions import Right

OnWaits = Callable[[Sequence[WaitedLease]], None]


def settle_leases(
    repository: Repository,
    replica: Replica,
    known: Iterable[ListedLease],
    *,
    over: Callable[[], bool],
    waiting: OnWaits,
) -> tuple[list[ListedLease], tuple[WaitedLease, ...]]:
    """Wait until each lease that is listed now has an end; break those whose writers are dead or may write no more.

    Leases that are put later belong to writers that see the plan. To be called after the plan condemned.

    Args:
        known: As `read_every_lease` has it.
        over: Whether the time is over, so that nothing is waited for any more.
        waiting: Called with the leases that are waited for, whenever they were asked about.

    Returns:
        All leases, and those that were waited for in vain; none where each that was there has an end.
    """
    left: set[str] | None = None  # of the first listing; later ones see the plan
    leases = list(known)
    while True:
        leases = read_every_lease(repository, replica, leases)
        open_leases = [one for one in leases if one.decision is None and (left is None or one.lease_id in left)]
        left = {one.lease_id for one in open_leases}
        live = [one for one in open_leases if may_live(repository, one)]
        dead = [one for one in open_leases if one not in live]
        for one in dead:
            if not _break(repository, replica, one):
                left.remove(one.lease_id)
        if not live:
            if not dead:
                return leases, ()
            continue  # look again: its writer may have been first
        waits = tuple(describe(one) for one in live)
        waiting(waits)
        if over():
            return leases, waits
        repository.clock.wait_s(limits.PRUNE_LEASE_POLL_S)


def may_live(repository: Repository, lease: ListedLease) -> bool:
    """Whether the writer of a lease beats, and may write still."""
    may = repository.trust.may
    return (
        lease.live
        and lease.seen is not None
        and (may(lease.seen.signer, Right.BACKUP) or may(lease.seen.signer, Right.HEAL))
    )


def young_after(repository: Repository, replica: Replica, leases: Iterable[ListedLease], grace: timedelta) -> datetime:
    """Return since when what the store got stays: for a while, and as long as a writer of that time is at work."""
    skew = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)
    begun = [
        one.first_utc - skew for one in leases if may_live(repository, one) and one.decision is None and one.first_utc
    ]
    return min([replica.store.now_utc() - grace, *begun])


def describe(lease: ListedLease) -> WaitedLease:
    """Return a lease for people."""
    seen = lease.seen
    certain = seen.lease if seen is not None else None
    return WaitedLease(
        lease.lease_id,
        certain.host if certain else "",
        certain.source_id if certain else "",
        certain.started_utc if certain else lease.first_utc,
        seen.signer if seen else "",
    )


def _break(repository: Repository, replica: Replica, lease: ListedLease) -> bool:
    """Put the end that breaks a lease, unless another one decides; False where nobody can ever decide on it."""
    keys, made_utc, log = repository.writing_keys(), repository.clock.now_utc(), known_log(repository)

    def make(k: int) -> bytes:
        end = LeaseEnd(lease.lease_id, k, EndState.BROKEN.value, made_utc, log)
        return sign_text(keys, SignedKind.LEASE_END, names.lease_end(lease.lease_id, k), encode_end(end))

    writer = lease.seen.signer if lease.seen is not None else ""
    try:
        decide(replica.store, SignatureChecker.of(repository), lease.lease_id, writer, make)
    except LeaseLost:  # every end is void, so it commits nothing
        return False
    return True
