"""Which objects the snapshots need, by their signed commits and the needs that these name. Needs no key.

So replicas are held in sync by what writers signed, and by no row of a table that anybody may have written.
Names carry hashes, so what an object must be is in its name; here is only which objects are wanted, and how large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from farshore.catalog import list_commits, read_commits
from farshore.catalog.approvals import read_approval_objects
from farshore.catalog.needs import NeededObject, objects_of, own_objects, read_needs
from farshore.catalog.notes import read_note_objects
from farshore.catalog.signed_commits import Refusal
from farshore.catalog.snapshots import places_of
from farshore.catalog.tombstones import FoundTombstones, read_tombstones
from farshore.catalog.verdicts import read_verdict_objects
from farshore.errors import CACHED_READ_ERRORS, READ_ERRORS
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.names import CommitName, parse_commit
from farshore.format.object_kinds import Kind
from farshore.index import ABSENT
from farshore.repair.object_kinds import kind_of
from farshore.repair.replica_listing import Expected, Union
from farshore.repair.vouching import VOUCHED_KINDS, Vouching
from farshore.repair.withholding import Withholding
from farshore.replicas.repository import Replica, Repository
from farshore.trust.order import Place


class NeededObjects:
    """The objects that the commits that count need. Reads every commit, and the needs of one snapshot at a time.

    Args:
        replicas: All that were listed, also those that have no header and so are not part of the repository.
    """

    def __init__(self, repository: Repository, union: Union, replicas: Mapping[str, Replica]) -> None:
        self._repository = repository
        self._replicas = replicas
        listed = list_commits(repository)
        places = places_of(repository, listed)
        # Not those committed since the replicas were listed: their objects are in no listing, and not lost.
        self._heads = {head.name: head for head in listed.heads.values() if union.sizes(head.name)}
        self._holders = {head.name: listed.holders[head.hash] for head in self._heads.values()}
        self._damaged = {one.name.name for one in listed.refused if one.reason is Refusal.DAMAGED}
        self._refused = {one.name.name for one in listed.refused} - self._damaged
        # A copy of one that is dated in the future has a store time of its own, so it would look sound after that date.
        self.withheld = frozenset(head.name for head in self._heads.values() if places[head.hash] is Place.MISDATED)
        self._add_outside(union)

    def lacking(self, union: Union, replica: str) -> list[str]:
        """Return the misdated commits that others list and this replica does not; they stay where they are."""
        return sorted(name for name in self.withheld if replica not in union.sizes(name))

    def expected(self, union: Union) -> Expected:
        """Return sizes, lost objects and the objects to spread."""
        claims: dict[str, set[int]] = {}  # needs of a stolen writer may say anything of objects of others
        lost: dict[str, int] = {}
        parts = {*self._heads, *self._damaged}
        needed_packs = np.zeros(len(union.packs), dtype=bool)
        for _, needed, whole in self._needs(self._heads):
            packs = [one for one in needed if one.kind is Kind.PACK]
            rows = union.packs.find([one.name.rpartition("/")[2] for one in packs])
            needed_packs[rows[rows != ABSENT]] = True
            for one, row in zip(packs, rows, strict=True):
                size = one.size or 0
                if row == ABSENT:
                    lost[one.name] = size
                elif any(union.packs.bytes_at(replica, int(row)) not in (ABSENT, size) for replica in union.replicas):
                    claims.setdefault(one.name, set()).add(size)
            for one in needed:
                if one.kind is Kind.PACK:
                    continue
                parts.add(one.name)
                claims.setdefault(one.name, set()).add(one.size or 0)
                if not union.sizes(one.name):
                    lost[one.name] = one.size or 0
            if not whole:  # which keys it needs is not known, so all are kept
                needed_packs[:] = True
                parts.update(one for one in union.others if kind_of(one) is Kind.DATA_KEY)
                parts.update(one for one in union.others if kind_of(one) is Kind.RUN)
        tombstones = self._tombstones(union)
        parts.update((*tombstones.singles, *tombstones.sets))
        parts.update(self._verdicts(union))
        parts.update(self._notes(union))
        parts.update(self._approvals(union))
        vouching = Vouching(self._repository, self._replicas)
        strangers = vouching.strangers(_doubtful(union, needed_packs))
        sizes = {name: _settled(said, union.sizes(name).values()) for name, said in claims.items()}
        withhold = Withholding(self._repository, self._replicas, union, needed_packs)
        withheld = {
            replica: {
                *tombstones.covered_at(replica),
                *(withhold.from_replica(replica) if replica in union.pruned else ()),
                *(vouching.folded_at(replica) if _lacks_audit(union, replica) else ()),
            }
            for replica in union.replicas
        }
        return Expected(sizes, lost, parts - self.withheld, strangers, withheld)

    def counts(self, commit: str) -> bool:
        """Whether some replica gives a commit of that name that counts."""
        return commit in self._heads

    def _tombstones(self, union: Union) -> FoundTombstones:
        """Return the tombstones, counter-objects and sets that a maintainer signed; any other is not spread."""
        listed = {name: sizes.keys() for name, sizes in union.others.items() if kind_of(name) is Kind.TOMBSTONE}
        return read_tombstones(self._repository, listed, self._replicas)

    def _verdicts(self, union: Union) -> Collection[str]:
        """Return the verdicts on packs that count; any other is not spread."""
        listed = {name: sizes.keys() for name, sizes in union.others.items() if kind_of(name) is Kind.VERDICT}
        return read_verdict_objects(self._repository, listed, self._replicas).keys()

    def _notes(self, union: Union) -> Collection[str]:
        """Return the notes on snapshots that count; any other is not spread."""
        listed = {name: sizes.keys() for name, sizes in union.others.items() if kind_of(name) is Kind.NOTE}
        return read_note_objects(self._repository, listed, self._replicas).keys()

    def _approvals(self, union: Union) -> Collection[str]:
        """Return the requests and approvals that count; any other is not spread."""
        listed = {name: sizes.keys() for name, sizes in union.others.items() if kind_of(name) is Kind.APPROVAL}
        return read_approval_objects(self._repository, listed, self._replicas).keys()

    def blocked(self, bad: Collection[str], commits: Collection[str]) -> Mapping[str, str]:
        """Return which of these commits must not be put while `bad` objects are not whole, each with one of them."""
        found: dict[str, str] = {}
        for name, needed, whole in self._needs([one for one in commits if one in self._heads]) if bad else ():
            damaged = next((one.name for one in needed if one.name in bad), "")
            if damaged or not whole:
                found[name] = damaged or self._heads[name].needs[-1].name
        return found

    def touched(self, bad: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the snapshots that need each of these objects."""
        found: dict[str, tuple[str, ...]] = {}
        for name, needed, _ in self._needs(self._heads) if bad else ():
            for one in needed:
                if one.name in bad:
                    found[one.name] = (*found.get(one.name, ()), self._heads[name].snapshot)
        return found

    def _needs(self, commits: Iterable[str]) -> Iterator[tuple[str, list[NeededObject], bool]]:
        """Yield for each commit every object that its snapshot needs besides, and whether all of them are known.

        A snapshot whose needs no replica has whole yields only the runs that its commit names.
        """
        for name in commits:
            head = self._heads[name]
            for replica in self._readable(name):
                try:
                    needs = read_needs(self._repository, replica, head)
                except CACHED_READ_ERRORS:
                    continue
                yield name, [one for one in objects_of(head, needs) if one.kind is not Kind.COMMIT], True
                break
            else:
                yield name, list(own_objects(head)), False

    def _readable(self, name: str) -> list[Replica]:
        """Return the replicas in the order to ask them for the needs of a commit: first those that hold it."""
        first = [self._replicas[replica] for replica in self._holders[name] if replica in self._replicas]
        return first + [replica for replica in self._replicas.values() if replica not in first]

    def _add_outside(self, union: Union) -> None:
        """Read the commits that only replicas without a header list."""
        for replica in self._replicas.values():
            if replica.name in self._repository.replicas:
                continue
            wanted = [
                one for one in _commit_names(union, replica.name) if one.name not in {*self._heads, *self._refused}
            ]
            try:
                read = read_commits(self._repository, replica, wanted)
            except READ_ERRORS:
                continue
            for head in read.accepted:
                self._add(head, replica.name)

    def _add(self, head: CommitHead, replica: str) -> None:
        self._heads[head.name] = head
        self._holders[head.name] = (*self._holders.get(head.name, ()), replica)
        self._damaged.discard(head.name)


