"""Done, alive or dead? What every attempt asks the store before it works, so that a flow run is only an attempt."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from farshore.catalog import ListedCommits, list_commits
from farshore.catalog.finish_commits import FinishedCommits, finish_commits
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import order_commits
from farshore.errors import CACHED_READ_ERRORS, READ_ERRORS, BackupRunning, Denied, Unavailable, UserError
from farshore.format import names
from farshore.format.commit import Commit, CommitHead
from farshore.format.lease import Lease
from farshore.host import is_known_dead
from farshore.model import dataclass
from farshore.repair.complete_commit import complete_commit
from farshore.replicas.leases import SeenLease, read_leases
from farshore.replicas.repository import Repository
from farshore.results import ReplicaOutcome
from farshore.run import Run
from farshore.trust.actions import Right
from farshore.trust.order import SourceOrder, sequence_max

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which backup is attempted, and by which run."""

    run: Run
    source_id: str
    identity: str
    tags: tuple[str, ...] = ()  # of the snapshot that it makes


@dataclass(frozen=True, slots=True)
class DoneAttempt:
    """A committed snapshot with the identity that was asked for."""

    commit: Commit
    outcomes: tuple[ReplicaOutcome, ...]


@dataclass(frozen=True, slots=True)
class SourceCommits:
    """The committed snapshots of one source in their order, oldest first, and by replica the newest that it lists.

    `newest` is what a new snapshot follows: the last that is dated as it can have been written; None where none is. It
    may be of an epoch or a domain whose keys this host no longer has: then only its public part is known, and a
    snapshot that followed none would fork the source.
    `last_dated` is that by the time of the stores alone, which this host's clock has to be after. `next_sequence` is
    above all there are, also those of a wrong date, as far as they leave room for it. `listed`: the hashes of all.
    """

    ordered: list[Commit]
    newest_at: Mapping[str, CommitHead]
    newest: CommitHead | None
    last_dated: CommitHead | None = None
    next_sequence: int = 1
    listed: Collection[str] = ()


def find_done(repository: Repository, attempt: Attempt) -> tuple[SourceCommits, DoneAttempt | None]:
    """Return the source's commits, and the one of this identity if a quorum holds it, or can be given it now.

    A commit that a lease has decided and whose writer died before it put it counts: it is finished first. One that
    fewer replicas hold than the quorum is completed, and no second snapshot is made of its identity.

    Raises:
        BackupRunning: The run that made it is still at work.
        QuorumNotReached: Too few replicas can be given it now.
    """
    source_id = attempt.source_id
    listed = (names.commits_of(source_id), names.FORGOTTEN)
    repository.ask_ahead((names.LEASES, *listed))
    finished = finish_commits(repository)
    if finished.put:  # which the listing shall show
        repository.ask_ahead(listed, again=True)
    found = list_commits(repository, source_id)  # a replica that fails finds out by itself whether it can take part
    order = order_commits(repository, found).get(source_id)
    by_stores = order_commits(repository, found, by_stores=True).get(source_id)
    links = order.links if order else ()
    newest_at = {name: found.heads[link.hash] for link in links for name in found.holders[link.hash]}
    ordered = [found.commits[link.hash] for link in links if link.hash in found.commits]
    room = sequence_max(repository.clock.now_utc())
    forgotten = [head.sequence for head in found.forgotten.values() if head.source_id == source_id]
    forgotten = [one for one in forgotten if one < room]  # those may be taken back
    next_sequence = max([order.next_sequence if order else 1, *(one + 1 for one in forgotten)])
    commits = SourceCommits(
        ordered, newest_at, _parent(found, order), _parent(found, by_stores), next_sequence, found.heads.keys()
    )  # fmt: skip
    same = [one for one in reversed(ordered) if attempt.identity and one.identity == attempt.identity]
    same.sort(key=lambda one: -len(found.holders[one.hash]))
    if not same:
        return commits, None
    holders: Collection[str] = found.holders[same[0].hash]
    if len(holders) < repository.quorum:
        holders = _completed(repository, same[0], found.holders[same[0].hash], finished, attempt.run)
    return commits, _done(repository, same[0], holders) if len(holders) >= repository.quorum else None


