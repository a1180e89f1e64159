"""Deletions: step P7. In batches, of the objects that were seen, and none once another prune has settled the plan."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

from farshore import limits
from farshore.errors import Denied, FarshoreError, NotFound
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.ops.prune.outcome import NO_AMOUNT, Amount, DeletedObject
from farshore.repair.object_kinds import kind_of
from farshore.replicas.repository import Replica
from farshore.stores.base import ANY_OBJECT, DeletionErrors, ObjectInfo
from farshore.stores.one_by_one import error_of

_HASH_DIGITS = 64


class SweepStopped(Exception):
    """No more may be deleted now: the time is over, or another prune has settled the plan."""


@dataclass
class Deletions:
    """The objects that were deleted, and those that could not be, by name with its error. Packs by 40 bytes.

    `unsure`: a deletion may still be on its way, so the names must stay condemned.
    """

    others: list[ObjectInfo] = field(default_factory=list)
    failed: dict[str, FarshoreError] = field(default_factory=dict)
    freed: Amount = NO_AMOUNT
    unsure: bool = False
    _pack_ids: bytearray = field(default_factory=bytearray)
    _pack_sizes: array[int] = field(default_factory=lambda: array("q"))

    def add(self, info: ObjectInfo) -> None:
        """Add one that is gone."""
        self.freed += Amount(1, info.size)
        if info.name.startswith(names.PACKS):
            self._pack_ids += bytes.fromhex(info.name[-_HASH_DIGITS:])
            self._pack_sizes.append(info.size)
        else:
            self.others.append(info)

    def objects(self) -> Iterator[DeletedObject]:
        """Yield all of them, in the order of their deletion but for packs, which go last."""
        for info in self.others:
            yield DeletedObject(info.name, kind_of(info.name), info.size)
        for at, size in enumerate(self._pack_sizes):
            name = names.pack(self._pack_ids[at * 32 : at * 32 + 32].hex())
            yield DeletedObject(name, Kind.PACK, size)
        for name, error in self.failed.items():
            yield DeletedObject(name, kind_of(name), 0, error.code)


class Sweeper:
    """Deletes at one replica what a plan condemns.

    Args:
        may_go_on: Asked before each batch: whether the plan is still open, and time is left.
        distinguishes: Whether the store says which object of a name it deletes.
        on_batch: Called with all that was deleted so far.
    """

    def __init__(
        self,
        replica: Replica,
        *,
        may_go_on: Callable[[], bool],
        distinguishes: bool,
        on_batch: Callable[[Amount], None],
    ) -> None:
        self._replica = replica
        self._may_go_on = may_go_on
        self._distinguishes = distinguishes
        self._on_batch = on_batch
        self.done = Deletions()

    def delete(self, infos: Iterable[ObjectInfo]) -> None:
        """Delete objects.

        Raises:
            SweepStopped: Some are left.
        """
        waiting = iter(infos)
        with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA) as pool:
            while batch := list(islice(waiting, limits.PRUNE_BATCH)):
                known = self._look(batch)
                # After the look: what was seen while the plan condemns is what it condemned, and nothing put since.
                if not self._may_go_on():
                    raise SweepStopped
                for info, error in self._delete(known, pool):
                    self._note(info, error)
                self._on_batch(self.done.freed)
                if self.done.unsure:
                    raise SweepStopped

    def _look(self, infos: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Return those that are there, with what the store says each is, where the listing did not say it.

        One that is gone is left out: by its name alone, what somebody puts there now would be deleted.
        """
        unknown = [info.name for info in infos if not info.seen] if self._distinguishes else []
        seen = self._replica.store.see_many(unknown) if unknown else {}
        gone = {name for name in unknown if name not in seen and self._is_gone(name)}
        return [replace(one, seen=one.seen or seen.get(one.name, "")) for one in infos if one.name not in gone]

    def _is_gone(self, name: str) -> bool:
        try:
            self._replica.store.head(name)
        except NotFound:
            return True
        return False

    def _delete(
        self, infos: Sequence[ObjectInfo], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[ObjectInfo, FarshoreError | None]]:
        """Delete objects, in as few requests as the store has; yield the error of each."""
        size = self._replica.store.capabilities.delete_batch
        batches = [infos[at : at + size] for at in range(0, len(infos), size)]
        for batch, errors in zip(batches, pool.map(self._delete_batch, batches), strict=True):
            yield from zip(batch, errors, strict=True)

    def _delete_batch(self, infos: Sequence[ObjectInfo]) -> DeletionErrors:
        store = self._replica.store
        if len(infos) == 1:
            return [error_of(store.delete, infos[0].name, infos[0].seen or ANY_OBJECT)]
        try:
            return store.delete_many([(info.name, info.seen or ANY_OBJECT) for info in infos])
        except FarshoreError as error:
            return [error] * len(infos)

    def _note(self, info: ObjectInfo, error: FarshoreError | None) -> None:
        if error is None:
            self.done.add(info)
            return
        self.done.failed[info.name] = error
        self.done.unsure = self.done.unsure or not isinstance(error, Denied)
