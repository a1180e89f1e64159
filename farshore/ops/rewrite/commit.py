"""Commit the snapshots that a rewrite makes: each under a lease of its own, by the steps W0 to W7 of a writer.

docs/reference/format.md, section 6. The lease of the whole act protects new objects from a prune; the
lease of each snapshot, whose end holds its commit, decides on it. So a pruner has seen that lease, or this has
seen the plan; and a commit that was decided and not put is finished by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from farshore import __version__
from farshore.catalog.condemned import refuse_condemned
from farshore.catalog.inventory import reused_missing
from farshore.catalog.needs import objects_of
from farshore.catalog.signed_commits import DETAILS_SALT_BYTES, sign_commit
from farshore.errors import FarshoreError, ObjectNotFound, StateUnknown
from farshore.format import names
from farshore.format.commit import Commit, Replaced, ReplicaLock, RunRef
from farshore.format.names import object_bytes_max
from farshore.format.needs import Needs, join_needs
from farshore.format.object_kinds import Kind
from farshore.ops.rewrite.publish import Publisher
from farshore.ops.rewrite.signers import keys_for, signing_as
from farshore.replicas.lease_holder import LeaseHolder, known_log, new_lease
from farshore.replicas.leases import note_settled
from farshore.replicas.plans import read_condemned
from farshore.replicas.repository import Replica, Repository
from farshore.results import Progress
from farshore.run import Run
from farshore.signing import SigningKey

_AT_ONCE = 16  # leases, each of which has a thread


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot to commit in place of another one."""

    before: Commit
    runs: dict[str, tuple[RunRef, ...]]
    needs: Needs
    data_key: str
    tags: tuple[str, ...]
    removed: tuple[int, int, int]  # entries, files, bytes
    signer: SigningKey


@dataclass
class CommittedSnapshot:
    """A snapshot that replaces another one, and the replicas that hold it."""

    before: Commit
    commit: Commit
    replicas: list[str] = field(default_factory=list)


@dataclass
class _Leased:
    draft: Draft
    holder: LeaseHolder
    commit: Commit
    stored: bytes
    replicas: list[str] = field(default_factory=list)


def commit_drafts(
    repository: Repository, drafts: Sequence[Draft], publisher: Publisher, run: Run
) -> list[CommittedSnapshot]:
    """Commit these snapshots. A second run keeps those that an error left committed.

    Raises:
        QuorumNotReached: Fewer replicas than the quorum hold one.
        StateUnknown: A plan to delete condemns what one needs, or a lease was broken.
    """
    done: list[CommittedSnapshot] = []
    for at in range(0, len(drafts), _AT_ONCE):
        done += _commit_batch(repository, drafts[at : at + _AT_ONCE], publisher, run)
        run.progress(Progress("commit", entries=len(done)))
    return done


def _commit_batch(
    repository: Repository, drafts: Iterable[Draft], publisher: Publisher, run: Run
) -> list[CommittedSnapshot]:
    leased: list[_Leased] = []
    try:
        for draft in drafts:
            leased.append(_lease(repository, draft, publisher.replicas, run))
            publisher.drop(leased[-1].holder.acquire())  # W1
        condemned, failed = repository.ask_all(  # W2, after all of them
            lambda replica: read_condemned(repository, replica), publisher.replicas.values()
        )
        publisher.drop(failed)
        for one in leased:  # W3
            needed = (item.name for item in objects_of(one.commit, one.draft.needs))
            refuse_condemned(needed, frozenset().union(*condemned.values()))
        lacking, failed = repository.ask_all(  # W5
            lambda replica: _lacking(replica, leased), publisher.replicas.values()
        )
        publisher.drop(failed)
        for one in leased:
            for name, replica in publisher.replicas.items():
                if not lacking[name].intersection(item.name for item in objects_of(one.commit, one.draft.needs)):
                    _put(replica, one)
                    one.replicas.append(name)
            if len(one.replicas) < min(repository.quorum, len(repository.configured)):
                raise repository.too_few(
                    len(one.replicas), f"have all that snapshot {one.draft.before.snapshot[:12]} needs",
                    {**publisher.failed, **{name: f"lacks {min(found)}" for name, found in lacking.items() if found}},
                    "Nothing was forgotten. Run 'farshore heal', then this again.",
                )  # fmt: skip
        return [CommittedSnapshot(one.draft.before, one.commit, one.replicas) for one in leased]
    finally:
        for one in leased:
            one.holder.end()
            for name in one.replicas:
                note_settled(repository, repository.replicas[name], [one.holder.lease.lease])


