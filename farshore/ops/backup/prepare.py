"""Prepare one attempt at a backup: its lease, the inventory of the replicas, the queues to them, the base snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farshore import limits
from farshore.catalog.base_snapshot import BaseSnapshot, find_base
from farshore.catalog.data_keys import note_data_keys
from farshore.catalog.extend_locks import LockExtender
from farshore.catalog.inventory import Inventory, take_inventory
from farshore.catalog.verdicts import read_verdicts
from farshore.errors import Failure, FarshoreError, StateUnknown, StoreUnavailable
from farshore.format import names
from farshore.format.commit import Commit
from farshore.ops.backup.attempt import Attempt, SourceCommits, promised_packs, refuse_if_running
from farshore.ops.backup.clock_checks import check_clocks
from farshore.ops.backup.commit import Committer
from farshore.ops.backup.lease_steps import StartedLease, read_plans, start_lease, without_gone_runs
from farshore.ops.backup.publish import ObjectPublisher
from farshore.replicas.fanout import Fanout
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.upload import Spool
from farshore.replicas.upload_queue import QueueLimits
from farshore.results import ReplicaOutcome
from farshore.sealed.data_key import DataKey, generate_data_key


@dataclass(frozen=True)
class RunState:
    """The state that the steps of one attempt share."""

    snapshot_id: str
    source_id: str
    data_key: DataKey
    lease: LeaseHolder
    fanout: Fanout
    inventory: Inventory
    base: BaseSnapshot | None
    commits: SourceCommits  # of this source, when the attempt began
    publisher: ObjectPublisher
    committer: Committer
    locks: LockExtender
    condemned: frozenset[str]  # names that count as absent

    @property
    def entries_before(self) -> int | None:
        """Entries of the newest snapshot of this source; None where there is none."""
        newest = self.commits.newest
        if isinstance(newest, Commit):
            return newest.counts.entries
        return self.base.manifest.entries if self.base else None


def prepare(repository: Repository, attempt: Attempt, commits: SourceCommits, spool: Path) -> RunState:
    """Lease every replica, list its objects, and find the snapshot to compare with.

    Replicas that cannot be leased or listed are dropped from this run.

    Args:
        spool: A directory of this run's own.

    Raises:
        QuorumNotReached: Too few replicas are left.
        ClockWrong: This host's clock is off.
        BackupRunning: Another attempt at the same identity is at work.
    """
    promised = promised_packs(repository, commits)
    started = start_lease(repository, attempt)
    try:
        ask_what_follows(repository, started, commits)
        check_clocks(repository)  # now that every replica has answered
        refuse_if_running(repository, started.holder.lease)
        read_plans(repository, started)
        leased = started.replicas(repository)
        verdicts = read_verdicts(repository)
        inventory = take_inventory(repository, leased, promised, verdicts=verdicts, condemned=started.condemned)
        note_data_keys(repository, (key for keys in verdicts.data_keys.values() for key in keys))
        fanout = open_fanout(repository, leased, spool)
        for name, error in inventory.failed.items():
            fanout.drop(name, error)
        exclude_incomplete_replicas(repository, fanout, inventory)
        require_quorum(repository, fanout, {**started.failed, **inventory.failed})
        base = find_base(repository, attempt.source_id, commits.ordered)
        base = without_gone_runs(base, commits.listed)
    except BaseException:
        started.holder.end()
        raise
    keys, clock = repository.writing_keys(), repository.clock
    data_key = generate_data_key(clock)
    locks = LockExtender(
        repository=repository, inventory=inventory, commits=commits.ordered, started_utc=attempt.run.started_utc
    )
    return RunState(
        snapshot_id=started.holder.lease.snapshot,
        source_id=attempt.source_id,
        data_key=data_key,
        lease=started.holder,
        fanout=fanout,
        inventory=inventory,
        base=base,
        commits=commits,
        publisher=ObjectPublisher(fanout=fanout, keys=keys, data_key=data_key, clock=clock, spool=spool),
        committer=Committer(
            repository=repository,
            fanout=fanout,
            inventory=inventory,
            lease=started.holder,
            unleased=started.failed,
            condemned=started.condemned,
            locks=locks,
            clock=clock,
        ),
        locks=locks,
        condemned=started.condemned,
    )


def ask_what_follows(repository: Repository, started: StartedLease, commits: SourceCommits) -> None:
    """Have services begin to answer what this run asks after its lease, all at once.

    Packs are not among it: fragments are listed before them, or packs of another run at work seem to be lacking. Names
    that are looked at are the runs of the newest snapshot, which this one may name again; they are looked at once more
    before it is committed.
    """
    runs = [run.name for run in commits.newest.all_runs] if commits.newest is not None else []
    repository.ask_ahead((names.PLANS, names.VERDICTS, names.FRAGMENTS), runs, replicas=started.replicas(repository))


def open_fanout(repository: Repository, replicas: Sequence[Replica], spool: Path) -> Fanout:
    """Return the queues of one run; packs wait in memory, past a limit in a directory of their own below `spool`.

    Memory grows with `uploads` only where more than the usual number is configured: a queue that puts eight packs at
    once must be eight behind.
    """
    waiting = spool / "waiting"
    waiting.mkdir()
    many = [replica.uploads for replica in replicas if replica.uploads > limits.UPLOADS_PER_REPLICA]
    return Fanout(
        replicas=[replica.name for replica in replicas],
        clock=repository.clock,
        quorum=repository.quorum,
        queue_limits={replica.name: QueueLimits(replica.uploads, replica.spool_bytes) for replica in replicas},
        spool=Spool(waiting),
        window_packs=max(limits.WINDOW_PACKS, *many) if many else limits.WINDOW_PACKS,
        first_bug=repository.first_bug,
    )


def exclude_incomplete_replicas(repository: Repository, fanout: Fanout, inventory: Inventory) -> None:
    """Drop replicas that lost objects of their snapshots, if a quorum is left without all of them.

    Below a quorum they stay, and the lost objects count as missing: a backup that stores them once more does more good
    than none. Everything the new snapshot needs is checked at each replica before it is committed there.
    """
    if len(set(fanout.at_work) - set(inventory.incomplete)) >= repository.quorum:
        for name, error in inventory.incomplete.items():
            fanout.drop(name, error)


def require_quorum(repository: Repository, fanout: Fanout, failed: Mapping[str, FarshoreError]) -> None:
    """Raise `QuorumNotReached` when too few replicas are still at work to go on."""
    at_work = fanout.at_work
    if len(at_work) >= repository.quorum:
        return
    errors: dict[str, Failure] = {**repository.unreachable, **failed}
    for name in repository.replicas:
        if name not in at_work and name not in errors:
            errors[name] = fanout.error_of(name) or StoreUnavailable("left behind")
    raise repository.too_few(len(at_work), "take this backup", errors)


def dropped_outcome(run: RunState, replica: str) -> ReplicaOutcome:
    """Return the outcome of a replica that was given up."""
    error = run.fanout.error_of(replica) or StateUnknown(f"{replica} did not finish")
    return ReplicaOutcome(replica, committed=False, error_code=error.code, error=error.message)
