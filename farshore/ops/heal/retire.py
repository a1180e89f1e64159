"""Retiring a replica: may the repository do without it? Nothing is deleted; that it was retired is written down."""

from __future__ import annotations

from dataclasses import replace

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.audit import run_rows
from farshore.audit.rows import Operation, PartState, ReplicaPart, RunResult
from farshore.catalog import ListedCommits, list_commits
from farshore.config import Config
from farshore.errors import FarshoreError, ReplicaNeeded, StoreUnavailable
from farshore.model import SnapshotId, dataclass
from farshore.plan.rules import placement_allows
from farshore.plural import count_of
from farshore.replicas.repository import Repository, no_such_replica
from farshore.run import Run
from farshore.trust.actions import Right

_NAMED_MAX = 3  # snapshots named in a message


@dataclass(frozen=True, slots=True)
class RetireResult:
    """A replica that the repository can do without. `snapshots`: how many it lists, all held at a quorum elsewhere."""

    run_id: str
    replica: str
    url: str
    snapshots: int
    left: tuple[str, ...]  # the replicas that are left


def retire_replica(config: Config, name: str, *, lost: bool = False, run: Run) -> RetireResult:
    """Check that nothing depends on a replica, and write at all that answer that it is retired. Repeatable.

    Args:
        lost: It will never answer again, so its objects cannot be listed; without this, no answer is an error.

    Raises:
        ReplicaNeeded: The quorum or the placement policy would break without it, or snapshots would lack a quorum.
        StoreUnavailable: It does not answer, so the objects that exist only there are not known.
        KeyMissing: No key is at hand that can read commit records and sign the record.
    """
    if name not in config.replicas:
        raise no_such_replica(name, config.replicas)
    _check_plan(config, name)
    with open_repository(config, need=Need.WRITE, right=Right.HEAL, clock=run.clock) as repository:
        listed = list_commits(repository)
        snapshots = _check_snapshots(config, repository, listed, name, lost=lost)
        row = run_rows.run_row(run, Operation.RETIRE, finished_utc=run.clock.now_utc(), state=RunResult.COMPLETED)
        part = ReplicaPart(replica=name, state=PartState.RETIRED)
        run_rows.record(repository, run.run_id, [replace(row, replicas=(part,))])
    left = tuple(one for one in config.replicas if one != name)
    return RetireResult(run.run_id, name, config.replicas[name].url, snapshots, left)


def _check_plan(config: Config, name: str) -> None:
    left = len(config.replicas) - 1
    if left < config.repository.quorum:
        raise ReplicaNeeded(
            f"without {name} {count_of(left, 'replica is', 'replicas are')} left, "
            f"and the quorum is {config.repository.quorum}",
            "Add a replica first with 'farshore replica add', or lower repository.quorum.",
        )
    before = {one.rule for one in placement_allows(config)}
    broken = [one for one in placement_allows(config, [name]) if one.rule not in before]
    if broken:
        text = "; ".join(f"{one.rule}: {one.wanted} wanted, {one.found} left" for one in broken)
        raise ReplicaNeeded(f"the placement policy does not hold without {name} ({text})", f"{broken[0].change}.")


def _check_snapshots(config: Config, repository: Repository, listed: ListedCommits, name: str, *, lost: bool) -> int:
    """Return how many snapshots the replica lists; raise where one of them has no quorum without it."""
    trouble: FarshoreError | None = repository.unreachable.get(name) or listed.failed.get(name)
    if trouble is not None and not lost:
        raise StoreUnavailable(
            f"{name} does not answer, so it is not known what exists only there: {trouble}",
            "Bring it back, or say --lost if it will never answer again.",
        )
    scarce: list[SnapshotId] = []
    snapshots = 0
    for one, holders in listed.holders.items():
        snapshots += name in holders
        if len([holder for holder in holders if holder != name]) < config.repository.quorum:
            scarce.append(listed.heads[one].snapshot)
    if scarce:
        shown = ", ".join(one[:12] for one in scarce[:_NAMED_MAX])
        raise ReplicaNeeded(
            f"without {name} {count_of(len(scarce), 'snapshot is', 'snapshots are')} "
            f"held by fewer replicas than the quorum ({shown})",
            "Run 'farshore heal', then again.",
        )
    return snapshots
