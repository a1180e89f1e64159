"""The lease of a heal, and what plans to delete condemn: W0 to W3 and W6 of a writer, for copies of commits.

docs/reference/format.md, section 6. One lease is one batch: its end names the commits whose needs are at the replica
already, before they are put. tests/models/prune/write.py explores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace

from farshore.errors import FarshoreError, KeyMissing
from farshore.model import dataclass
from farshore.ops.heal.context import HealContext
from farshore.repair.copy_lease import copy_lease, may_lease
from farshore.repair.replica_listing import Listing
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.owner_log import put_log
from farshore.replicas.plans import has_seen_plans, read_condemned
from farshore.replicas.repository import Replica, Repository
from farshore.run import Run


@dataclass(frozen=True)
class HealLease:
    """The permission of a heal to put objects: by replica, `condemned` are the names that stay away.

    `failed`: replicas whose plans cannot be read. `logged`: by replica, what of the owner log was put there before the
    lease. `holder` is None where no key at hand signs a lease that others heed.
    """

    holder: LeaseHolder | None = None
    replicas: frozenset[str] = frozenset()
    condemned: Mapping[str, frozenset[str]] = field(default_factory=dict)
    failed: Mapping[str, FarshoreError] = field(default_factory=dict)
    logged: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def commit(self, replica: str, commits: Sequence[str]) -> None:
        """Decide that these commits, by hash, are put at a replica: step W6. A replica without our header has no lease.

        Raises:
            LeaseLost, FarshoreError: As `LeaseHolder.commit`. Nothing is put.
        """
        if self.holder is not None and replica in self.replicas:
            self.holder.commit(replica, copies=commits)

    def refused(self, context: HealContext, listings: Mapping[str, Listing]) -> dict[str, FarshoreError]:
        """Return an error for each replica where somebody deletes, if no lease can show that this heal is at work."""
        if self.holder is not None:
            return {}
        planned = [context.replicas[name] for name, listing in listings.items() if listing.has_plans]
        seen, failed = context.repository.ask_all(lambda replica: has_seen_plans(context.repository, replica), planned)
        refused = {
            name: KeyMissing(
                f"{name} has seen plans to delete, and a heal without a signing key cannot show that it is at work",
                "Heal it with a credential that may heal.",
            )
            for name, deletes in seen.items()
            if deletes
        }  # fmt: skip
        return {**failed, **refused}


def _bring_log(repository: Repository) -> tuple[dict[str, FarshoreError], dict[str, list[str]]]:
    """Put what replicas lack of the owner log; return which of them failed, and what the others were given."""
    log = repository.log
    if log is None:
        return {}, {}
    failed = put_log(repository, log)
    given = {name: log.missing_at(name) for name in repository.replicas if name not in failed}
    held = {name: found | frozenset(given.get(name, ())) for name, found in log.held.items()}
    repository.log = replace(log, held=held)  # a second pass of this heal gives nothing twice
    return failed, given


@contextmanager
def leased(context: HealContext, new: Sequence[str], run: Run) -> Iterator[HealLease]:
    """Hold a lease at every replica, and read what is condemned there; no lease where nobody would heed it.

    Args:
        new: Replicas that are known to be empty, and may be filled.
    """
    repository = context.repository
    if not may_lease(repository):
        yield HealLease()
        return
    unlogged, logged = _bring_log(repository)
    # A replica that was not said to be new gets nothing before it was found to be ours, not even a lease.
    opened = {**repository.replicas, **{n: one for n, one in context.replicas.items() if n in new}}
    chosen: dict[str, Replica] = {name: one for name, one in opened.items() if name not in unlogged}
    holder = copy_lease(repository, chosen, run.run_id)
    try:
        holder.acquire()
        condemned, failed = repository.ask_all(lambda replica: read_condemned(repository, replica), chosen.values())
        yield HealLease(holder, frozenset(chosen), condemned, failed, logged)
    finally:
        holder.end()
