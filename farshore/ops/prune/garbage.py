"""The objects of a replica that nothing needs there: step P3. Packs by 40 bytes, as a repository has millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import numpy as np

from farshore import limits
from farshore.errors import Corrupt, NotFound, Unsupported
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.footers import PACK_ID_DTYPE
from farshore.ops.prune.id_set import IdSet, Table
from farshore.ops.prune.outcome import NO_AMOUNT, Amount, EarlyDeletion
from farshore.ops.prune.roots import Roots
from farshore.plan.prices import EarlyPrices
from farshore.replicas.repository import Replica
from farshore.stores.base import ObjectInfo

NO_PRICES = EarlyPrices()
_BATCH = 4096
_DAY_S = 86_400
_HASH_DIGITS = 64


@dataclass
class PackRows:
    """Packs in order of id: their ids (`V32`), their bytes, and which object each was (`ObjectInfo.seen`).

    `early`: the cost of each after it was deleted, because the shortest time of its class is not over.
    """

    ids: Table = field(default_factory=lambda: np.zeros(0, PACK_ID_DTYPE))
    sizes: Table = field(default_factory=lambda: np.zeros(0, np.int64))
    seen: list[str] = field(default_factory=list)
    early: Table = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def amount(self) -> Amount:
        """How many, and their bytes."""
        return Amount(len(self.ids), int(self.sizes.sum()))

    def only(self, wanted: Table) -> PackRows:
        """Return the rows for which this is true. Not to be changed: it may be all of them, and no copy."""
        if wanted.all():
            return self
        chosen = np.flatnonzero(wanted).tolist()
        return PackRows(self.ids[wanted], self.sizes[wanted], [self.seen[at] for at in chosen], self.early[wanted])

    def deleted_early(self, currency: str) -> EarlyDeletion:
        """Return those for which something is billed once they are deleted, together."""
        billed = self.early > 0
        if not billed.any():
            return EarlyDeletion()
        return EarlyDeletion(int(billed.sum()), int(self.sizes[billed].sum()), float(self.early.sum()), currency)

    def infos(self) -> Iterator[ObjectInfo]:
        """Yield the packs as a listing gives them."""
        for at in range(len(self.ids)):
            name = names.pack(self.ids[at].tobytes().hex())
            yield ObjectInfo(name, int(self.sizes[at]), seen=self.seen[at])


class _RowsBuilder:
    def __init__(self) -> None:
        self._ids = bytearray()
        self._sizes = array("q")
        self._seen: list[str] = []
        self._early = array("d")

    def add(self, info: ObjectInfo, early: float = 0.0) -> None:
        self._ids += bytes.fromhex(info.name[-_HASH_DIGITS:])
        self._sizes.append(info.size)
        self._seen.append(info.seen)
        self._early.append(early)

    def rows(self) -> PackRows:
        ids = np.frombuffer(bytes(self._ids), PACK_ID_DTYPE)
        if not self._sizes:
            return PackRows()
        return PackRows(ids, np.frombuffer(self._sizes, np.int64), self._seen, np.frombuffer(self._early))


@dataclass
class Garbage:
    """The objects of a replica that nothing needs. `others`: runs, data keys, and commits that were forgotten.

    `staying`: packs without use that are too new, or are locked. `all_packs`: everything listed below `packs/`.
    `missing`: some of the packs, runs and keys that commits here need and that are not listed.
    """

    packs: PackRows = field(default_factory=PackRows)
    others: list[ObjectInfo] = field(default_factory=list)
    staying: PackRows = field(default_factory=PackRows)
    young: Amount = NO_AMOUNT
    locked: Amount = NO_AMOUNT
    locked_until_utc: datetime | None = None
    all_packs: Amount = NO_AMOUNT
    missing: list[str] = field(default_factory=list)

    @property
    def amount(self) -> Amount:
        """How much is to go."""
        return self.packs.amount + Amount(len(self.others), sum(one.size for one in self.others))

    def keep(self, stays: Table) -> None:
        """Let the packs for which this is true stay."""
        if not stays.any():
            return
        added, joined = self.packs.only(stays), self.staying
        ids, seen = np.concatenate((joined.ids, added.ids)), [*joined.seen, *added.seen]
        order = np.argsort(ids)
        sizes = np.concatenate((joined.sizes, added.sizes))[order]
        early = np.concatenate((joined.early, added.early))[order]
        self.staying = PackRows(ids[order], sizes, [seen[at] for at in order.tolist()], early)
        self.packs = self.packs.only(~stays)


def find_garbage(replica: Replica, roots: Roots, young_after_utc: datetime, prices: EarlyPrices = NO_PRICES) -> Garbage:
    """List a replica, and return what its roots do not need.

    Args:
        young_after_utc: Objects that the store got since then stay: a writer at work may need them, or the next one.
        prices: The cost of deleting early here.
    """
    found = Garbage()
    packs, staying = _RowsBuilder(), _RowsBuilder()
    now_utc = replica.store.now_utc() if prices.classes else young_after_utc
    seen_must = np.zeros(len(roots.must.packs), dtype=bool)
    for infos, ids in _pack_batches(replica):
        at = roots.must.packs.find(ids)
        needed = at < len(seen_must)
        seen_must[at[needed]] = True
        needed |= roots.needs_packs(ids, soft=True)
        found.all_packs += Amount(len(infos), sum(one.size for one in infos))
        for info in (infos[row] for row in np.flatnonzero(~needed).tolist()):
            if _is_young(info, young_after_utc):
                staying.add(info)
                found.young += Amount(1, info.size)
            else:
                packs.add(info, _early_cost(info, prices, now_utc))
    found.packs, found.staying = packs.rows(), staying.rows()
    found.missing = [names.pack(one.tobytes().hex()) for one in roots.must.packs.ids[~seen_must][:_BATCH]]
    listed = IdSet()
    for info in _others(replica):
        one = bytes.fromhex(info.name[-_HASH_DIGITS:])
        listed.add(one)
        if roots.needs(info.name, soft=True):
            continue
        if _is_young(info, young_after_utc):
            found.young += Amount(1, info.size)
        else:
            found.others.append(info)
    needed_ids = roots.must.others.ids
    lacking = needed_ids[~listed.among(needed_ids)][:_BATCH] if len(needed_ids) else needed_ids
    found.missing += [f"the run or data key {one.tobytes().hex()}" for one in lacking]
    found.others += _commits(replica, roots)
    return found


def keep_keys_in_use(replica: Replica, garbage: Garbage) -> None:
    """Let a data key stay as long as a pack stays that it may open, though nothing needs either."""
    keys = [one for one in garbage.others if names.parse_data_key(one.name)]
    if not keys or not len(garbage.staying):
        return
    if len(garbage.staying) > limits.STAYING_PACKS_READ_MAX:
        staying = {info.name for info in keys}
    else:
        used = {_key_id(replica, info.name) for info in garbage.staying.infos()}
        staying = {info.name for info in keys if None in used or _key_id_of(info) in used}
    garbage.others = [one for one in garbage.others if one.name not in staying]


def _key_id(replica: Replica, pack: str) -> str | None:
    try:
        return layout.decode_header(replica.store.get(pack, 0, layout.HEADER_BYTES)).origin.key_id.hex()
    except (Corrupt, NotFound, Unsupported):
        return None


def _key_id_of(info: ObjectInfo) -> str:
    parsed = names.parse_data_key(info.name)
    return parsed.key_id if parsed else ""


def list_planned(replica: Replica, packs: bytes, others: Iterable[str]) -> Garbage:
    """Return what is still there of what a plan condemns."""
    condemned, rows = IdSet([packs]), _RowsBuilder()
    if len(packs):
        for infos, ids in _pack_batches(replica):
            for row in np.flatnonzero(condemned.among(ids)).tolist():
                rows.add(infos[row])
    wanted = set(others)
    prefixes = (names.SNAPSHOTS, names.FRAGMENTS, names.DATA_KEYS, names.RUNS)
    chosen = [prefix for prefix in prefixes if any(one.startswith(prefix) for one in wanted)]
    listed = [info for prefix in chosen for info in replica.store.list(prefix) if info.name in wanted]
    return Garbage(rows.rows(), listed)


def _pack_batches(replica: Replica) -> Iterator[tuple[list[ObjectInfo], Table]]:
    listed = (info for info in replica.store.list(names.PACKS) if names.parse_pack(info.name))
    while batch := list(islice(listed, _BATCH)):
        ids = bytes.fromhex("".join(one.name[-_HASH_DIGITS:] for one in batch))
        yield batch, np.frombuffer(ids, PACK_ID_DTYPE)


def _others(replica: Replica) -> Iterator[ObjectInfo]:
    for prefix, parse in ((names.RUNS, names.parse_run), (names.DATA_KEYS, names.parse_data_key)):
        for info in replica.store.list(prefix):
            if parse(info.name) is not None:
                yield info


def _commits(replica: Replica, roots: Roots) -> list[ObjectInfo]:
    sources = sorted({head.source_id for head in roots.going.values()})
    going = {head.name for head in roots.going.values()}
    listed = (info for source in sources for info in replica.store.list(names.commits_of(source)))
    return [info for info in listed if info.name in going]


def _early_cost(info: ObjectInfo, prices: EarlyPrices, now_utc: datetime) -> float:
    if not prices.classes or info.modified_utc is None:
        return 0.0
    return prices.of(info.storage_class, info.size, (now_utc - info.modified_utc).total_seconds() / _DAY_S)


def _is_young(info: ObjectInfo, young_after_utc: datetime) -> bool:
    return info.modified_utc is None or info.modified_utc >= young_after_utc
