"""Bytes that snapshots need, and that nothing else needs: of each snapshot, of each source, and of what is to go.

By the needs in signed commits alone, so no key is needed. A pack that a snapshot shares with others counts by the
segments that it alone uses, each as large as the average one of its pack: a deletion frees these once it repacks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore.catalog import ListedCommits, list_commits
from farshore.catalog.needs import objects_of, read_needs
from farshore.errors import CACHED_READ_ERRORS, FarshoreError, StateUnknown
from farshore.format.commit import Commit, CommitHead
from farshore.format.needs import NeededPack, Needs
from farshore.format.object_kinds import Kind
from farshore.replicas.repository import Repository
from farshore.results import Progress
from farshore.run import Run

_ALL = -1  # as bits: every segment of a pack, however many it has


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes at each replica. `needed`: of every object that is needed; `whole`: of those that nothing else needs.

    `unique`: `whole`, and of shared packs the segments that nothing else uses, about. Fragments, audit rows and what
    opens the repository are in none of them.
    """

    needed: int = 0
    whole: int = 0
    unique: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotUsage:
    """One snapshot; `source` is the id of its source where the keys at hand do not open the name."""

    snapshot: str
    source: str
    committed_utc: datetime
    forgotten: bool
    usage: Usage


@dataclass(frozen=True, slots=True)
class SourceUsage:
    """One source, or what only forgotten snapshots need, whose `source` is empty; unique against all others."""

    source: str
    source_id: str
    snapshots: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class RepositoryUsage:
    """All snapshots, by source and one by one, oldest first. `total`: bytes that any of them needs, each once."""

    total: int
    sources: tuple[SourceUsage, ...]
    snapshots: tuple[SnapshotUsage, ...]


@dataclass(frozen=True, slots=True)
class FreedBytes:
    """The bytes at one replica that go with some snapshots: now, or once locks end. `last_utc`: when the last does.

    `packs_shared`: bytes of segments, about, that are freed once packs they are in are repacked.
    """

    replica: str
    now: int = 0
    locked: int = 0
    last_utc: datetime | None = None
    packs_shared: int = 0


@dataclass
class _Counted:
    """The needs of a group of snapshots: bits of segments by pack, bytes of every other object by name."""

    packs: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)

    def add(self, head: CommitHead, needs: Needs, sizes: dict[str, tuple[int, int]]) -> None:
        for pack in needs.packs:
            bytes_before, count = sizes.get(pack.pack_id, (0, 0))
            sizes[pack.pack_id] = (max(bytes_before, pack.bytes), max(count, pack.segments[0] if pack.segments else 0))
            self.packs[pack.pack_id] = self.packs.get(pack.pack_id, 0) | _bits(pack)
        for one in objects_of(head, needs):
            if one.kind is not Kind.PACK:
                self.others[one.name] = one.size or 0


def measure_usage(repository: Repository, *, run: Run) -> RepositoryUsage:
    """Return the bytes that every snapshot and source needs, and that it alone needs.

    Reads the needs of each snapshot, most from the cache. Memory grows with packs, about 300 bytes for each.

    Raises:
        StateUnknown: The needs of a snapshot cannot be read, so nobody knows what is shared.
        FarshoreError: No replica could be listed.
    """
    listed = list_commits(repository)
    heads = {**listed.forgotten, **listed.heads}
    ordered = sorted(heads.values(), key=lambda one: (one.committed_utc, one.hash))
    sizes: dict[str, tuple[int, int]] = {}
    groups: dict[str, _Counted] = {}
    users = _Users()
    counted: dict[str, int] = {}
    for head, needs in _needs_of(repository, listed, ordered, run, "needs"):
        group = "" if head.hash in listed.forgotten else head.source_id
        counted[group] = counted.get(group, 0) + 1
        groups.setdefault(group, _Counted()).add(head, needs, sizes)
        one = _Counted()
        one.add(head, needs, sizes)
        users.add(one)
    between = _Users()
    for counted_group in groups.values():
        between.add(counted_group)
    names_of = repository.trust.source_names() | {
        head.source_id: head.source for head in ordered if isinstance(head, Commit)
    }
    snapshots = []
    for head, needs in _needs_of(repository, listed, ordered, run, "unique"):
        one = _Counted()
        one.add(head, needs, sizes)
        source = names_of.get(head.source_id, head.source_id)
        used = users.usage(one, sizes)
        snapshots.append(SnapshotUsage(head.snapshot, source, head.committed_utc, head.hash in listed.forgotten, used))
    sources = [
        SourceUsage(names_of.get(group, group), group, counted[group], between.usage(found, sizes))
        for group, found in groups.items()
    ]
    total = sum(sizes[one][0] for one in users.packs) + sum(users.sizes.values())
    return RepositoryUsage(total, tuple(sorted(sources, key=lambda one: (one.source, one.source_id))), tuple(snapshots))


def freed_by(repository: Repository, going: Collection[str], *, run: Run) -> list[FreedBytes]:
    """Return by replica the bytes that go with these commits, by hash, once a deletion runs, and those that locks keep.

    Objects that only forgotten snapshots need go with them. The locks of a commit whose details do not open are
    unknown.

    Raises:
        StateUnknown, FarshoreError: As `measure_usage` says.
    """
    return freed_among(repository, list_commits(repository), going, run=run)


