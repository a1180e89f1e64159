"""What must hold at every replica, looked at with each object that a store gains or loses.

It reads the objects themselves and asks no store, so it sees what no process sees. It believes every object: nobody
forges anything in a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from farshore.catalog.needs import objects_of
from farshore.format import JsonObject, decode_signed, names
from farshore.format.commit import CommitHead, decode_head
from farshore.format.lease import EndState, LeaseEnd, decode_end, decode_lease
from farshore.format.needs import decode_needs, join_needs
from farshore.format.plan import PlanState, decode_plan
from farshore.format.tombstone import decode_counter, decode_tombstone
from farshore.format.tombstone_set import decode_set
from farshore.stores.memory import Shelf
from farshore.trust.order import SKEW


def body_of(name: str, data: bytes) -> JsonObject:
    """Return the body of a signed text, without a look at its signature."""
    return decode_signed(data, name, len(data)).value


@dataclass
class Known:
    """One commit: its head, and the names of all that it needs, once its needs have been seen."""

    head: CommitHead
    needed: frozenset[str] | None = None


@dataclass
class Replica:
    """The objects of one replica that decide on others."""

    shelf: Shelf
    commits: set[str] = field(default_factory=set)  # hashes
    stones: dict[str, set[str]] = field(default_factory=dict)  # by commit: hashes of tombstones
    countered: set[str] = field(default_factory=set)  # hashes of tombstones
    sets: dict[str, frozenset[str]] = field(default_factory=dict)  # of tombstones, by name: hashes of what is in each
    promised: set[str] = field(default_factory=set)  # hashes in ends that committed: of commits, and of tombstones
    leases: dict[str, str] = field(default_factory=dict)  # the first one of each process
    late: set[str] = field(default_factory=set)  # hashes of commits that were forgotten when they were put
    broken_ends: set[str] = field(default_factory=set)  # names
    plans: dict[int, dict[str, frozenset[str]]] = field(default_factory=dict)  # by number: state -> names
    condemned_before: dict[str, frozenset[str]] = field(default_factory=dict)  # by lease, with its first beat

    @property
    def condemned(self) -> frozenset[str]:
        """What plans condemn that are not closed."""
        open_plans = [parts for parts in self.plans.values() if PlanState.CLOSED not in parts]
        return frozenset().union(*(parts.get(PlanState.CONDEMNED, frozenset()) for parts in open_plans))


class Obligations:
    """Looks on at all replicas. `broken`: what did not hold, each with the obligation."""

    def __init__(self, shelves: Mapping[str, Shelf]) -> None:
        self.replicas = {name: Replica(shelf) for name, shelf in shelves.items()}
        self.commits: dict[str, Known] = {}
        self.broken: list[str] = []
        self.snapshot_of: dict[str, str] = {}  # by the process that put the lease
        for name, shelf in shelves.items():
            for one, (data, _) in list(shelf.objects.items()):
                self._note(name, one, data)
            for commit in list(self.replicas[name].commits):
                self._check_whole(name, commit, "nobody", counting=False)

    def on_put(self, replica: str, name: str, data: bytes, by: str) -> None:
        """Look at an object that was put."""
        there = self.replicas[replica]
        if name in there.condemned & there.condemned_before.get(there.leases.get(by, ""), frozenset()):
            self.broken.append(f"O6: {by} put {name} at {replica} while a plan condemns it")
        self._note(replica, name, data)
        beat = names.parse_lease(name)
        if beat is not None and beat.k == 0:
            self._check_apart(replica, beat.lease, decode_end(body_of(name, data), name), by)
        if beat is not None and beat.beat == 0:
            there.leases.setdefault(by, beat.lease)
            there.condemned_before[beat.lease] = there.condemned
            self.snapshot_of[by] = decode_lease(body_of(name, data), name).snapshot
        commit = names.parse_commit(name)
        if commit is not None:
            if not self.counts(replica, commit.hash):
                self.replicas[replica].late.add(commit.hash)
            self._check_whole(replica, commit.hash, by)
            if commit.hash not in self.replicas[replica].promised:
                self.broken.append(f"O4: {by} put {name} at {replica}, and no lease there decided for it")
        if name.startswith(names.UNFORGOTTEN):
            for commit_hash in sorted(self.replicas[replica].stones):
                self._check_whole(replica, commit_hash, by)

    def on_delete(self, replica: str, name: str, by: str) -> None:
        """Look at an object that was deleted."""
        there = self.replicas[replica]
        commit = names.parse_commit(name)
        if commit is not None:
            there.commits.discard(commit.hash)
            if self.counts(replica, commit.hash):
                self.broken.append(f"O1: {by} deleted the commit {name} at {replica}, and it is not forgotten")
            return
        stone = names.parse_tombstone(name)
        lost = {stone.hash} if stone is not None else there.sets.pop(name, frozenset())
        if not lost <= frozenset().union(*there.sets.values()):
            self.broken.append(f"O10: {by} deleted {name} at {replica}, and no set there has it")
        lease = names.parse_lease(name)
        if lease is not None and name in there.broken_ends:
            self.broken.append(f"O4: {by} deleted {name} at {replica}, which keeps a suspended writer from its commit")
        for one in sorted(there.commits):
            known = self.commits[one]
            if known.needed is None or name not in known.needed:
                continue
            if self.counts(replica, one):
                self.broken.append(f"O1: {by} deleted {name} at {replica}, which {known.head.snapshot} needs")
            elif one not in there.late:
                self.broken.append(f"O9: {by} deleted {name} at {replica} before the commit of {known.head.snapshot}")

    def counts(self, replica: str, commit_hash: str) -> bool:
        """Whether a commit counts by what is at this replica alone."""
        there = self.replicas[replica]
        return there.stones.get(commit_hash, set()) <= there.countered | there.promised

    def forgotten(self, commit_hash: str) -> bool:
        """Whether a reader that reaches all replicas takes a commit for forgotten."""
        countered = {one for there in self.replicas.values() for one in there.countered}
        return any(there.stones.get(commit_hash, set()) - countered for there in self.replicas.values())

    def garbage(self, replica: str) -> list[str]:
        """Return the packs, runs and data keys that no commit at a replica needs (O12)."""
        there = self.replicas[replica]
        needed = {one for commit in there.commits for one in self.commits[commit].needed or ()}
        kinds = (names.PACKS, names.RUNS, names.DATA_KEYS)
        return sorted(one for one in there.shelf.objects if one.startswith(kinds) and one not in needed)

    def is_misdated(self, commit_hash: str) -> bool:
        """Whether a commit is dated later than the stores saw it."""
        head = self.commits[commit_hash].head
        put = [
            there.shelf.objects[head.name][1] for there in self.replicas.values() if head.name in there.shelf.objects
        ]
        return bool(put) and head.committed_utc > min(put) + SKEW

    def holders(self, commit_hash: str) -> list[str]:
        """The replicas where a commit is."""
        return [name for name, there in self.replicas.items() if commit_hash in there.commits]

    def _note(self, replica: str, name: str, data: bytes) -> None:
        there = self.replicas[replica]
        commit, plan, lease = names.parse_commit(name), names.parse_plan(name), names.parse_lease(name)
        if commit is not None:
            there.commits.add(commit.hash)
            if commit.hash not in self.commits:
                head, _ = decode_head(body_of(name, data), name)
                self.commits[commit.hash] = Known(replace(head, hash=commit.hash))
        elif names.parse_tombstone_set(name):
            self._note_set(there, name, data)
        elif name.startswith(names.FORGOTTEN):
            stone = decode_tombstone(body_of(name, data), name)
            there.stones.setdefault(stone.commit, set()).add(name[-64:])
        elif name.startswith(names.UNFORGOTTEN):
            there.countered.update(decode_counter(body_of(name, data), name).tombstones)
        elif lease is not None and lease.k == 0:
            self._note_end(there, decode_end(body_of(name, data), name))
        elif plan is not None:
            part = decode_plan(body_of(name, data), name)
            there.plans.setdefault(plan[0], {})[part.state] = frozenset(part.every_name())

    @staticmethod
    def _note_set(there: Replica, name: str, data: bytes) -> None:
        rows = decode_set(body_of(name, data), name)
        there.sets[name] = frozenset(rows.hashes())
        for stone, commit in rows.commits(lambda _: True).items():
            there.stones.setdefault(commit, set()).add(stone)
        there.countered.update(rows.countered(lambda _: True))

    def _check_apart(self, replica: str, lease: str, end: LeaseEnd, by: str) -> None:
        """O5: a lease decides on nothing that a plan condemned before its first beat and condemns still."""
        there = self.replicas[replica]
        if end.state != EndState.COMMITTING:
            return
        condemned = there.condemned & there.condemned_before.get(lease, frozenset())
        stones = {stone: commit for commit, stones in there.stones.items() for stone in stones}
        for one in (names.hash_of(end.commit),) if end.commit else end.commits:
            needed = self._promised_needs(there, end.commit) if end.commit else self._needs_of(stones.get(one, one))
            for name in sorted(condemned & needed):
                self.broken.append(f"O5: {by} decided at {replica} for a commit that needs {name}, which is condemned")

    def _needs_of(self, commit_hash: str) -> frozenset[str]:
        known = self.commits.get(commit_hash)
        return known.needed or frozenset() if known is not None else frozenset()

    @staticmethod
    def _promised_needs(there: Replica, stored: bytes) -> frozenset[str]:
        """Return what the commit in the end of a lease needs, as far as its needs are here."""
        head, _ = decode_head(body_of("the commit in an end", stored), "the commit in an end")
        runs = [run.name for run in head.needs if run.name in there.shelf.objects]
        needs = join_needs(decode_needs(there.shelf.objects[run][0], run) for run in runs)
        return frozenset(one.name for one in objects_of(replace(head, hash=names.hash_of(stored)), needs))

    def _note_end(self, there: Replica, end: LeaseEnd) -> None:
        if end.state == EndState.COMMITTING:
            there.promised.update((names.hash_of(end.commit),) if end.commit else end.commits)
        if end.state == EndState.BROKEN:
            there.broken_ends.add(names.lease_end(end.lease, end.k))

    def _check_whole(self, replica: str, commit_hash: str, by: str, *, counting: bool = True) -> None:
        """O1 at one replica, for one commit."""
        there = self.replicas[replica]
        if commit_hash not in there.commits or (counting and not self.counts(replica, commit_hash)):
            return
        known = self.commits[commit_hash]
        if known.needed is None:
            runs = [run.name for run in known.head.needs]
            if not there.shelf.objects.keys() >= set(runs):
                self.broken.append(f"O1: at {replica} {known.head.snapshot} of {by} lacks needs among {runs}")
                return
            needs = join_needs(decode_needs(there.shelf.objects[run][0], run) for run in runs)
            known.needed = frozenset(one.name for one in objects_of(known.head, needs))
        for lacking in sorted(known.needed.difference(there.shelf.objects)):
            self.broken.append(f"O1: at {replica} {known.head.snapshot} of {by} lacks {lacking}")
