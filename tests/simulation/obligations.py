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
from farshore.format.lease import EndState, decode_end, decode_lease
from farshore.format.needs import decode_needs, join_needs
from farshore.format.plan import PlanState, decode_plan
from farshore.format.tombstone import decode_counter, decode_tombstone
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
    stones: dict[str, dict[str, str]] = field(default_factory=dict)  # by commit: tombstone hash -> name
    plans: dict[int, dict[str, frozenset[str]]] = field(default_factory=dict)  # by number: state -> names

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
        self.countered: set[str] = set()  # hashes of tombstones
        self.broken: list[str] = []
        self.snapshot_of_run: dict[str, str] = {}  # by the process that put the lease
        for name, shelf in shelves.items():
            for one, (data, _) in list(shelf.objects.items()):
                self._note(name, one, data)

    def on_put(self, replica: str, name: str, data: bytes, by: str) -> None:
        """Look at an object that was put."""
        if name in self.replicas[replica].condemned:
            self.broken.append(f"O6: {by} put {name} at {replica} while a plan condemns it")
        self._note(replica, name, data)
        beat = names.parse_lease(name)
        if beat is not None and beat.beat == 0:
            self.snapshot_of_run[by] = decode_lease(body_of(name, data), name).snapshot
        commit = names.parse_commit(name)
        if commit is not None:
            self._check_whole(replica, commit.hash, by)
            if not self._is_promised(replica, commit.hash):
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
        if stone is not None:
            self.broken.append(f"O10: {by} deleted {name} at {replica}")
        for one in sorted(there.commits):
            known = self.commits[one]
            if known.needed is not None and name in known.needed and self.counts(replica, one):
                self.broken.append(f"O1: {by} deleted {name} at {replica}, which {known.head.snapshot} needs")

    def counts(self, replica: str, commit_hash: str) -> bool:
        """Whether some reader that reaches this replica lists a commit if it is there."""
        stones = self.replicas[replica].stones.get(commit_hash, {})
        return all(one in self.countered for one in stones)

    def forgotten(self, commit_hash: str) -> bool:
        """Whether a reader that reaches all replicas takes a commit for forgotten."""
        return any(
            one not in self.countered for there in self.replicas.values() for one in there.stones.get(commit_hash, ())
        )

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
        commit, plan = names.parse_commit(name), names.parse_plan(name)
        if commit is not None:
            there.commits.add(commit.hash)
            if commit.hash not in self.commits:
                head, _ = decode_head(body_of(name, data), name)
                self.commits[commit.hash] = Known(replace(head, hash=commit.hash))
        elif name.startswith(names.FORGOTTEN):
            stone = decode_tombstone(body_of(name, data), name)
            there.stones.setdefault(stone.commit, {})[name[-64:]] = name
        elif name.startswith(names.UNFORGOTTEN):
            self.countered.update(decode_counter(body_of(name, data), name).tombstones)
        elif plan is not None:
            part = decode_plan(body_of(name, data), name)
            there.plans.setdefault(plan[0], {})[part.state] = frozenset(part.names)

    def _check_whole(self, replica: str, commit_hash: str, by: str) -> None:
        """O1 at one replica, for one commit."""
        there = self.replicas[replica]
        if commit_hash not in there.commits or not self.counts(replica, commit_hash):
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

    def _is_promised(self, replica: str, commit_hash: str) -> bool:
        """Whether the deciding end of a lease at this replica commits to this commit."""
        objects = self.replicas[replica].shelf.objects
        for name in [one for one in objects if one.startswith(names.LEASES) and one.endswith("/end/0")]:
            end = decode_end(body_of(name, objects[name][0]), name)
            if end.state == EndState.COMMITTING and (
                commit_hash in end.commits or (end.commit and names.hash_of(end.commit) == commit_hash)
            ):
                return True
        return False
