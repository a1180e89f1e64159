"""The packs and fragments of each replica, and copies of those that a snapshot reuses and a replica lacks.

Copying is of ciphertext, whose names are hashes of their bytes, so it needs no key and cannot go wrong unnoticed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from farshore import limits
from farshore.catalog.condemned import leave_out, not_condemned
from farshore.catalog.data_keys import lacking_keys
from farshore.catalog.fragments import FragmentReader
from farshore.catalog.listed_packs import ListedPacks
from farshore.catalog.listings import list_packs
from farshore.catalog.orphans import OrphanReader
from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.verdicts import NO_VERDICTS, Verdicts
from farshore.errors import (
    CACHED_READ_ERRORS,
    FarshoreError,
    ListingShrunken,
    ObjectNotFound,
    ObjectsLost,
    StateUnknown,
)
from farshore.format import names
from farshore.format.footers import FootersJoin
from farshore.format.fragments import FragmentEntry
from farshore.format.names import object_bytes_max
from farshore.format.pack import PackedFooter
from farshore.format.pack_id import hash_object
from farshore.index import ABSENT, ChunkIndex, first_seen
from farshore.replicas.listing_check import Lacking, judge_listing, probe
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.fragments import OpenedFragment, open_packs

_THREADS = 8
_HASH_DIGITS = 64
_AHEAD = 2 * _THREADS  # fragments; what was called before its fold was read is read for nothing
_AHEAD_BYTES = 16 * limits.MIB  # of fragments read before their turn, of which there are several copies meanwhile
Table = npt.NDArray[Any]
Opened = TypeVar("Opened")


@dataclass
class Inventory:
    """The packs and fragments that all replicas listed when a run began. Built once; read by many threads.

    `index` has the packs that a new snapshot may reuse, and `numbers` gives for each row of `listed` its number in
    `index.packs`. The fragment that is `named_by[at]` in
    `fragment_ids` names the pack of row `named[at]`; both are sorted by fragment.
    """

    listed: ListedPacks
    fragments: Mapping[str, Mapping[str, int]]  # replica -> fragments it lists, with their bytes
    fragment_ids: Sequence[str] = ()
    index: ChunkIndex = field(default_factory=ChunkIndex)
    numbers: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    named: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    named_by: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    orphans: Mapping[str, FragmentEntry] = field(default_factory=dict)  # that a killed run of this host left
    folds: Mapping[str, Collection[str]] = field(default_factory=dict)  # fragment -> folds that supersede it
    own_fragments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of this party -> what each supersedes
    failed: dict[str, FarshoreError] = field(default_factory=dict)
    incomplete: dict[str, FarshoreError] = field(default_factory=dict)  # replicas that lost packs of their snapshots

    def holders(self, pack_id: str) -> list[str]:
        """Return the replicas that listed this pack with the size its footer gives."""
        (row,) = self.listed.find([pack_id])
        return [] if row == ABSENT else self.listed.holders(int(row))

    def footers(self, pack_ids: Sequence[str]) -> list[PackedFooter | None]:
        """Return the footers of packs, None for those that were not there, or are not to be reused."""
        rows = self.listed.find(pack_ids)
        return [None if row == ABSENT or (at := self.numbers[row]) == ABSENT else self.index.packs[at] for row in rows]

    def fragments_lacking(self, replica: str, pack_ids: Sequence[str]) -> list[str]:
        """Return fragments that name these packs, as far as any does and the replica listed none for them."""
        listed_here = np.array([one in self.fragments[replica] for one in self.fragment_ids], dtype=bool)
        first = np.full(len(self.listed), ABSENT, np.int64)
        first[self.named[::-1]] = self.named_by[::-1]  # of equal places the last assignment stays
        first[self.named[listed_here[self.named_by]]] = ABSENT
        rows = self.listed.find(pack_ids)
        return self._fragment_ids(first[rows[rows != ABSENT]])

    def fragments_of(self, pack_ids: Sequence[str]) -> list[tuple[str, int]]:
        """Return fragments (id, bytes) that together have the footers of these packs, as far as any has them."""
        first = np.full(len(self.listed), ABSENT, np.int64)
        first[self.named[::-1]] = self.named_by[::-1]
        rows = self.listed.find(pack_ids)
        chosen = self._fragment_ids(first[rows[rows != ABSENT]])
        sizes = {one: size for listed in self.fragments.values() for one, size in listed.items()}
        return [(one, sizes[one]) for one in chosen]

    def fragments_naming(self, replica: str, pack_ids: Sequence[str]) -> list[str]:
        """Return every fragment that a replica listed, that names one of these packs, and that has no fold there."""
        rows = self.listed.find(pack_ids)
        chosen = np.zeros(len(self.listed), dtype=bool)
        chosen[rows[rows != ABSENT]] = True
        named_by = self._fragment_ids(self.named_by[chosen[self.named]])
        listed = self.fragments[replica]
        return [one for one in named_by if one in listed and listed.keys().isdisjoint(self.folds.get(one, ()))]

    def _fragment_ids(self, numbers: Table) -> list[str]:
        """Return the fragments of these numbers, each once, in order. `np.unique` would load masked arrays for it."""
        chosen = np.zeros(len(self.fragment_ids), dtype=bool)
        chosen[numbers[numbers != ABSENT]] = True
        return [self.fragment_ids[at] for at in np.flatnonzero(chosen).tolist()]

    def packs_lacking(self, replica: str, fragment_id: str) -> list[str]:
        """Return packs that a fragment names, some replica listed, and this one did not."""
        number = bisect_left(self.fragment_ids, fragment_id)
        start, end = np.searchsorted(self.named_by, (number, number + 1))
        rows = self.named[start:end]
        rows = rows[self.listed.lists(rows) & ~self.listed.lists(rows, replica)]
        return [self.listed.pack_id(row) for row in rows]


def take_inventory(
    repository: Repository,
    replicas: Collection[Replica],
    promised: Mapping[str, Sequence[tuple[str, int]]] | None = None,
    *,
    verdicts: Verdicts = NO_VERDICTS,
    adopting: bool = True,
    condemned: Collection[str] = (),
) -> Inventory:
    """List every replica and read the index. A replica that cannot be listed is in `failed`, not silently empty.

    A replica whose listing omits packs named by fragments of this host or by `promised` is also reported: in `failed`
    when it has them all the same, in `incomplete` when it has not. A fragment of another host promises nothing here,
    as anybody in its domain could name packs that never were.

    Args:
        promised: By replica, packs (id, bytes) that a snapshot listed there needs.
        verdicts: Which packs a reader has proved, and which ones are bad.
        adopting: Whether to look for packs that a killed run left without a fragment.
        condemned: Names that plans to delete condemn at any replica; they count as absent at all.
    """
    listings, failed = repository.ask_all(lambda replica: leave_out(list_packs(replica), condemned), replicas)
    by_name = {replica.name: replica for replica in replicas}
    fragments = {name: listing.fragments for name, listing in listings.items()}
    fragment_ids = sorted(set().union(*fragments.values()))
    needed = {pack_id: None for packs in (promised or {}).values() for pack_id, _ in packs}
    trust = PackTrust(repository, needed=[bytes.fromhex(pack_id) for pack_id in needed], verdicts=verdicts)
    fragment_reader = FragmentReader(repository, trust)
    listed = ListedPacks(listings)
    del listings
    builder = _InventoryBuilder(listed, fragments, trust, FootersJoin(repository.cache.open_unnamed))
    with ThreadPoolExecutor(_THREADS) as pool:
        numbers = {one: number for number, one in enumerate(fragment_ids)}
        reading = _in_order(
            pool, lambda one: _read_anywhere(fragment_reader, by_name, fragments, one),
            _to_read(fragment_reader, fragments),
        )  # fmt: skip
        for fragment_id, opened in reading:
            if opened is not None:
                builder.add(numbers[fragment_id], opened, fragment_id)
    builder.forget(numbers[one] for one in fragment_ids if _is_hidden(fragment_reader, fragments, one))
    for name, packs in (promised or {}).items():
        if name in fragments:
            builder.expect(name, [pack_id for pack_id, _ in packs], [size for _, size in packs])
    incomplete: dict[str, FarshoreError] = {}
    for name, lacking in builder.lacking.items():
        wrong = judge_listing(by_name[name], not_condemned(lacking, condemned))
        if isinstance(wrong, ObjectsLost):
            incomplete[name] = wrong
        elif wrong is not None:
            failed[name] = wrong
    folds = {one: found for one in fragment_ids if (found := fragment_reader.folds_of(one))}
    orphans = builder.adopt_orphans(repository, by_name, needed) if adopting else {}
    return Inventory(
        listed, fragments, fragment_ids, ChunkIndex(builder.join.finish()), builder.numbers,
        *builder.naming(), orphans, folds, builder.own, failed, incomplete,
    )  # fmt: skip


class _InventoryBuilder:
    """Reads the fragments of a repository one after the other, so that only one is in memory."""

    def __init__(
        self, listed: ListedPacks, fragments: Mapping[str, Mapping[str, int]], trust: PackTrust, join: FootersJoin
    ) -> None:
        self.lacking = {name: Lacking() for name in fragments}
        self._fragments = fragments
        self._trust = trust
        self.join = join
        self.numbers = np.full(len(listed), ABSENT, np.int64)
        self._listed = listed
        self._joined = 0
        self._seen = np.zeros(len(listed), dtype=bool)
        self._naming: list[tuple[int, Table]] = []
        self.own: dict[str, tuple[str, ...]] = {}

    def expect(self, replica: str, pack_ids: Sequence[str] | Table, pack_bytes: Sequence[int] | Table) -> None:
        """Note the packs among these that a replica does not list although it must hold them."""
        rows = self._listed.find(pack_ids)
        lacks = rows == ABSENT
        lacks[~lacks] = ~self._listed.lists(rows[~lacks], replica)
        lacked = np.flatnonzero(lacks)
        ids = (one if isinstance(one, str) else bytes(one).hex() for one in (pack_ids[at] for at in lacked.tolist()))
        self.lacking[replica].add(zip(ids, (int(pack_bytes[at]) for at in lacked.tolist()), strict=True))

    def add(self, number: int, opened: OpenedFragment, fragment_id: str) -> None:
        """Note the packs that a fragment names; join those that are reusable and held with the size they must have."""
        footers = opened.footers
        every = self._listed.find(opened.pack_ids)
        self._naming.append((number, every[every != ABSENT]))
        reusable = self._trust.reusable(opened)[opened.opened]
        fragment = opened.fragment
        own = fragment is not None and self._trust.is_own(fragment.signature.signer)
        if fragment is not None and own:
            self.own[fragment_id] = tuple(one.hex() for one in fragment.superseded)
        promises = own and not (fragment and fragment.superseded)  # a fold may be put late, after a prune of its packs
        for replica, listed in self._fragments.items() if promises else ():
            if fragment_id in listed:
                self.expect(replica, footers.pack_ids[reusable], footers.pack_bytes[reusable])
        self._join_new(opened, reusable)

    def _join_new(self, opened: OpenedFragment, reusable: Table) -> None:
        """Join the packs among a fragment's opened ones that are new here, reusable, and held by somebody."""
        footers = opened.footers
        rows = self._listed.find(footers.pack_ids)
        known = rows != ABSENT
        self._listed.drop_other_sizes(rows[known], footers.pack_bytes[known])
        rows[known] = np.where(self._listed.lists(rows[known]), rows[known], ABSENT)
        rows[~reusable] = ABSENT
        new = first_seen(rows, self._seen)
        self.join.add(footers, new)
        count = int(new.sum())
        self.numbers[rows[new]] = np.arange(self._joined, self._joined + count)
        self._joined += count

    def forget(self, numbers: Iterable[int]) -> None:
        """Leave out fragments that were read before a fold of them, so that the order of replies changes nothing."""
        left_out = set(numbers)
        self._naming = [one for one in self._naming if one[0] not in left_out]

    def naming(self) -> tuple[Table, Table]:
        """Return the rows that fragments name, fragment after fragment by number, and the fragment of each."""
        ordered = sorted(self._naming, key=lambda one: one[0])
        rows = [rows for _, rows in ordered]
        by = [np.full(len(rows), number, np.int64) for number, rows in ordered]
        empty = np.zeros(0, np.int64)
        return np.concatenate([empty, *rows]), np.concatenate([empty, *by])

    def adopt_orphans(
        self, repository: Repository, replicas: Mapping[str, Replica], needed: Collection[str]
    ) -> dict[str, FragmentEntry]:
        """Read packs of this host that no fragment names: chunks of killed runs are used, and not sent again.

        Those that a snapshot needs are read first.
        """
        reader = OrphanReader(repository, self._trust)
        unnamed = np.ones(len(self._listed), dtype=bool)
        unnamed[self.naming()[0]] = False
        waiting = [(self._listed.pack_id(row), row) for row in np.flatnonzero(unnamed).tolist()]
        waiting.sort(key=lambda one: (one[0] not in needed, reader.was_unreadable(one[0]), one[0]))
        found: dict[str, FragmentEntry] = {}
        for pack_id, row in waiting:
            if reader.exhausted(int((~unnamed).sum()) + len(found)):
                break
            holder = self._listed.holders(row)[0]
            entry = reader.read(replicas[holder], pack_id, self._listed.bytes_at(holder, row))
            if entry is None:
                continue
            opened = open_packs([entry], repository.writing_keys())
            self._join_new(opened, np.ones(len(opened.footers), dtype=bool))
            if len(opened.footers):
                found[pack_id] = entry
        return found


