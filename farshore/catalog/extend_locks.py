"""At commit: lock everything that a snapshot needs at a replica for long enough, with as few requests as possible.

Locks that a commit record of the same source already promises at the replica are computed and not asked for: they end
on the grid of `farshore.stores.object_retention`. `plan_extensions` is pure, `apply_extensions` sends the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain

from farshore import limits
from farshore.catalog.inventory import Inventory
from farshore.catalog.needs import SHARED, NeededObject, objects_of, objects_shared, read_needs
from farshore.errors import READ_ERRORS, NotFound
from farshore.format import names
from farshore.format.commit import Commit, ReplicaLock
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.replicas.repository import Replica, Repository
from farshore.stores.base import ObjectInfo
from farshore.stores.object_retention import Lock, LockMode, LockRule, grid_end

_NOT_NEEDED = (names.LEASES, names.AUDIT, "probe/")  # by any snapshot
_SKEW = timedelta(hours=1)  # between the clocks of a service and of this host


@dataclass(frozen=True)
class Assured:
    """The locks that an earlier commit at a replica ensured, until `lock.until_utc` at least."""

    lock: ReplicaLock
    locked: AbstractSet[str]  # names of objects

    def covers(self, name: str, until_utc: datetime) -> bool:
        """Return whether an object is locked until then: locks end on a grid, so not before its next point."""
        return name in self.locked and grid_end(name, self.lock.until_utc, self.lock.stride_s) >= until_utc


class LockExtender:
    """Locks of one run. Its methods are called from one thread for each replica."""

    def __init__(
        self, *, repository: Repository, inventory: Inventory, commits: Sequence[Commit], started_utc: datetime
    ) -> None:
        """`commits`: the committed snapshots of the source, oldest first. `started_utc`: nothing was put before."""
        self._repository = repository
        self._inventory = inventory
        self._commits = commits
        self._started_utc = started_utc
        self.extended: dict[str, int] = {}

    def promised(self, committed_utc: datetime) -> dict[str, ReplicaLock]:
        """Return the lock that a snapshot committed now promises at each replica that locks objects."""
        return {
            name: ReplicaLock(rule.mode.value, committed_utc + rule.period, rule.stride_s, replica.url)
            for name, replica in self._repository.replicas.items()
            if (rule := replica.retention_rule.lock) is not None
        }

    def extend(
        self,
        replica: Replica,
        promised: ReplicaLock,
        *,
        reused: Sequence[NeededObject],
        made: Sequence[str],
    ) -> None:
        """Lock every object that a snapshot needs at a replica for as long as its commit record will promise.

        Args:
            reused: Objects that the snapshot needs and earlier runs made.
            made: Names of objects of this run.

        Raises:
            LockDenied: The service refused; the snapshot must not be committed here.
            FarshoreError: As `Store.extend_lock` says.
        """
        rule = replica.retention_rule.lock
        if rule is None:
            return
        packs = [one.name.rpartition("/")[2] for one in reused if one.kind is Kind.PACK]
        assured = self._assured(replica, promised, packs)
        shared = objects_shared(replica, self._inventory.fragments_naming(replica.name, packs))
        planned = plan_extensions(
            rule,
            promised,
            self._repository.clock.now_utc(),
            reused=(one.name for one in chain(reused, shared)),
            made=made,
            run_started_utc=self._started_utc,
            assured=assured,
        )
        self.extended[replica.name] = apply_extensions(replica, planned)

    def _assured(self, replica: Replica, promised: ReplicaLock, packs: Sequence[str]) -> Assured | None:
        """Return the locks that the newest commit of the source ensured at a replica, or None where it helps nothing.

        Only the newest counts: a run without locks after it would leave objects that it says nothing of. The record
        must be at this replica; one that failed there promises nothing.
        """
        for commit in reversed(self._commits):
            lock = commit.locks.get(replica.name)
            try:
                replica.store.head(commit.name)
                if (
                    lock is None
                    or lock.place != replica.url
                    or lock.mode not in (promised.mode, LockMode.COMPLIANCE.value)
                ):
                    return None
                needs = read_needs(self._repository, replica, commit)
                locked = {one.name for one in objects_of(commit, needs)}
                listed = chain.from_iterable(replica.store.list(prefix) for prefix, _ in SHARED)
                older = {info.name for info in listed if _is_older(info, commit)}
            except NotFound:
                continue
            except READ_ERRORS:
                return None  # unknown locks are extended: that costs requests and no safety
            known = [one for one in packs if names.pack(one) in locked]
            # A later fragment was locked when it was put; an earlier one was extended with its packs.
            locked.update(names.fragment(one) for one in self._inventory.fragments_naming(replica.name, known))
            return Assured(lock, locked | older | {names.HEADER})
        return None


def plan_extensions(
    rule: LockRule,
    promised: ReplicaLock,
    now_utc: datetime,
    *,
    reused: Iterable[str],
    made: Iterable[str],
    run_started_utc: datetime,
    assured: Assured | None,
) -> list[tuple[str, Lock]]:
    """Return the objects whose lock may end before the promised time, each with its new lock. Pure.

    Args:
        reused: Objects of earlier runs.
        made: Objects of this run, which were locked when they were put.
        run_started_utc: None of `made` was put before.
    """
    chosen = [name for name in reused if assured is None or not assured.covers(name, promised.until_utc)]
    if promised.until_utc > run_started_utc + rule.period + rule.slack:  # else no lock of this run can be too short
        chosen += (name for name in made if rule.new_lock(name, run_started_utc).until_utc < promised.until_utc)
    return [(name, rule.new_lock(name, now_utc)) for name in chosen]


def apply_extensions(replica: Replica, extensions: Sequence[tuple[str, Lock]]) -> int:
    """Extend locks, several at once; return how many. Safe to repeat. The first failure ends it.

    Raises:
        FarshoreError: As `Store.extend_lock` says.
    """

    def extend(item: tuple[str, Lock]) -> None:
        replica.store.extend_lock(*item)

    with ThreadPoolExecutor(limits.LOCK_THREADS, thread_name_prefix=f"lock-{replica.name}") as pool:
        for start in range(0, len(extensions), limits.LOCKS_AHEAD):
            for _ in pool.map(extend, extensions[start : start + limits.LOCKS_AHEAD]):
                pass
    return len(extensions)


def lock_everything(replica: Replica, just_put: Container[str], now_utc: Callable[[], datetime]) -> int:
    """Lock every object of a replica that a snapshot may need, as if it were put now; return how many.

    For a run that puts commit records of others without knowing what their snapshots need: a record promises, at the
    replica that holds it, that all of that is locked. One request for each object that was not `just_put`; does nothing
    at a replica without locks. Safe to repeat.

    Raises:
        FarshoreError: As `Store.list` and `Store.extend_lock` say; no commit record must be put then.
    """
    rule = replica.retention_rule.lock
    if rule is None:
        return 0
    moment, done = now_utc(), 0
    batch: list[tuple[str, Lock]] = []
    for info in replica.store.list():
        if info.name in just_put or info.name.startswith(_NOT_NEEDED):
            continue
        batch.append((info.name, rule.new_lock(info.name, moment)))
        if len(batch) >= limits.LOCKS_AHEAD:
            done += apply_extensions(replica, batch)
            batch = []
    return done + apply_extensions(replica, batch)


def _is_older(info: ObjectInfo, commit: Commit) -> bool:
    return info.modified_utc is not None and info.modified_utc + _SKEW < commit.committed_utc
