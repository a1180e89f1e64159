"""Bring one replica in sync: stage by stage, so that a reader meanwhile finds no snapshot that is not whole.

Each stage is a few threads over its objects. Objects that cannot be made whole are remembered; a commit record is put
only if none of the objects its snapshot needs failed, and the re-listing shows everything that was put.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from farshore import limits
from farshore.audit.rows import RepairMethod
from farshore.catalog.extend_locks import lock_everything
from farshore.errors import STORE_ERRORS, Corrupt, FarshoreError, StateUnknown, StoreConflict
from farshore.format.names import object_bytes_max
from farshore.format.object_kinds import Kind
from farshore.ops.heal.good_copy import GoodCopy, NoGoodCopy, Transfer
from farshore.ops.heal.heal_lease import HealLease
from farshore.ops.heal.plan import ReplicaPlan, Wanted, Why
from farshore.repair.needed_objects import NeededObjects
from farshore.repair.object_checks import digest_in_name
from farshore.repair.object_kinds import kind_of
from farshore.repair.outcome import HealedReplica, HealedState, Repair
from farshore.repair.replica_listing import Union, list_everything
from farshore.replicas.mend import mend
from farshore.replicas.repository import Replica
from farshore.results import Found, Progress, ProgressCallback, RepairAction

_BETWEEN = (  # fragments and commits
    Kind.DATA_KEY, Kind.ACCEPTED, Kind.LOG, Kind.SLOT, Kind.HEADER, Kind.NOTE, Kind.APPROVAL, Kind.TOMBSTONE,
    Kind.VERDICT,     Kind.RUN,
)  # fmt: skip
CopyWithin = Callable[[Replica, Replica, str, int], bool]  # source, target, name, size: whether the service copied it


@dataclass
class _State:
    """The progress of one replica so far; guarded by the lock of its `ReplicaSync`."""

    repairs: list[Repair] = field(default_factory=list)
    put: dict[str, int] = field(default_factory=dict)
    bad: dict[str, bool] = field(default_factory=dict)  # name -> whether no replica has a good copy
    bytes_copied: int = 0
    snapshots_added: int = 0
    done: int = 0
    error: FarshoreError | None = None


class ReplicaSync:
    """One replica that is brought in sync.

    Args:
        sources: The other replicas, nearest first.
        copy_within: Has the provider copy a missing object by itself, where it can.
        lease: Decides on the commits that are put, and says which names stay away.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        sources: Sequence[Replica],
        union: Union,
        needed: NeededObjects,
        transfer: Transfer,
        copy_within: CopyWithin,
        lease: HealLease,
        progress: ProgressCallback,
    ) -> None:
        self._replica = replica
        self._sources = sources
        self._union = union
        self._needed = needed
        self._transfer = transfer
        self._copy_within = copy_within
        self._lease = lease
        self._condemned = lease.condemned.get(replica.name, frozenset())
        self._progress = progress
        self._lock = threading.Lock()
        self._state = _State()
        self._bytes_total = 0

    @property
    def repairs(self) -> list[Repair]:
        """Findings and actions, in no order."""
        return self._state.repairs

    def apply(self, plan: ReplicaPlan) -> None:
        """Do the plan, as far as it can be done. Repeatable: good objects are left alone."""
        self._bytes_total = plan.bytes_missing
        if plan.missing:
            self._progress(Progress(f"heal:{self._replica.name}", bytes_total=plan.bytes_missing))
        try:
            self._each(plan.stages[Kind.PACK], self._look_at)
            self._confirm(only_packs=True)
            self._each(self._allowed_fragments(plan.stages[Kind.FRAGMENT]), self._look_at)
            for kind in _BETWEEN:
                self._each(plan.stages[kind], self._look_at)
            self._commit(plan.stages[Kind.COMMIT])
            for kind in (Kind.AUDIT_FILE, Kind.SEAL):
                self._each(plan.stages[kind], self._look_at, threads=1 if kind is Kind.SEAL else limits.HEAL_THREADS)
        except FarshoreError as error:
            self._give_up(error)

    def mend_more(self, found: Iterable[str]) -> None:
        """Look at objects of this replica that were found damaged while they were read to be copied elsewhere."""
        seen = {one.object for one in self._state.repairs}
        sizes = ((name, self._union.sizes(name)) for name in sorted(found) if name not in seen)
        self._each((Wanted(name, 0, Why.FOUND_DAMAGED) for name, listed in sizes if listed), self._look_at)

    # --- stages -------------------------------------------------------------------------------------------------------

    def _each(
        self, items: Iterable[Wanted], call: Callable[[Wanted], None], threads: int = limits.HEAL_THREADS
    ) -> None:
        """Call for each item in a few threads that share one iterator, so that millions wait as tuples alone."""
        waiting = iter(items)

        def work() -> None:
            while True:
                with self._lock:
                    item = next(waiting, None)
                if item is None:
                    return
                if self._state.error is not None:
                    self._note_bad(item.name, lost=False)
                    continue
                call(item)

        with ThreadPoolExecutor(threads, thread_name_prefix=f"heal-{self._replica.name}") as pool:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()

    def _allowed_fragments(self, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        """A listed fragment promises its packs: none is put while a pack that another replica has is not here."""
        if any(not lost for name, lost in self._state.bad.items() if kind_of(name) is Kind.PACK):
            for one in wanted:
                self._note_bad(one.name, lost=False)
            return ()
        return wanted

    def _commit(self, wanted: Sequence[Wanted]) -> None:
        if not wanted or self._state.error is not None:
            return
        self._confirm(all_packs=True)
        missing = [one.name for one in wanted if one.why is Why.MISSING]
        blocked = self._needed.blocked({*self._state.bad, *self._condemned}, missing)
        for name, ill in blocked.items():
            why = "a plan to delete condemns here" if ill in self._condemned else "is not whole here"
            self._leave(name, Found.MISSING, f"not put, because its snapshot may need {ill}, which {why}")
        allowed = []
        for one in wanted:
            if self._needed.counts(one.name):
                allowed += [] if one.name in blocked else [one]
                continue
            # What it needs is not known, and a lease that named it would keep a prune waiting for a commit for ever.
            self._note_bad(one.name, lost=True)
            self._leave(one.name, Found.MISSING, "no good copy: no replica gives a commit of that name")
        for one in allowed[limits.COPIED_COMMITS_MAX :]:
            self._leave(one.name, Found.MISSING, "not put in this batch; run heal again")
        allowed = allowed[: limits.COPIED_COMMITS_MAX]
        if allowed:
            self._lease.commit(self._replica.name, [digest_in_name(one.name) for one in allowed])
        if any(one.why is Why.MISSING for one in allowed):  # a record promises locks that its snapshot has here
            lock_everything(self._replica, self._state.put, self._replica.store.now_utc)
        self._each(allowed, self._look_at)
        self._confirm()

    def _confirm(self, *, only_packs: bool = False, all_packs: bool = False) -> None:
        """List the replica again: an object that was put and is not listed with its size is not there.

        Args:
            only_packs: Check only the packs among the objects that were put.
            all_packs: Look also at every pack that was listed at first: the records committed now need them now.
        """
        put = {name: size for name, size in self._state.put.items() if not only_packs or kind_of(name) is Kind.PACK}
        if not (put or all_packs) or self._state.error is not None:
            return
        there = Union({self._replica.name: list_everything(self._replica)})
        for name in self._union.packs_gone(self._replica.name, there) if all_packs else ():
            self._note_bad(name, lost=False)
        for name, size in put.items():
            if there.sizes(name).get(self._replica.name) != size:
                self._note_bad(name, lost=False)
                error = StateUnknown(f"{self._replica.name} acknowledged {name} and does not list it whole")
                self._add(Repair(
                    self._replica.name, name, Found.MISSING, RepairAction.LEFT, detail=error.message,
                    error_code=error.code,
                ))  # fmt: skip
                with self._lock:
                    del self._state.put[name]

    # --- one object ---------------------------------------------------------------------------------------------------

    def _look_at(self, item: Wanted) -> None:
        name = item.name
        if name in self._condemned:  # put now, it could be deleted as what was there when the plan was made
            self._note_bad(name, lost=False)
            self._leave(name, Found.MISSING, "a plan to delete condemns it here")
            return
        sources = self._sources_of(item)
        if item.why is Why.MISSING:
            for source, size in sources:
                if self._provider_copies(source, name, size):
                    return
        elif self._is_sound(item):
            if item.why is Why.FOUND_DAMAGED and self._state.error is None:  # it was read just now: no longer true
                self._add(Repair(self._replica.name, name, Found.SOUND, RepairAction.NONE))
            return
        try:
            with self._transfer.good_copy(name, sources) as copy:
                self._put(item, copy)
        except NoGoodCopy as error:
            self._note_bad(name, lost=not error.passing)
            found = Found.MISSING if item.why is Why.MISSING else self._kind_of_damage(item)
            self._add(Repair(self._replica.name, name, found, RepairAction.LEFT, detail=f"no good copy: {error}"))
        except Corrupt as error:  # a bad sector, say: it cannot be read, so it is not proven damaged
            self._note_bad(name, lost=False)
            detail = f"it cannot be read, which proves nothing: {error}"
            self._add(
                Repair(self._replica.name, name, Found.ALTERED, RepairAction.LEFT, detail=detail, error_code=error.code)
            )
        except FarshoreError as error:
            self._note_bad(name, lost=False)
            self._give_up(error)

    def _read_back(self, name: str, copy: GoodCopy) -> None:
        """A commit record counts when it was read back; the others when the replica was listed again."""
        if (
            kind_of(name) is Kind.COMMIT
            and self._replica.store.get(name, bytes_max=object_bytes_max(name)) != copy.body
        ):
            raise StateUnknown(f"{self._replica.name} does not return {name} as it was written")

    def _put(self, item: Wanted, copy: GoodCopy) -> None:
        name = item.name
        if item.why is Why.MISSING:
            try:
                self._replica.store.put(name, copy.body)
            except StoreConflict:
                pass  # it is there, although it was not listed, with other bytes
            else:
                self._read_back(name, copy)
                self._copied(name, copy.size, copy.source, RepairMethod.PUT, copy.digest)
                return
        mended = mend(self._replica, name, copy.body, blake3_hex=copy.digest)
        if mended.action is RepairAction.NONE:
            return
        if not mended.whole:
            self._note_bad(name, lost=False)
        with self._lock:
            self._state.bytes_copied += mended.bytes
        self._add(
            Repair(
                replica=self._replica.name, object=name, found=mended.found, action=mended.action,
                source=copy.source, method=RepairMethod.PUT if mended.bytes else RepairMethod.NONE,
                bytes=mended.bytes, blake3=copy.digest,
                blake3_found=mended.blake3_found, detail=mended.detail,
                error_code=mended.error.code if mended.error else "",
            )
        )  # fmt: skip

    def _is_sound(self, item: Wanted) -> bool:
        listed = self._union.sizes(item.name).get(self._replica.name, 0)
        if item.size and listed != item.size:
            return False
        try:
            return self._transfer.is_sound(self._replica, item.name, listed)
        except FarshoreError as error:
            self._note_bad(item.name, lost=False)
            self._give_up(error)
            return True

    def _provider_copies(self, source: Replica, name: str, size: int) -> bool:
        if kind_of(name) is not Kind.PACK:
            return False
        if self._replica.retention_rule.storage_class:
            return False  # the provider would put it into the bucket's own class
        try:
            copied = self._copy_within(source, self._replica, name, size)
            if copied and (rule := self._replica.retention_rule.lock):
                self._replica.store.extend_lock(name, rule.new_lock(name, self._replica.store.now_utc()))
        except STORE_ERRORS:
            return False  # through this host it goes as well
        if copied:
            self._copied(name, size, source.name, RepairMethod.PROVIDER_COPY, name.rpartition("/")[2])
        return copied

    def _copied(self, name: str, size: int, source: str, method: RepairMethod, digest: str) -> None:
        with self._lock:
            self._state.put[name] = size
            self._state.bytes_copied += size
            if kind_of(name) is Kind.COMMIT:
                self._state.snapshots_added += 1
        self._add(
            Repair(
                replica=self._replica.name, object=name, found=Found.MISSING, action=RepairAction.COPIED,
                source=source, method=method, bytes=size, blake3=digest,
            )
        )  # fmt: skip

    def _sources_of(self, item: Wanted) -> list[tuple[Replica, int]]:
        sizes = self._union.sizes(item.name)
        return [
            (source, sizes[source.name])
            for source in self._sources
            if source.name in sizes and (not item.size or item.why is Why.READ or sizes[source.name] == item.size)
        ]

    def _kind_of_damage(self, item: Wanted) -> Found:
        listed = self._union.sizes(item.name).get(self._replica.name, 0)
        return Found.TRUNCATED if item.size and listed < item.size else Found.ALTERED

    # --- bookkeeping --------------------------------------------------------------------------------------------------

    def _note_bad(self, name: str, *, lost: bool) -> None:
        with self._lock:
            self._state.bad[name] = lost

    def _leave(self, name: str, found: Found, detail: str) -> None:
        self._add(Repair(self._replica.name, name, found, RepairAction.LEFT, detail=detail))

    def _add(self, repair: Repair) -> None:
        with self._lock:
            self._state.repairs.append(repair)
            self._state.done += 1
            at = Progress(
                stage=f"heal:{self._replica.name}", entries=self._state.done, bytes_done=self._state.bytes_copied,
                bytes_total=self._bytes_total,
            )  # fmt: skip
        self._progress(at)

    def _give_up(self, error: FarshoreError) -> None:
        """Nothing more is asked of this replica in this run."""
        with self._lock:
            self._state.error = self._state.error or error

    def outcome(self, plan: ReplicaPlan) -> HealedReplica:
        """Return the outcome of the replica so far."""
        state = self._state
        open_now = sum(one.open for one in state.repairs)
        return HealedReplica(
            replica=self._replica.name,
            state=HealedState.BEHIND if open_now or state.bad or state.error else HealedState.IN_SYNC,
            missing=plan.missing,
            bytes_missing=plan.bytes_missing,
            copied=sum(one.action is RepairAction.COPIED for one in state.repairs),
            replaced=sum(one.action is RepairAction.REPLACED for one in state.repairs),
            open=open_now,
            foreign=plan.foreign_total,
            snapshots_added=state.snapshots_added,
            bytes_copied=state.bytes_copied,
            error_code=state.error.code if state.error else "",
            error=str(state.error) if state.error else "",
        )