def reused_missing(
    replica: Replica,
    wanted: Sequence[tuple[str, int]],
    checksums: dict[str, str] | None = None,
    *,
    head_objects_max: int = limits.HEAD_OBJECTS_MAX,
) -> list[str]:
    """Return which of these packs (id, bytes) a replica lacks right now, by asking the store.

    Args:
        checksums: Where given, filled with the checksum that the provider reports for each object, by name.
        head_objects_max: More packs than this are asked for by listing, not one by one.
    """
    reported = {} if checksums is None else checksums
    if len(wanted) > head_objects_max:
        listed = {info.name: info for info in replica.store.list(names.PACKS)}
        reported.update({name: info.checksum for name, info in listed.items() if info.checksum})
        found = {pack_id: listed.get(names.pack(pack_id)) for pack_id, _ in wanted}
        return [pack_id for pack_id, size in wanted if (info := found[pack_id]) is None or info.size != size]

    def lacks(item: tuple[str, int]) -> bool:
        try:
            info = replica.store.head(names.pack(item[0]))
        except ObjectNotFound:
            return True
        if info.checksum:
            reported[info.name] = info.checksum
        return info.size != item[1]

    with ThreadPoolExecutor(_THREADS) as pool:
        return [pack_id for (pack_id, _), absent in zip(wanted, pool.map(lacks, wanted), strict=True) if absent]