def _lease(repository: Repository, draft: Draft, replicas: dict[str, Replica], run: Run) -> _Leased:
    """Return a lease before its first beat, and the commit that it is for."""
    before, keys, clock = draft.before, keys_for(repository, draft.before, draft.signer), repository.clock
    snapshot = clock.random_bytes(16).hex()
    with signing_as(repository, keys):
        holder = new_lease(
            repository, replicas, run_id=run.run_id, identity=before.identity, source_id=before.source_id,
            snapshot=snapshot, started_utc=run.started_utc,
        )  # fmt: skip
    entries, files, size = draft.removed
    counts = replace(
        before.counts, entries=before.counts.entries - entries, files=before.counts.files - files,
        bytes_total=max(before.counts.bytes_total - size, 0),
    )  # fmt: skip
    commit = replace(
        before, snapshot=snapshot, run=run.run_id, lease=holder.lease.lease, data_key=draft.data_key, runs=draft.runs,
        log=known_log(repository), farshore=__version__, counts=counts, quorum=repository.quorum, tags=draft.tags,
        locks=_locks(repository, before, run), replaces=Replaced(before.hash, run.started_utc), hash="", signer="",
    )  # fmt: skip
    return _Leased(draft, holder, *sign_commit(keys, commit, clock.random_bytes(DETAILS_SALT_BYTES)))


def _locks(repository: Repository, before: Commit, run: Run) -> dict[str, ReplicaLock]:
    """Return the locks that the snapshot promises: those before, as far as new objects are locked for them."""
    found: dict[str, ReplicaLock] = {}
    for name, lock in before.locks.items():
        rule = repository.replicas[name].retention_rule.lock if name in repository.replicas else None
        if rule is None or lock.place != repository.replicas[name].url or lock.mode != rule.mode.value:
            continue
        until_utc = min(lock.until_utc, run.started_utc + rule.period)
        if until_utc > run.started_utc:
            found[name] = ReplicaLock(lock.mode, until_utc, rule.stride_s, lock.place)
    return found


def _lacking(replica: Replica, leased: Iterable[_Leased]) -> set[str]:
    """Return the names that a replica has not, or with another size, of all that these snapshots need."""
    leased = list(leased)
    needs = join_needs(one.draft.needs for one in leased)
    found = {names.pack(one) for one in reused_missing(replica, needs.pack_sizes)}
    others = {
        item.name: item.size
        for one in leased
        for item in objects_of(one.commit, one.draft.needs)
        if item.kind not in (Kind.PACK, Kind.COMMIT)
    }
    for name, size in others.items():
        try:
            if size not in (None, replica.store.head(name).size):
                found.add(name)
        except ObjectNotFound:
            found.add(name)
    return found


def _put(replica: Replica, one: _Leased) -> None:
    """Decide, put and read back: W6 and W7."""
    one.holder.commit(replica.name, one.stored)
    _put_read_back(replica, one.commit.name, one.stored)


def _put_read_back(replica: Replica, name: str, stored: bytes) -> None:
    lost: FarshoreError | None = None
    try:
        replica.store.put(name, stored)
    except FarshoreError as error:
        lost = error  # what is there now decides
    try:
        there = replica.store.get(name, bytes_max=object_bytes_max(name))
    except FarshoreError as error:
        raise lost or error from error
    if there != stored:
        raise StateUnknown(f"{replica.name} does not return {name} as it was written")
