"""Listings of all replicas, joined: an object that one lacks shows by the others that have it.

A listing is never proof of absence: an object it leaves out is asked for by name before it counts as missing, and a
replica whose listing leaves out existing objects is not healed and not copied from in this run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from farshore import limits
from farshore.catalog.listed_packs import ListedPacks
from farshore.catalog.listings import PackListing
from farshore.errors import FarshoreError, ObjectNotFound, StoreUnavailable
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.object_kinds import Kind
from farshore.index import ABSENT
from farshore.repair.object_kinds import is_ignored, kind_of
from farshore.replicas.repository import Replica, Repository

_RELISTINGS_MAX = 3


@dataclass
class Listing:
    """Every object that one replica lists: packs by 40 bytes each, the others by name, foreign ones by name."""

    packs: PackListing
    objects: dict[str, int] = field(default_factory=dict)  # all but packs
    foreign: list[str] = field(default_factory=list)  # at most the first `PROBLEMS_KEPT_MAX`
    foreign_total: int = 0
    has_plans: bool = False  # names of plans, whoever put them

    @property
    def commits(self) -> set[str]:
        """The names of the commits."""
        return {name for name in self.objects if kind_of(name) is Kind.COMMIT}

    @property
    def holds_data(self) -> bool:
        """Whether there is more than a header, the owner log and key slots."""
        return len(self.packs.pack_ids) > 0 or any(
            kind_of(name) not in (Kind.HEADER, Kind.ACCEPTED, Kind.LOG, Kind.SLOT) for name in self.objects
        )


def list_everything(replica: Replica) -> Listing:
    """List one replica: snapshots first, so that the objects they need are listed after them and cannot be missed."""
    ids, sizes = bytearray(), bytearray()
    listing = Listing(PackListing(np.zeros(0, PACK_ID_DTYPE), np.zeros(0, np.int64), {}))
    for prefix in (names.SNAPSHOTS, ""):
        for info in replica.store.list(prefix):
            if not prefix and info.name.startswith(names.SNAPSHOTS):
                continue
            kind = kind_of(info.name)
            if kind is Kind.PACK:
                ids += bytes.fromhex(info.name.rpartition("/")[2])
                sizes += info.size.to_bytes(8, "little")
            elif kind is not None:
                listing.objects[info.name] = info.size
            elif not is_ignored(info.name):
                listing.has_plans = listing.has_plans or info.name.startswith(names.PLANS)
                listing.foreign_total += 1
                if len(listing.foreign) < limits.PROBLEMS_KEPT_MAX:
                    listing.foreign.append(info.name)
    listing.packs = PackListing(np.frombuffer(ids, PACK_ID_DTYPE), np.frombuffer(sizes, "<i8"), {})
    return listing


class Union:
    """Every object that some replica lists, and where somebody plans to delete. Reads are safe from many threads."""

    def __init__(self, listings: Mapping[str, Listing]) -> None:
        self.replicas = tuple(listings)
        self.packs = ListedPacks({name: one.packs for name, one in listings.items()})
        self.pruned = frozenset(name for name, one in listings.items() if one.has_plans)
        self.others: dict[str, dict[str, int]] = {}
        for replica, listing in listings.items():
            for name, size in listing.objects.items():
                self.others.setdefault(name, {})[replica] = size

    def sizes(self, name: str) -> dict[str, int]:
        """Return the size that each replica lists for an object; replicas that do not list it are left out."""
        if kind_of(name) is not Kind.PACK:
            return self.others.get(name, {})
        (row,) = self.packs.find([name.rpartition("/")[2]])
        if row == ABSENT:
            return {}
        found = {replica: self.packs.bytes_at(replica, int(row)) for replica in self.replicas}
        return {replica: size for replica, size in found.items() if size != ABSENT}

    def packs_lacking(self, replica: str) -> Iterator[str]:
        """Yield the packs that others list and this replica does not."""
        rows = np.arange(len(self.packs))
        for row in rows[self.packs.sizes_at(replica, rows) == ABSENT]:
            yield names.pack(self.packs.pack_id(int(row)))

    def packs_disputed(self) -> Iterator[str]:
        """Yield the packs that two replicas list with different sizes."""
        rows = np.arange(len(self.packs))
        if not len(rows):
            return
        listed = np.stack([self.packs.sizes_at(replica, rows) for replica in self.replicas])
        highest = listed.max(axis=0)
        lowest = np.where(listed == ABSENT, highest, listed).min(axis=0)
        for row in rows[lowest != highest]:
            yield names.pack(self.packs.pack_id(int(row)))

    def packs_gone(self, replica: str, now: Union) -> Iterator[str]:
        """Yield the packs that a replica listed here and does not list in `now`."""
        rows = np.arange(len(self.packs))
        rows = rows[self.packs.sizes_at(replica, rows) != ABSENT]
        for row in rows[now.packs.find(self.packs.ids[rows]) == ABSENT] if len(rows) else ():
            yield names.pack(self.packs.pack_id(int(row)))

    def packs_of(self, replica: str) -> Iterator[str]:
        """Yield the packs that a replica lists."""
        rows = np.arange(len(self.packs))
        for row in rows[self.packs.sizes_at(replica, rows) != ABSENT]:
            yield names.pack(self.packs.pack_id(int(row)))


def confirm_absences(replica: Replica, listing: Listing, elsewhere: Union) -> Listing:
    """Ask by name for a sample of the objects that only others list; return a listing that can be believed.

    Objects put since it was listed, by a backup at work, make it list again.

    Raises:
        StoreUnavailable: The replica omits objects from its listings that it gives when asked by name.
    """
    there: list[str] = []
    for _ in range(_RELISTINGS_MAX):
        there = _found_by_name(replica, _sample(_lacking(Union({replica.name: listing}), elsewhere)))
        if not there:
            return listing
        listing = list_everything(replica)
    raise StoreUnavailable(
        f"the listing of {replica.name} leaves out objects that are there, such as {there[0]}",
        "A listing that cannot be believed is no ground to heal on; ask whoever runs this service, then run again.",
    )


def _lacking(here: Union, elsewhere: Union) -> list[str]:
    rows = np.arange(len(elsewhere.packs))
    absent = here.packs.find(elsewhere.packs.ids) == ABSENT if len(rows) else np.zeros(0, dtype=bool)
    step = max(int(absent.sum()) // limits.HEAL_ABSENCES_ASKED_MAX, 1)
    packs = [names.pack(elsewhere.packs.pack_id(int(row))) for row in rows[absent][::step]]
    return packs + [name for name in elsewhere.others if name not in here.others]


def _sample(lacking: Sequence[str]) -> list[str]:
    step = max(len(lacking) // limits.HEAL_ABSENCES_ASKED_MAX, 1)
    return list(lacking[::step])


def _found_by_name(replica: Replica, wanted: Iterable[str]) -> list[str]:
    def is_there(name: str) -> bool:
        try:
            replica.store.head(name)
        except ObjectNotFound:
            return False
        return True

    chosen = list(wanted)
    with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA) as pool:
        return [name for name, found in zip(chosen, pool.map(is_there, chosen), strict=True) if found]


def list_replicas(
    repository: Repository, replicas: Mapping[str, Replica]
) -> tuple[dict[str, Listing], dict[str, FarshoreError]]:
    """List all replicas concurrently and drop any whose listing is provably incomplete; return why some have none."""
    listed, failed = repository.ask_all(list_everything, replicas.values())
    elsewhere = Union(listed)
    believed, doubted = repository.ask_all(
        lambda replica: confirm_absences(replica, listed[replica.name], elsewhere),
        [replicas[name] for name in listed],
    )
    return believed, {**failed, **doubted}


@dataclass(frozen=True, slots=True)
class Expected:
    """Sizes, losses and objects to spread, beyond what listings show.

    `sizes`: the right size of objects whose size is known. `lost`: objects that a snapshot needs and no replica lists.
    `parts`: commits that count, and the data keys and runs that they need, which are spread; others were left by runs
    that never committed, or planted. `strangers`: objects of other kinds that nobody vouches for, which are not spread.
    `withheld`: by replica, tombstones that a set there has, and where it was pruned, packs that nothing needs, and
    fragments that name packs which stay away.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    parts: Collection[str] = ()
    strangers: Collection[str] = ()
    withheld: Mapping[str, Collection[str]] = field(default_factory=dict)