def copy_missing(
    replica: Replica, others: Sequence[Replica], inventory: Inventory, wanted: Sequence[tuple[str, int]],
    key_names: Collection[str], checksums: dict[str, str] | None = None, *,
    head_objects_max: int = limits.HEAD_OBJECTS_MAX,
) -> int:  # fmt: skip
    """Copy to one replica the packs, data keys and index fragments that a snapshot reuses and it lacks.

    Repeatable: an object that is there is not sent again. Returns the bytes copied. `checksums` and
    `head_objects_max` as in `reused_missing`.

    Raises:
        StateUnknown: No replica has a good copy of something that is needed.
        StoreUnavailable, StoreFull, StoreDenied: This replica cannot be brought up now.
    """
    copied = 0
    missing = set(reused_missing(replica, wanted, checksums, head_objects_max=head_objects_max))
    if missing and len(wanted) > head_objects_max:  # found by a listing, which may be cut off
        present, asked = probe(replica, {pack_id: size for pack_id, size in wanted if pack_id in missing})
        if present:
            raise ListingShrunken(
                f"{replica.name} does not list {len(missing):,} packs of this snapshot, and has {present} of the "
                f"{asked} that were asked for by name"
            )
    for pack_id in sorted(missing):
        copied += copy_object(names.pack(pack_id), others, replica)
    copied_packs = [item for item in wanted if item[0] in missing]
    if missing and reused_missing(replica, copied_packs, head_objects_max=head_objects_max):
        raise StateUnknown(f"{replica.name} acknowledges packs and does not keep them whole")
    # A listed fragment promises all its packs, so they come first.
    for fragment_id in inventory.fragments_lacking(replica.name, [pack_id for pack_id, _ in wanted]):
        lacking = inventory.packs_lacking(replica.name, fragment_id)
        if len(lacking) > limits.FRAGMENT_PACKS_MAX:
            continue  # of a fold: a heal brings them, and packs are read by their own footers until then
        for pack_id in lacking:
            copied += copy_object(names.pack(pack_id), others, replica)
        copied += copy_object(names.fragment(fragment_id), others, replica)
    return copied + sum(copy_object(name, others, replica) for name in lacking_keys(replica, key_names))