def _settled(said: Collection[int], listed: Collection[int]) -> int:
    """Return the size of an object that needs say; 0, so that it is read, where they differ or no replica lists it."""
    (first, *others) = said
    return first if not others and (not listed or first in listed) else 0


def _doubtful(union: Union, needed_packs: npt.NDArray[np.bool_]) -> dict[str, Mapping[str, int]]:
    """Return the objects that some replica lacks, may get, and no commit needs, with their sizes where they are."""
    found: dict[str, Mapping[str, int]] = {}
    rows = np.arange(len(union.packs))
    unpruned = [one for one in union.replicas if one not in union.pruned]
    for replica in unpruned if len(rows) else ():
        for row in rows[(union.packs.sizes_at(replica, rows) == ABSENT) & ~needed_packs]:
            name = names.pack(union.packs.pack_id(int(row)))
            found[name] = union.sizes(name)
    others = union.others.items()
    lacked = {name: sizes for name, sizes in others if len(sizes) < len(union.replicas)}
    return found | {name: sizes for name, sizes in lacked.items() if kind_of(name) in VOUCHED_KINDS}


def _commit_names(union: Union, replica: str) -> list[CommitName]:
    parsed = (parse_commit(name) for name, sizes in union.others.items() if replica in sizes)
    return [one for one in parsed if one is not None]


def _lacks_audit(union: Union, replica: str) -> bool:
    """Whether others list seals or audit files that a replica does not."""
    return any(replica not in sizes and kind_of(name) in (Kind.SEAL, Kind.AUDIT_FILE)
               for name, sizes in union.others.items())  # fmt: skip
