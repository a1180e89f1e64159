"""The first steps of a run at each replica, in the order that protects it from deletion: W0 to W3.

    W0  the entries of the owner log that a replica lacks, so that a reader of the lease knows its signer
    W1  the first beat of the lease
    W2  the plans to delete, listed after W1: so a pruner has seen the lease, or this run sees the plan
    W3  what a plan condemns at any replica counts as absent at all of them

`commit.py` has the others: W5 checks that everything is there, W6 decides, W7 puts the commit. The steps are those of
docs/reference/format.md, section 6; tests/models/prune/write.py explores them with every interleaving.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from farshore.catalog.base_snapshot import BaseSnapshot
from farshore.errors import FarshoreError
from farshore.ops.backup.attempt import Attempt
from farshore.replicas.lease_holder import LeaseHolder, new_lease
from farshore.replicas.owner_log import put_log
from farshore.replicas.plans import read_condemned
from farshore.replicas.repository import Replica, Repository


@dataclass
class StartedLease:
    """A lease that is held. `failed`: replicas without it; `condemned`: names that count as absent."""

    holder: LeaseHolder
    failed: dict[str, FarshoreError] = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()

    def replicas(self, repository: Repository) -> list[Replica]:
        """Return the replicas with the lease."""
        return [replica for name, replica in repository.replicas.items() if name not in self.failed]


def start_lease(repository: Repository, attempt: Attempt) -> StartedLease:
    """Do W0 and W1 at every replica. The caller ends the lease, whatever happens."""
    failed = put_log(repository, repository.log) if repository.log is not None else {}
    reached = {name: replica for name, replica in repository.replicas.items() if name not in failed}
    holder = new_lease(
        repository, reached, run_id=attempt.run.run_id, identity=attempt.identity, source_id=attempt.source_id,
        snapshot=repository.clock.random_bytes(16).hex(), started_utc=attempt.run.started_utc,
    )  # fmt: skip
    failed |= holder.acquire()
    return StartedLease(holder, failed)


def read_plans(repository: Repository, started: StartedLease) -> None:
    """Do W2 at every replica with the lease; one whose plans cannot be read is left out of this run."""
    answers, failed = repository.ask_all(
        lambda replica: read_condemned(repository, replica), started.replicas(repository)
    )
    started.failed |= failed
    started.condemned = frozenset().union(*answers.values())


def without_gone_runs(base: BaseSnapshot | None, listed: Collection[str]) -> BaseSnapshot | None:
    """Return the snapshot to compare with; without runs to name again, where it is not listed any more.

    It was forgotten, so what is in its runs may be meant to go: a new snapshot that named them would keep it.
    """
    if base is None or not base.commit or base.commit in listed:
        return base
    return replace(base, runs=(), pages_runs=())