def copy_object(name: str, sources: Sequence[Replica], to: Replica) -> int:
    """Copy one object, whose name carries the hash of its bytes, from the first replica with a good copy.

    Returns its bytes.
    """
    digest = name[-_HASH_DIGITS:]
    reasons: list[str] = []
    for source in sources:
        try:
            data = source.store.get(name, bytes_max=object_bytes_max(name))
        except FarshoreError as error:
            reasons.append(f"{source.name}: {error}")
            continue
        if hash_object(name, data) != digest:
            reasons.append(f"{source.name}: its bytes do not hash to its name")
            continue
        to.store.put(name, data)
        return len(data)
    raise StateUnknown(
        f"{to.name} lacks {name} and no other replica has a good copy ({'; '.join(reasons)})",
        "Bring back a replica that has it, then run 'farshore heal'; 'farshore verify' names the snapshots.",
    )


def _read_anywhere(
    reader: FragmentReader,
    replicas: Mapping[str, Replica],
    fragments: Mapping[str, Mapping[str, int]],
    fragment_id: str,
) -> OpenedFragment | None:
    """Read a fragment from any replica that lists it; one that cannot be read is as if it were not there.

    Its packs are then adopted one by one, or stored once more; neither loses anything.
    """
    for name, listed in fragments.items():
        if fragment_id in listed:
            try:
                return reader.read(replicas[name], fragment_id, listed[fragment_id])
            except CACHED_READ_ERRORS:
                continue
    return None