def _done(repository: Repository, commit: Commit, holders: Collection[str]) -> DoneAttempt:
    outcomes = tuple(
        ReplicaOutcome(name, committed=name in holders, error_code="" if name in holders else "not-held")
        for name in repository.configured
    )
    return DoneAttempt(commit, outcomes)


def _completed(
    repository: Repository, commit: Commit, holders: Sequence[str], finished: FinishedCommits, run: Run
) -> Collection[str]:
    """Return the replicas that hold a snapshot once it was brought to the others.

    Where the snapshot is to blame, because its objects are gone or are to go, a new one is made.
    """
    for seen in (one for of_replica in finished.leases.values() for one in of_replica.leases):
        if seen.lease.lease == commit.lease and seen.live and not is_known_dead(seen.lease.host):
            raise BackupRunning(f"run {commit.run} is at work on the same backup ({commit.identity})")
    try:
        done = complete_commit(repository, commit, holders, run.run_id)
    except READ_ERRORS as trouble:
        _log.warning("snapshot %s cannot be completed, so a new one is made: %s", commit.snapshot, trouble)
        return holders
    if len(done.holders) >= repository.quorum:
        return done.holders
    if all(isinstance(error, (Unavailable, Denied, UserError)) for error in done.failed.values()):
        raise repository.too_few(len(done.holders), "hold this snapshot", {**repository.unreachable, **done.failed})
    for name, error in done.failed.items():
        _log.warning("snapshot %s cannot be completed at %s: %s", commit.snapshot, name, error)
    return done.holders


def _parent(found: ListedCommits, order: SourceOrder | None) -> CommitHead | None:
    link = order.next_parent if order else None
    return found.heads.get(link.hash) if link else None


def promised_packs(repository: Repository, commits: SourceCommits) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return by replica the packs (id, bytes) that the newest snapshot it lists needs, as far as that can be read.

    Replicas mostly list the same newest snapshot, and the host that made it has what it needs in its cache.
    """
    promised: dict[str, tuple[tuple[str, int], ...]] = {}
    read: dict[str, tuple[tuple[str, int], ...]] = {}
    for name, commit in commits.newest_at.items():
        try:
            if commit.hash not in read:
                read[commit.hash] = tuple(read_needs(repository, repository.replicas[name], commit).pack_sizes)
            promised[name] = read[commit.hash]
        except CACHED_READ_ERRORS:
            continue  # verify reports its fault; here it only promises nothing
    return promised


def refuse_if_running(repository: Repository, ours: Lease) -> None:
    """Raise `BackupRunning` where another live attempt at the same identity has precedence.

    Both attempts write their lease before they list, so at least one sees the other; the earlier one goes on, by start
    and then by id. A backup asked for by hand has no identity and competes with nobody.
    """
    if not ours.identity:
        return
    found, _ = repository.ask_all(lambda replica: read_leases(repository, replica))
    for seen in (one for read in found.values() for one in read.leases):
        other = seen.lease
        same = (other.source_id, other.identity) == (ours.source_id, ours.identity)
        if not same or other.lease == ours.lease or not seen.live or is_known_dead(other.host):
            continue
        if not _may_write(repository, seen):
            continue
        if (other.started_utc, other.lease) < (ours.started_utc, ours.lease):
            since = f"{other.started_utc:%H:%M} UTC"
            raise BackupRunning(f"run {other.run} is at work on the same backup ({ours.identity}) since {since}")


def _may_write(repository: Repository, seen: SeenLease) -> bool:
    """Whether the signer of a lease may commit its source now: else it keeps nobody from a backup."""
    certified = repository.trust.certificate(seen.signer)
    if certified is None or not repository.trust.may(seen.signer, Right.BACKUP):
        return False
    return certified.certificate.allows_source(seen.lease.source_id)