def freed_among(repository: Repository, listed: ListedCommits, going: Collection[str], *, run: Run) -> list[FreedBytes]:
    """As `freed_by`, of commits that are listed already."""
    sizes: dict[str, tuple[int, int]] = {}
    staying = _Counted()
    leaving: dict[str, tuple[_Counted, tuple[str, ...], CommitHead]] = {}
    heads = {**listed.forgotten, **listed.heads}
    for head, needs in _needs_of(repository, listed, list(heads.values()), run, "needs"):
        if head.hash not in going and head.hash not in listed.forgotten:
            staying.add(head, needs, sizes)
        elif head.hash in going:
            one = _Counted()
            one.add(head, needs, sizes)
            leaving[head.hash] = (one, listed.holders.get(head.hash, ()), head)
    return [
        _freed_at(name, staying, leaving.values(), sizes, repository.clock.now_utc()) for name in repository.replicas
    ]


def _freed_at(
    replica: str,
    staying: _Counted,
    leaving: Iterable[tuple[_Counted, tuple[str, ...], CommitHead]],
    sizes: Mapping[str, tuple[int, int]],
    now_utc: datetime,
) -> FreedBytes:
    """Return what goes at one replica: each object once, locked until the last lock of a commit that needs it."""
    until: dict[str, datetime] = {}
    own: dict[str, int] = {}
    shared: dict[str, int] = {}
    for one, holders, head in leaving:
        if replica not in holders:
            continue
        end_utc = _locked_until(head, replica)
        for name, size in _alone(one, staying, sizes):
            own[name] = size
            if end_utc is not None and end_utc > now_utc:
                until[name] = max(end_utc, until.get(name, end_utc))
        for pack_id, bits in one.packs.items():
            if pack_id in staying.packs:
                shared[pack_id] = shared.get(pack_id, 0) | bits
    locked = sum(own[name] for name in until)
    in_shared = sum(_bytes_of(sizes[one], bits & ~staying.packs[one]) for one, bits in shared.items())
    last_utc = max(until.values(), default=None)
    return FreedBytes(replica, sum(own.values()) - locked, locked, last_utc, in_shared)


def _alone(one: _Counted, staying: _Counted, sizes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, int]]:
    yield from ((name, sizes[name][0]) for name in one.packs if name not in staying.packs)
    yield from ((name, size) for name, size in one.others.items() if name not in staying.others)


def _locked_until(head: CommitHead, replica: str) -> datetime | None:
    """Return until when every object of a snapshot is locked at a replica at the latest, as its commit promised."""
    lock = head.locks.get(replica) if isinstance(head, Commit) else None
    return None if lock is None else lock.until_utc + timedelta(seconds=lock.stride_s)


class _Users:
    """How often each segment and object is needed: never, once, or more often."""

    def __init__(self) -> None:
        self.packs: dict[str, tuple[int, int]] = {}  # bits of segments that anybody, and that several, need
        self.sizes: dict[str, int] = {}
        self._several: set[str] = set()

    def add(self, one: _Counted) -> None:
        for pack_id, bits in one.packs.items():
            once, twice = self.packs.get(pack_id, (0, 0))
            self.packs[pack_id] = (once | bits, twice | (once & bits))
        for name, size in one.others.items():
            if name in self.sizes:
                self._several.add(name)
            self.sizes[name] = size

    def usage(self, one: _Counted, sizes: Mapping[str, tuple[int, int]]) -> Usage:
        needed, whole, unique = sum(one.others.values()), 0, 0
        for name, size in one.others.items():
            whole += size if name not in self._several else 0
        for pack_id, bits in one.packs.items():
            once, twice = self.packs[pack_id]
            needed += sizes[pack_id][0]
            if once == bits and not twice:
                whole += sizes[pack_id][0]
            else:
                unique += _bytes_of(sizes[pack_id], bits & ~twice)
        return Usage(needed, whole, whole + unique)


def _needs_of(
    repository: Repository, listed: ListedCommits, heads: Sequence[CommitHead], run: Run, stage: str
) -> Iterator[tuple[CommitHead, Needs]]:
    for number, head in enumerate(heads, start=1):
        run.progress(Progress(stage, entries=number))
        yield head, _read(repository, head, listed.holders.get(head.hash, ()))


def _read(repository: Repository, head: CommitHead, holders: Collection[str]) -> Needs:
    first: FarshoreError | None = None
    for name in dict.fromkeys((*holders, *repository.replicas)):
        if name not in repository.replicas:
            continue
        try:
            return read_needs(repository, repository.replicas[name], head)
        except CACHED_READ_ERRORS as error:
            first = first or error
    raise StateUnknown(
        f"the needs of snapshot {head.snapshot} cannot be read, so nobody knows what it shares",
        "'farshore verify' says what is wrong, and 'farshore heal' what can be done.",
    ) from first


def _bits(pack: NeededPack) -> int:
    return _ALL if pack.segments is None else pack.segments[1]


def _bytes_of(size: tuple[int, int], bits: int) -> int:
    """Return about how many bytes some segments of a pack have."""
    whole, count = size
    if not bits:
        return 0
    if count == 0:  # everybody uses all of it, so these are all
        return whole
    every = (1 << count) - 1
    return whole * (bits & every).bit_count() // count
