"""Finish what others began: a lease that is committing, and whose commit was never put (step W7 by somebody else).

From its committing end on a commit counts, though its writer died before it put it, and its needs are needed. The next
process that finds the end checks that all is there and puts the very bytes that the end holds, so the commit is still
its writer's and nobody else's word. docs/reference/format.md, section 6; tests/models/prune/finishing.py.
"""

from __future__ import annotations

from dataclasses import field

from farshore.catalog.inventory import reused_missing
from farshore.catalog.needs import objects_of, read_needs
from farshore.catalog.signed_commits import Refused, SignedCommit, judge, read_signed
from farshore.catalog.tombstones import forgotten_commits
from farshore.errors import CACHED_READ_ERRORS, FarshoreError, NotFound, ObjectNotFound, StateUnknown
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.lease import EndState
from farshore.format.names import CommitName
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.replicas.leases import ReplicaLeases, SeenLease, is_decided, note_settled, read_leases
from farshore.replicas.repository import Replica, Repository


@dataclass(frozen=True, slots=True)
class UnfinishedCommit:
    """A commit that a lease promised at a replica, and that was not put: `reason` says why it was left."""

    replica: str
    name: CommitName
    reason: str


@dataclass
class FinishedCommits:
    """The commits that were put now (replica, name), those that were left, and the leases that were read."""

    put: list[tuple[str, CommitName]] = field(default_factory=list)
    left: list[UnfinishedCommit] = field(default_factory=list)
    leases: dict[str, ReplicaLeases] = field(default_factory=dict)
    failed: dict[str, FarshoreError] = field(default_factory=dict)


def finish_commits(repository: Repository) -> FinishedCommits:
    """Put at each replica the commits that leases there promise. Repeatable; many may do it at once.

    None of a writer that was revoked, none that the owner log refuses, none that was forgotten, and none whose snapshot
    is not whole there. Adds no signature. A replica that fails is in `failed`, and keeps nothing from the others.
    """
    asked, failed = repository.ask_all(lambda replica: _finish(repository, replica))
    result = FinishedCommits(failed=failed)
    for name, one in asked.items():
        result.leases[name] = one.leases[name]
        result.put += one.put
        result.left += one.left
    return result


def _finish(repository: Repository, replica: Replica) -> FinishedCommits:
    read = read_leases(repository, replica)
    result = FinishedCommits(leases={replica.name: read})
    settled: list[str] = []
    for seen in read.leases:
        promised = _promised(repository, seen)
        if promised is None:
            if is_decided(seen, *EndState):
                settled.append(seen.lease.lease)
            continue
        name, signed = promised
        reason = "" if is_there(replica, name.name) else _put(repository, replica, name, signed)
        if reason is None:
            result.put.append((replica.name, name))
        elif reason:
            result.left.append(UnfinishedCommit(replica.name, name, reason))
            continue
        settled.append(seen.lease.lease)
    note_settled(repository, replica, settled)
    return result


def _promised(repository: Repository, seen: SeenLease) -> tuple[CommitName, SignedCommit] | None:
    """Return the commit that the end of a lease holds; None where it holds none that its writer signed for it."""
    end = seen.decision.end if seen.decision is not None and is_decided(seen, EndState.COMMITTING) else None
    if end is None or not end.commit:
        return None
    stored = end.commit
    name = names.parse_commit(names.commit(seen.lease.source_id, seen.lease.snapshot, names.hash_of(stored)))
    signed = None if name is None else read_signed(repository, name, stored)
    if name is None or signed is None or isinstance(signed, Refused):
        return None
    return (name, signed) if (signed.head.lease, signed.head.signer) == (seen.lease.lease, seen.signer) else None


def is_there(replica: Replica, name: str) -> bool:
    """Whether a replica has an object of this name."""
    try:
        replica.store.head(name)
    except NotFound:
        return False
    return True


def _put(repository: Repository, replica: Replica, name: CommitName, signed: SignedCommit) -> str | None:
    """Put a commit whose snapshot is whole here; return why it was left, None where it was put and read back."""
    refusal = judge(repository, signed.head)
    if refusal is not None:
        return f"its commit is refused: {refusal.value}"
    if name.hash in forgotten_commits(repository):
        return "it was forgotten"
    lacks = first_lacking(repository, replica, signed.head)
    if lacks:
        return f"{lacks} is not here"
    replica.store.put(name.name, signed.stored)
    if replica.store.get(name.name, bytes_max=len(signed.stored)) != signed.stored:
        raise StateUnknown(f"{replica.name} does not return the commit as it was written")
    return None


def first_lacking(repository: Repository, replica: Replica, head: CommitHead) -> str:
    """Return an object that a snapshot needs and a replica has not, or has with another size; else an empty text."""
    try:
        needs = read_needs(repository, replica, head)
    except CACHED_READ_ERRORS:
        return head.needs[-1].name
    missing = reused_missing(replica, needs.pack_sizes)
    if missing:
        return names.pack(missing[0])
    for one in objects_of(head, needs):
        if one.kind in (Kind.PACK, Kind.COMMIT):
            continue
        try:
            size = replica.store.head(one.name).size
        except ObjectNotFound:
            return one.name
        if one.size is not None and size != one.size:
            return one.name
    return ""
