"""The packs and fragments of each replica, and copies of those that a snapshot reuses and a replica lacks.

Copying is of ciphertext, whose names are hashes of their bytes, so it needs no key and cannot go wrong unnoticed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from farshore import limits
from farshore.catalog.fragments import list_packs, read_footer, read_fragment
from farshore.catalog.listed_packs import ListedPacks
from farshore.errors import READ_ERRORS, FarshoreError, ListingShrunken, ObjectNotFound, ObjectsLost, StateUnknown
from farshore.format import names
from farshore.format.footers import Footers, FootersJoin, join_footers
from farshore.format.names import object_bytes_max
from farshore.format.pack import PackedFooter
from farshore.index import ABSENT, ChunkIndex, first_seen
from farshore.replicas.listing_check import Lacking, judge_listing, probe
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.data_key import DATA_KEY_BYTES, check_data_key

_THREADS = 8
_AHEAD_BYTES = 16 * limits.MIB  # of fragments read before their turn, of which there are several copies meanwhile
Table = npt.NDArray[Any]


@dataclass
class Inventory:
    """The packs and fragments that all replicas listed when a run began. Built once; read by many threads.

    `numbers` gives for each row of `listed` its number in `index.packs`. The fragment that is `named_by[at]` in
    `fragment_ids` names the pack of row `named[at]`; both are sorted by fragment.
    """

    listed: ListedPacks
    fragments: Mapping[str, Mapping[str, int]]  # replica -> fragments it lists, with their bytes
    fragment_ids: Sequence[str] = ()
    index: ChunkIndex = field(default_factory=ChunkIndex)
    numbers: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    named: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    named_by: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    orphans: set[str] = field(default_factory=set)  # packs that no fragment names: a killed run left them
    failed: dict[str, FarshoreError] = field(default_factory=dict)
    incomplete: dict[str, FarshoreError] = field(default_factory=dict)  # replicas that lost packs of their snapshots

    def holders(self, pack_id: str) -> list[str]:
        """Return the replicas that listed this pack with the size its footer gives."""
        (row,) = self.listed.find([pack_id])
        return [] if row == ABSENT else self.listed.holders(int(row))

    def footers(self, pack_ids: Sequence[str]) -> list[PackedFooter | None]:
        """Return the footers of packs, None for those that were not there, or whose footer could not be read."""
        rows = self.listed.find(pack_ids)
        return [None if row == ABSENT or (at := self.numbers[row]) == ABSENT else self.index.packs[at] for row in rows]

    def fragments_lacking(self, replica: str, pack_ids: Sequence[str]) -> list[str]:
        """Return fragments that name these packs, as far as any does and the replica listed none for them."""
        listed_here = np.array([one in self.fragments[replica] for one in self.fragment_ids], dtype=bool)
        first = np.full(len(self.listed), ABSENT, np.int64)
        first[self.named[::-1]] = self.named_by[::-1]  # of equal places the last assignment stays
        first[self.named[listed_here[self.named_by]]] = ABSENT
        rows = self.listed.find(pack_ids)
        return [self.fragment_ids[at] for at in np.unique(first[rows[rows != ABSENT]]) if at != ABSENT]

    def fragments_naming(self, replica: str, pack_ids: Sequence[str]) -> list[str]:
        """Return every fragment that a replica listed and that names one of these packs."""
        rows = self.listed.find(pack_ids)
        chosen = np.zeros(len(self.listed), dtype=bool)
        chosen[rows[rows != ABSENT]] = True
        named_by = np.unique(self.named_by[chosen[self.named]])
        return [one for one in (self.fragment_ids[at] for at in named_by) if one in self.fragments[replica]]

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
) -> Inventory:
    """List every replica and read the index. A replica that cannot be listed is in `failed`, not silently empty.

    A replica whose listing omits packs named by its own fragments or by `promised` is also reported: in `failed` when
    it has them all the same, in `incomplete` when it has not.

    Args:
        promised: By replica, packs (id, bytes) that a snapshot listed there needs.
    """
    listings, failed = repository.ask_all(list_packs, replicas)
    by_name = {replica.name: replica for replica in replicas}
    fragments = {name: listing.fragments for name, listing in listings.items()}
    fragment_ids = sorted(set().union(*fragments.values()))
    listed = ListedPacks(listings)
    del listings
    builder = _InventoryBuilder(listed, fragments)
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = {one: size for listed_there in fragments.values() for one, size in listed_there.items()}
        sized = [(one, sizes[one]) for one in fragment_ids]
        reading = _in_order(pool, lambda one: _read_anywhere(repository, by_name, fragments, one), sized)
        for number, footers in enumerate(reading):
            builder.add(number, footers, fragment_ids[number])
    for name, packs in (promised or {}).items():
        if name in fragments:
            builder.expect(name, [pack_id for pack_id, _ in packs], [size for _, size in packs])
    incomplete: dict[str, FarshoreError] = {}
    for name, lacking in builder.lacking.items():
        wrong = judge_listing(by_name[name], lacking)
        if isinstance(wrong, ObjectsLost):
            incomplete[name] = wrong
        elif wrong is not None:
            failed[name] = wrong
    orphans = set(builder.adopt_orphans(repository, by_name))
    return Inventory(
        listed, fragments, fragment_ids, ChunkIndex(builder.join.finish()), builder.numbers,
        *builder.naming(), orphans, failed, incomplete,
    )  # fmt: skip


class _InventoryBuilder:
    """Reads the fragments of a repository one after the other, so that only one is in memory."""

    def __init__(self, listed: ListedPacks, fragments: Mapping[str, Mapping[str, int]]) -> None:
        self.lacking = {name: Lacking() for name in fragments}
        self._fragments = fragments
        self.join = FootersJoin()
        self.numbers = np.full(len(listed), ABSENT, np.int64)
        self._listed = listed
        self._joined = 0
        self._seen = np.zeros(len(listed), dtype=bool)
        self._naming: list[tuple[int, Table]] = []

    def expect(self, replica: str, pack_ids: Sequence[str] | Table, pack_bytes: Sequence[int] | Table) -> None:
        """Note the packs among these that a replica does not list although it must hold them."""
        rows = self._listed.find(pack_ids)
        lacks = rows == ABSENT
        lacks[~lacks] = ~self._listed.lists(rows[~lacks], replica)
        lacked = np.flatnonzero(lacks)
        ids = (one if isinstance(one, str) else bytes(one).hex() for one in (pack_ids[at] for at in lacked.tolist()))
        self.lacking[replica].add(zip(ids, (int(pack_bytes[at]) for at in lacked.tolist()), strict=True))

    def add(self, number: int, footers: Footers, fragment_id: str) -> None:
        """Add the packs of a fragment that are new here and held somewhere with the size their footer gives."""
        for replica, listed in self._fragments.items():
            if fragment_id in listed:
                self.expect(replica, footers.pack_ids, footers.pack_bytes)
        rows = self._listed.find(footers.pack_ids)
        known = rows != ABSENT
        self._naming.append((number, rows[known]))
        self._listed.drop_other_sizes(rows[known], footers.pack_bytes[known])
        rows[known] = np.where(self._listed.lists(rows[known]), rows[known], ABSENT)
        self._join_new(footers, rows)

    def _join_new(self, footers: Footers, rows: Table) -> None:
        new = first_seen(rows, self._seen)
        self.join.add(footers, new)
        count = int(new.sum())
        self.numbers[rows[new]] = np.arange(self._joined, self._joined + count)
        self._joined += count

    def naming(self) -> tuple[Table, Table]:
        """Return the rows that fragments name, fragment after fragment, and the fragment of each."""
        rows = [rows for _, rows in self._naming]
        by = [np.full(len(rows), number, np.int64) for number, rows in self._naming]
        empty = np.zeros(0, np.int64)
        return np.concatenate([empty, *rows]), np.concatenate([empty, *by])

    def adopt_orphans(self, repository: Repository, replicas: Mapping[str, Replica]) -> Iterator[str]:
        """Read the footers of packs that no fragment names: chunks of killed runs are used, and not sent again."""
        unnamed = np.ones(len(self._listed), dtype=bool)
        unnamed[self.naming()[0]] = False
        orphans = sorted((self._listed.pack_id(row), row) for row in np.flatnonzero(unnamed).tolist())
        for pack_id, row in orphans[: limits.ORPHAN_PACKS_MAX]:
            holder = self._listed.holders(row)[0]
            size = self._listed.bytes_at(holder, row)
            try:
                packed = read_footer(repository.writing_keys(), replicas[holder], pack_id, size)
            except READ_ERRORS:
                continue
            self._join_new(join_footers([packed]), np.array([row]))
            yield pack_id


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
    key_names: Iterable[str], checksums: dict[str, str] | None = None, *,
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
        copied += copy_object(names.pack(pack_id), others, replica, pack_id)
    copied_packs = [item for item in wanted if item[0] in missing]
    if missing and reused_missing(replica, copied_packs, head_objects_max=head_objects_max):
        raise StateUnknown(f"{replica.name} acknowledges packs and does not keep them whole")
    # A listed fragment promises all its packs, so they come first.
    for fragment_id in inventory.fragments_lacking(replica.name, [pack_id for pack_id, _ in wanted]):
        for pack_id in inventory.packs_lacking(replica.name, fragment_id):
            copied += copy_object(names.pack(pack_id), others, replica, pack_id)
        copied += copy_object(names.fragment(fragment_id), others, replica, fragment_id)
    for name in key_names:
        try:
            size = replica.store.head(name).size
        except ObjectNotFound:
            copied += copy_object(name, others, replica, None)
            continue
        if size != DATA_KEY_BYTES:
            raise StateUnknown(f"{replica.name} holds {name} with {size} bytes, not {DATA_KEY_BYTES}")
    return copied


def copy_object(name: str, sources: Sequence[Replica], to: Replica, digest: str | None) -> int:
    """Copy one object from the first replica with a good copy; return its bytes.

    Args:
        digest: BLAKE3 of the object, which is also its name; None for a data key, which has a check of its own.
    """
    reasons: list[str] = []
    for source in sources:
        try:
            data = source.store.get(name, bytes_max=object_bytes_max(name))
            if digest is None:
                check_data_key(data, name)
        except FarshoreError as error:
            reasons.append(f"{source.name}: {error}")
            continue
        if digest is not None and blake3(data).hexdigest() != digest:
            reasons.append(f"{source.name}: its bytes do not hash to its name")
            continue
        to.store.put(name, data)
        return len(data)
    raise StateUnknown(
        f"{to.name} lacks {name} and no other replica has a good copy ({'; '.join(reasons)})",
        "Bring back a replica that has it, then run 'farshore heal'; 'farshore verify' names the snapshots.",
    )


def _read_anywhere(
    repository: Repository,
    replicas: Mapping[str, Replica],
    fragments: Mapping[str, Mapping[str, int]],
    fragment_id: str,
) -> Footers:
    """Read a fragment from any replica that lists it; one that cannot be read is as if it were not there.

    Its packs are then adopted one by one, or stored once more; neither loses anything.
    """
    for name, listed in fragments.items():
        if fragment_id in listed:
            try:
                return read_fragment(repository, replicas[name], fragment_id)
            except READ_ERRORS:
                continue
    return join_footers([])


def _in_order(
    pool: ThreadPoolExecutor, call: Callable[[str], Footers], items: Iterable[tuple[str, int]]
) -> Iterator[Footers]:
    """Yield what a call returns for each item (name, bytes), in order; only a few bytes wait for their turn."""
    waiting: deque[tuple[Future[Footers], int]] = deque()
    ahead = 0
    for item, size in items:
        while waiting and ahead + size > _AHEAD_BYTES:
            future, done = waiting.popleft()
            ahead -= done
            yield future.result()
        waiting.append((pool.submit(call, item), size))
        ahead += size
    while waiting:
        yield waiting.popleft()[0].result()
