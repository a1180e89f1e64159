"""The plan of a heal for each replica, computed from the listings of all. Pure.

A replica gets every object that another lists, so that afterwards all list the same: packs first, then the objects that
name them, commit records last. One that was pruned gets no pack that nothing needs, or it would be pruned of it for
ever. Leases stay where they are; foreign objects are reported and left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.repair.object_kinds import kind_of
from farshore.repair.replica_listing import Expected, Listing, Union

_NEEDED_ONLY = (
    names.SNAPSHOTS, names.RUNS, names.DATA_KEYS, names.FORGOTTEN, names.UNFORGOTTEN, names.VERDICTS, names.NOTES,
    names.APPROVALS,
)  # fmt: skip
_SIGNED = (Kind.TOMBSTONE, Kind.VERDICT, Kind.NOTE, Kind.APPROVAL)  # which count only by who signed them


class Why(StrEnum):
    """Why heal looks at an object."""

    MISSING = "missing"  # others list it, or a snapshot needs it, and this replica does not list it
    SIZE = "size"  # listed with another size than it must have, or than others list
    FOUND_DAMAGED = "found-damaged"  # by a verify, a restore or an earlier heal
    READ = "read"  # everything has to be read


class Wanted(NamedTuple):
    """One object to look at, at one replica. A tuple, because a new replica wants millions."""

    name: str
    size: int  # that it must have, as far as it is known; else 0
    why: Why


@dataclass(frozen=True)
class ReplicaPlan:
    """The work at one replica, stage by stage, and the foreign objects there."""

    replica: str
    stages: Mapping[Kind, tuple[Wanted, ...]]
    foreign: tuple[str, ...] = ()
    foreign_total: int = 0

    @property
    def missing(self) -> int:
        """How many objects are missing."""
        return sum(one.why is Why.MISSING for stage in self.stages.values() for one in stage)

    @property
    def bytes_missing(self) -> int:
        """Their bytes, as far as sizes are known."""
        return sum(one.size for stage in self.stages.values() for one in stage if one.why is Why.MISSING)

    @property
    def objects(self) -> int:
        """How many objects are looked at."""
        return sum(len(stage) for stage in self.stages.values())


@dataclass(frozen=True)
class HealPlan:
    """The work at each replica."""

    replicas: Mapping[str, ReplicaPlan]


def plan_heal(
    listings: Mapping[str, Listing],
    union: Union,
    expected: Expected,
    *,
    targets: Iterable[str],
    known_damage: Mapping[str, Collection[str]],
    read_data: bool = False,
) -> HealPlan:
    """Return the work at each of `targets`, all of which are listed.

    Args:
        known_damage: By replica, the objects that were found damaged before.
        read_data: Look at every object by reading it.
    """
    disputed = set(union.packs_disputed())
    disputed |= {name for name, sizes in union.others.items() if len(set(sizes.values())) > 1}
    return HealPlan(
        {
            name: _plan_one(name, listings[name], union, expected, disputed, set(known_damage.get(name, ())), read_data)
            for name in targets
        }
    )


def _plan_one(
    replica: str,
    listing: Listing,
    union: Union,
    expected: Expected,
    disputed: set[str],
    known_damage: set[str],
    read_data: bool,  # noqa: FBT001
) -> ReplicaPlan:
    stages: dict[Kind, dict[str, Wanted]] = {kind: {} for kind in Kind}

    def want(name: str, size: int, why: Why) -> None:
        kind = kind_of(name)
        if kind is not None:
            stages[kind].setdefault(name, Wanted(name, size, why))

    for name, size in _lacking(replica, union, expected):
        want(name, size, Why.MISSING)
    for name in _suspects(replica, union, expected, disputed):
        want(name, expected.sizes.get(name, 0), Why.SIZE)
    for name in known_damage:
        if replica in union.sizes(name):
            want(name, expected.sizes.get(name, 0), Why.FOUND_DAMAGED)
    if read_data:
        for name in (*union.packs_of(replica), *listing.objects):
            if _is_spread(name, expected):
                want(name, expected.sizes.get(name, union.sizes(name)[replica]), Why.READ)
    ordered = {kind: tuple(stage[name] for name in sorted(stage)) for kind, stage in stages.items()}
    unsigned = [one for one in listing.objects if kind_of(one) in _SIGNED and not _is_spread(one, expected)]
    unsigned += [one for one in sorted(expected.strangers) if replica in union.sizes(one)]
    return ReplicaPlan(replica, ordered, (*listing.foreign, *unsigned), listing.foreign_total + len(unsigned))


def _lacking(replica: str, union: Union, expected: Expected) -> Iterator[tuple[str, int]]:
    withheld = expected.withheld.get(replica, ())
    for name in union.packs_lacking(replica):
        if name in expected.strangers or name in withheld:
            continue
        yield name, expected.sizes.get(name, max(union.sizes(name).values()))
    for name, sizes in union.others.items():
        if replica not in sizes and name not in withheld and _is_spread(name, expected):
            yield name, expected.sizes.get(name, max(sizes.values()))
    yield from expected.lost.items()


def _suspects(replica: str, union: Union, expected: Expected, disputed: set[str]) -> Iterator[str]:
    for name in disputed:
        sizes = union.sizes(name)
        if replica in sizes and sizes[replica] != expected.sizes.get(name, 0):
            yield name
    for name, size in expected.sizes.items():
        if union.sizes(name).get(replica, size) != size:
            yield name


def _is_spread(name: str, expected: Expected) -> bool:
    """Whether an object belongs everywhere: not what nobody vouches for, or what only refused commits need."""
    if name in expected.strangers:
        return False
    return not name.startswith(_NEEDED_ONLY) or name in expected.parts
