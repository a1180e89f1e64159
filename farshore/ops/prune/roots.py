"""The objects that must stay at one replica, by its commits and the ends of leases there. Steps P2 and P6.

Only a tombstone removes a commit from the roots, once its grace is over. Commits that other replicas list are roots
too, as far as these can be asked, because heal would bring what they need back; they are no part of the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore.access.approved import approvals_to_forget, unapproved_commits
from farshore.catalog import ListedCommits, list_commit_names, list_commits
from farshore.catalog.needs import objects_of, own_objects, read_needs_runs
from farshore.catalog.notes import kept_commits
from farshore.catalog.signed_commits import SignedCommit
from farshore.catalog.tombstones import active_among, read_every_tombstone
from farshore.errors import CACHED_READ_ERRORS, ObjectCorrupt, PruneRefused
from farshore.format import decode_signed, names
from farshore.format.commit import CommitHead
from farshore.format.lease import EndState, LeaseEnd
from farshore.format.names import CommitName
from farshore.format.object_kinds import Kind
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.limits import COMMIT_BYTES_MAX
from farshore.ops.prune.commits import CommitReader
from farshore.ops.prune.id_set import IdSet, Table
from farshore.replicas.leases import ListedLease
from farshore.replicas.repository import Replica, Repository
from farshore.trust.actions import Right

_HASH_DIGITS = 64


@dataclass
class Needed:
    """The objects that snapshots need: packs by id, data keys and runs by the hash in their names.

    `runs`: hashes of the runs of needs that are in it.
    """

    packs: IdSet = field(default_factory=IdSet)
    others: IdSet = field(default_factory=IdSet)
    runs: set[str] = field(default_factory=set)

    def add(self, name: str, kind: Kind) -> None:
        """Add one object."""
        ids = self.packs if kind is Kind.PACK else self.others
        ids.add(bytes.fromhex(name[-_HASH_DIGITS:]))


@dataclass
class Roots:
    """The commits of a replica, and the objects that must stay there.

    `commits`: hashes of the commits that it was made from, those promised by leases too. `must`: the needs of
    commits that count and are listed here, so they must be here; `may`: those of others here. `soft`: the needs of
    commits that only other replicas list; they are not condemned, and go once they are. `going`: the forgotten commits
    among those listed here.
    """

    commits: set[str] = field(default_factory=set)
    must: Needed = field(default_factory=Needed)
    may: Needed = field(default_factory=Needed)
    soft: Needed = field(default_factory=Needed)
    going: dict[str, CommitHead] = field(default_factory=dict)

    def needs_packs(self, ids: Table, *, soft: bool = False) -> Table:
        """Return for each pack whether something here needs it, or elsewhere."""
        found: Table = self.must.packs.among(ids) | self.may.packs.among(ids)
        return found | self.soft.packs.among(ids) if soft else found

    def needs(self, name: str, *, soft: bool = False) -> bool:
        """Whether something here needs a run, a data key, or a commit, or elsewhere."""
        one = bytes.fromhex(name[-_HASH_DIGITS:])
        if name.startswith(names.SNAPSHOTS):
            return one.hex() not in self.going
        return one in self.must.others or one in self.may.others or (soft and one in self.soft.others)


class RootReader:
    """Finds the roots at one replica; reads each commit and each needs once.

    Args:
        grace: For how long after it was forgotten a snapshot stays.
        writes: Whether tombstones that only other replicas have are put here.
    """

    def __init__(self, repository: Repository, replica: Replica, grace: timedelta, *, writes: bool = True) -> None:
        self._repository = repository
        self._replica = replica
        self._grace = grace
        self._writes = writes
        self.reader = CommitReader(repository, replica)
        self.roots = Roots()
        self.listed: ListedCommits | None = None
        self.tombstones: dict[str, dict[str, Tombstone]] = {}
        self.in_grace: dict[str, datetime] = {}
        self._added: set[str] = set()
        self._stones: Mapping[str, Tombstone | CounterTombstone] = {}

    def read(self, leases: Iterable[ListedLease]) -> Roots:
        """Return the roots: step P2.

        Raises:
            PruneRefused: A commit, its needs or the end of a lease cannot be read, so what it needs is not known.
            FarshoreError: The replica cannot be asked now.
        """
        decided = list(leases)
        self.reader.read()
        self.listed = list_commits(self._repository)
        self._read_tombstones(decided)
        self._refuse_damaged()
        self._add_listed()
        self._add_promised(decided)
        for one, head in self.listed.heads.items():
            if one not in self.roots.commits and not self._is_going(one):
                self._add_soft(head)
        return self.roots

    def read_again(self, leases: Iterable[ListedLease]) -> Roots:
        """Return the roots with what is needed now beyond those that were read before: step P6. Raises as `read`."""
        decided = list(leases)
        self.reader.read()
        self._read_tombstones(decided)
        self.roots.going = {}
        self._add_listed()
        self._add_promised(decided)
        return self.roots

    def countered(self) -> set[str]:
        """Return the hashes of the tombstones that something counters here, as they were read last."""
        active = {one for stones in active_among(self._stones).values() for one in stones}
        return {name[-_HASH_DIGITS:] for name in self._stones if name.startswith(names.FORGOTTEN)} - active

    def approvals(self) -> set[str]:
        """Return the hashes of the approvals without which some of what goes would stay."""
        return (
            approvals_to_forget(self._repository, self.listed, self.roots.going) if self.listed is not None else set()
        )

    def _read_tombstones(self, leases: Iterable[ListedLease]) -> None:
        """Read the tombstones whose grace is over, and bring those of other replicas here.

        An unforget that was decided here counters those that it names, whether its word is put or not.
        """
        name = self._replica.name
        found = read_every_tombstone(self._repository, required=name)
        found.require_read(name)
        self._stones = found.stones()
        if self._writes:
            folded = found.covered_at(name)
            for one in (*found.sets, *found.singles):
                lacks = name not in found.holders[one] and one not in folded
                data = self._repository.cache.get(one) if lacks else None
                if data is not None:
                    self._replica.store.put(one, data)
        may = self._repository.trust.may
        held = {one for signer, end in self._ends(leases) if may(signer, Right.MAINTAIN) for one in end.commits}
        latest_utc = self._repository.clock.now_utc() - self._grace
        self.tombstones, self.in_grace = {}, {}
        kept = self._spared()
        for commit, stones in active_among(self._stones).items():
            if commit in kept:
                continue
            active = {one: stone for one, stone in stones.items() if one not in held}
            counting = {one: stone for one, stone in active.items() if stone.made_utc <= latest_utc}
            if counting:
                self.tombstones[commit] = counting
            elif active:
                self.in_grace[commit] = min(stone.made_utc for stone in active.values()) + self._grace

    def _spared(self) -> set[str]:
        """Return the commits that stay though they are forgotten: pinned, held, or without the approvals they need."""
        if self.listed is None:
            return set()
        kept = kept_commits(self._repository, self.listed)
        return {*kept, *unapproved_commits(self._repository, self.listed)}

    def _is_going(self, commit: str) -> bool:
        return commit in self.tombstones

    def _add_listed(self) -> None:
        found = self.reader.found
        for one, head in found.heads.items():
            if self._is_going(one):
                self.roots.going[one] = head
                continue
            self.roots.commits.add(one)
            self._add(head, self.roots.must if one in found.accepted else self.roots.may)

    def _add_promised(self, leases: Iterable[ListedLease]) -> None:
        """Add the commits that ends of leases have decided, put or not: from the end on their needs are needed."""
        stones = {one[-_HASH_DIGITS:] for one in self._stones}
        unknown: set[str] = set()
        for _, end in self._ends(leases):
            if end.commit:
                self._add_stored(end)
            unknown.update(set(end.commits) - stones)
        for one in sorted(unknown - self.roots.commits - self.tombstones.keys()):
            self.roots.commits.add(one)
            self._add(self._find(one), self.roots.may)

    def _ends(self, leases: Iterable[ListedLease]) -> list[tuple[str, LeaseEnd]]:
        """Return the ends that commit, each after its signer; of a revoked one only those with a commit in them.

        Raises:
            PruneRefused: A lease is decided in a way that this version does not know.
        """
        found = []
        for lease in leases:
            decision = lease.decision
            if decision is None or decision.state in (EndState.BROKEN, EndState.ENDED):
                continue
            if decision.end is None or decision.state != EndState.COMMITTING:
                raise PruneRefused(
                    f"lease {lease.lease_id} is {decision.state}, which is not known here",
                    "Prune with the version of Farshore that wrote it.",
                )
            trust = self._repository.trust
            if (
                decision.end.commit
                or trust.may(decision.signer, Right.HEAL)
                or trust.may(decision.signer, Right.BACKUP)
            ):
                found.append((decision.signer, decision.end))
        return found

    def _add_stored(self, end: LeaseEnd) -> None:
        """Add the commit that an end holds, as far as it is one."""
        try:
            value = decode_signed(end.commit, "the commit in the end of a lease", COMMIT_BYTES_MAX).value
            name = names.parse_commit(
                names.commit(str(value.get("source_id")), str(value.get("snapshot")), names.hash_of(end.commit))
            )
            signed = self.reader.judge(name, end.commit) if name is not None else None
        except ObjectCorrupt:
            return
        if isinstance(signed, SignedCommit) and not self._is_going(signed.head.hash):
            self.roots.commits.add(signed.head.hash)
            self._add(signed.head, self.roots.may)

    def _find(self, commit: str) -> CommitHead:
        """Return a commit that a heal decided to put here, from the replica that it was copied from.

        Raises:
            PruneRefused: No replica shows it, so what it needs is not known.
        """
        listed = self.listed
        head = listed.heads.get(commit) or listed.forgotten.get(commit) if listed is not None else None
        if head is not None:
            return head
        found: dict[str, CommitName | None] = {}
        for replica in self._repository.replicas.values():
            try:
                listed_there = [one for one in list_commit_names(replica) if one.hash == commit]
            except CACHED_READ_ERRORS:
                continue
            found.update(dict.fromkeys([replica.name], listed_there[0] if listed_there else None))
        for replica_name, name in found.items():
            signed = self._read_at(replica_name, name) if name is not None else None
            if isinstance(signed, SignedCommit):
                return signed.head
        raise PruneRefused(
            f"a heal has decided to put commit {commit}, which no replica shows now",
            "Bring the other replicas back, heal, then prune.",
        )

    def _read_at(self, replica: str, name: CommitName) -> object:
        try:
            return CommitReader(self._repository, self._repository.replicas[replica]).read_one(name)
        except CACHED_READ_ERRORS:
            return None

    def _add(self, head: CommitHead, into: Needed) -> None:
        """Add what a commit needs, once."""
        if head.hash in self._added:
            return
        try:
            self._add_needs(into, head, self._replica)
        except CACHED_READ_ERRORS as error:
            raise PruneRefused(
                f"the needs of snapshot {head.snapshot} cannot be read: {error}",
                "Heal the replica; where no replica has them, forget that snapshot.",
            ) from error
        self._added.add(head.hash)

    def _add_soft(self, head: CommitHead) -> None:
        """Add what a commit needs that only other replicas list, as far as one of them gives it."""
        listed = self.listed
        for name in listed.holders.get(head.hash, ()) if listed is not None else ():
            try:
                self._add_needs(self.roots.soft, head, self._repository.replicas[name])
            except CACHED_READ_ERRORS:
                continue
            return

    def _add_needs(self, into: Needed, head: CommitHead, source: Replica) -> None:
        """Add what the runs of a commit's needs name, each run once: snapshots share most of them."""
        for run in read_needs_runs(self._repository, source, head, known=into.runs):
            for one in objects_of(head, run.needs):
                if one.kind is not Kind.COMMIT:
                    into.add(one.name, one.kind)
            into.runs.add(run.ref.blake3)
        for one in own_objects(head):
            into.add(one.name, one.kind)

    def _refuse_damaged(self) -> None:
        """Raise where a commit that something else knows is damaged here, so its needs are not known."""
        if self.listed is None:
            return
        known: Mapping[str, object] = {**self.listed.heads, **self.listed.forgotten}
        for one in self.reader.found.damaged:
            if one.hash in known and not self._is_going(one.hash):
                raise PruneRefused(
                    f"{one.name} is damaged, and another replica has it whole",
                    "Heal the replica first.",
                )