def _to_read(reader: FragmentReader, fragments: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, int]]:
    """Yield the fragments to read, with their bytes; whether one is hidden is asked when it is its turn."""
    sizes = {one: size for listed in fragments.values() for one, size in listed.items()}
    yield from ((one, sizes[one]) for one in reader.in_order(sizes) if not _is_hidden(reader, fragments, one))


def _is_hidden(reader: FragmentReader, fragments: Mapping[str, Mapping[str, int]], fragment_id: str) -> bool:
    """Whether each replica that lists a fragment lists a fold of it, too: else it promises packs of that replica."""
    at = [listed for listed in fragments.values() if fragment_id in listed]
    return any(all(fold in listed for listed in at) for fold in reader.folds_of(fragment_id))


def _in_order(
    pool: ThreadPoolExecutor, call: Callable[[str], Opened], items: Iterable[tuple[str, int]]
) -> Iterator[tuple[str, Opened]]:
    """Yield for each item (name, bytes) its name and what a call returns, in order; only a few are called ahead."""
    waiting: deque[tuple[str, Future[Opened], int]] = deque()
    ahead = 0
    for item, size in items:
        while waiting and (ahead + size > _AHEAD_BYTES or len(waiting) >= _AHEAD):
            name, future, done = waiting.popleft()
            ahead -= done
            yield name, future.result()
        waiting.append((item, pool.submit(call, item), size))
        ahead += size
    for name, future, _ in waiting:
        yield name, future.result()
