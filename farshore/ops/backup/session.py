"""What one attempt at a backup works with, made by `prepare`: its lease, what replicas hold, its queues, its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from farshore import limits
from farshore.catalog.base_snapshot import BaseSnapshot, find_base
from farshore.catalog.extend_locks import LockExtender
from farshore.catalog.inventory import Inventory, take_inventory
from farshore.errors import Failure, FarshoreError, QuorumNotReached, StateUnknown, StoreUnavailable
from farshore.format.records import Lease
from farshore.host import describe_process
from farshore.model import ReplicaOutcome
from farshore.ops.backup.attempt import SourceCommits, promised_packs, refuse_if_running
from farshore.ops.backup.clock_checks import check_clocks
from farshore.ops.backup.commit import Committer
from farshore.ops.backup.publish import ObjectPublisher
from farshore.replicas.fanout import Fanout
from farshore.replicas.leases import LeaseHolder
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.upload import Spool
from farshore.replicas.upload_queue import LaneLimits
from farshore.sealed.keys import DataKey, generate_data_key


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which backup is attempted, and by which run."""

    run_id: str
    source_id: str
    identity: str
    started_utc: datetime


@dataclass(frozen=True)
class RunState:
    """What the steps of one attempt share."""

    snapshot_id: str
    source_id: str
    data_key: DataKey
    holder: LeaseHolder
    fanout: Fanout
    presence: Inventory
    base: BaseSnapshot | None
    found: SourceCommits  # the committed snapshots of this source when the attempt began
    outgoing: ObjectPublisher
    committer: Committer
    locks: LockExtender

    @property
    def entries_before(self) -> int | None:
        """Entries of the newest snapshot of this source; None where there is none."""
        if self.found.newest is not None:
            return self.found.newest.counts.entries
        return self.base.manifest.entries if self.base else None


def prepare(repository: Repository, attempt: Attempt, found: SourceCommits, spool: Path) -> RunState:
    """Take a lease at every replica, learn what they hold, and find what to compare with.

    Replicas that cannot be leased or listed are left behind for this run.

    Args:
        found: The committed snapshots of the source.

    Raises:
        QuorumNotReached: Too few replicas are left.
        ClockWrong: This host's clock is off.
        BackupRunning: Another attempt at the same identity is at work.
    """
    keys, clock, commits = repository.writing_keys(), repository.clock, found.ordered
    lease = Lease(
        lease=clock.random_bytes(16).hex(),
        run=attempt.run_id,
        source_id=attempt.source_id,
        identity=attempt.identity,
        snapshot=clock.random_bytes(16).hex(),
        host=describe_process(),
        beat=0,
        started_utc=attempt.started_utc,
        expires_utc=attempt.started_utc,
    )
    stores = {name: replica.store for name, replica in repository.replicas.items()}
    holder = LeaseHolder(stores=stores, keys=keys, lease=lease, clock=clock)
    try:
        failed = holder.take()
        check_clocks(repository)  # now that every replica has answered
        refuse_if_running(repository, holder.lease)
        leased = [replica for name, replica in repository.replicas.items() if name not in failed]
        presence = take_inventory(repository, leased, promised_packs(repository, found))
        fanout = open_fanout(repository, leased, spool)
        for name, error in presence.failed.items():
            fanout.leave_behind(name, error)
        exclude_incomplete_replicas(repository, fanout, presence)
        require_quorum(repository, fanout, {**failed, **presence.failed})
        base = find_base(repository, attempt.source_id, commits)
    except BaseException:
        holder.end()
        raise
    data_key = generate_data_key(clock)
    locks = LockExtender(repository=repository, presence=presence, commits=commits, started_utc=attempt.started_utc)
    return RunState(
        snapshot_id=lease.snapshot,
        source_id=attempt.source_id,
        data_key=data_key,
        holder=holder,
        fanout=fanout,
        presence=presence,
        base=base,
        found=found,
        outgoing=ObjectPublisher(fanout=fanout, keys=keys, data_key=data_key, clock=clock, spool=spool),
        committer=Committer(
            repository=repository,
            fanout=fanout,
            presence=presence,
            holder=holder,
            unleased=failed,
            locks=locks,
            clock=clock,
        ),
        locks=locks,
    )


def open_fanout(repository: Repository, replicas: Sequence[Replica], spool: Path) -> Fanout:
    """Return the queues of one run, whose packs wait in memory and then in a directory of their own below `spool`.

    Memory grows with `uploads` only where more than the usual number is configured: a lane that puts eight packs at
    once must be eight behind.
    """
    waiting = spool / "waiting"
    waiting.mkdir()
    many = [replica.uploads for replica in replicas if replica.uploads > limits.UPLOADS_PER_REPLICA]
    return Fanout(
        replicas=[replica.name for replica in replicas],
        clock=repository.clock,
        quorum=repository.quorum,
        lanes={replica.name: LaneLimits(replica.uploads, replica.spool_bytes) for replica in replicas},
        spool=Spool(waiting),
        window_packs=max(limits.WINDOW_PACKS, *many) if many else limits.WINDOW_PACKS,
    )


def exclude_incomplete_replicas(repository: Repository, fanout: Fanout, presence: Inventory) -> None:
    """Leave replicas behind that lost what their snapshots need, if a quorum is left without all of them.

    Below it they take part all the same, what they lack being missing: a backup that stores it once more does more good
    than none. Everything the new snapshot needs is made sure of at each before it is committed there.
    """
    if len(set(fanout.at_work) - set(presence.lossy)) >= repository.quorum:
        for name, error in presence.lossy.items():
            fanout.leave_behind(name, error)


def require_quorum(repository: Repository, fanout: Fanout, failed: Mapping[str, FarshoreError]) -> None:
    """Raise `QuorumNotReached` when so few replicas are still at work that going on is pointless."""
    at_work = fanout.at_work
    if len(at_work) >= repository.quorum:
        return
    errors: dict[str, Failure] = {**repository.unreachable, **failed}
    for name in repository.replicas:
        if name not in at_work and name not in errors:
            errors[name] = fanout.error_of(name) or StoreUnavailable("left behind")
    reasons = "; ".join(f"{name}: {error}" for name, error in errors.items())
    raise QuorumNotReached(
        f"{len(at_work)} of {len(repository.configured)} replicas take this backup, "
        f"{repository.quorum} are needed ({reasons})"
    )


def left_behind(work: RunState, replica: str) -> ReplicaOutcome:
    """Return the outcome of a replica that was given up."""
    error = work.fanout.error_of(replica) or StateUnknown(f"{replica} did not finish")
    return ReplicaOutcome(replica, committed=False, error_code=error.code, error=error.message)
