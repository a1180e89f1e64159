"""Locks and legal holds of one snapshot, by hand: look at every object that it needs, extend, hold, release.

Needs a writer's keys at least. Every object is asked for or changed one by one, several at once: of a snapshot of a
million packs that is a million requests at each replica. Safe to repeat. Nothing here shortens a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from farshore import limits
from farshore.audit import run_rows
from farshore.audit.rows import LockAction, LockRow
from farshore.catalog.inventory import take_inventory
from farshore.catalog.needs import objects_of, objects_shared, read_needs
from farshore.catalog.snapshots import Snapshot
from farshore.errors import FarshoreError, LockUnsupported, SnapshotUnknown
from farshore.format.commit import Commit
from farshore.model import SnapshotId, dataclass
from farshore.replicas.repository import Replica, Repository
from farshore.results import Progress, ProgressCallback
from farshore.run import Run
from farshore.stores.object_retention import LockState

Change = Callable[[Replica, str], bool]  # an object's name -> whether something was changed


@dataclass(frozen=True, slots=True)
class SnapshotLocks:
    """How one snapshot is locked at one replica, as its service reports for every object that it needs there."""

    replica: str
    snapshot_id: SnapshotId
    promised_until_utc: datetime | None = None  # by the commit record; None where it promises nothing
    mode: str = ""  # the least strict of all objects; empty where one has no lock
    locked_until_utc: datetime | None = None  # the least of all objects; None where one has no lock
    objects: int = 0
    changed: int = 0  # objects whose lock or hold was changed
    unlocked: int = 0
    held: int = 0  # objects under a legal hold
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The answer for one object."""

    state: LockState
    changed: bool


def check_locks(repository: Repository, snapshot: Snapshot, *, run: Run) -> list[SnapshotLocks]:
    """Ask every replica that holds a snapshot for the lock of each object, and return the least for each replica.

    A replica that cannot be asked, or does not list the snapshot, is returned with its error; it does not stop the
    others.
    """
    return _at_each(repository, snapshot, LockAction.CHECKED, lambda *_: False, run)


def extend_locks(repository: Repository, snapshot: Snapshot, period: timedelta, *, run: Run) -> list[SnapshotLocks]:
    """Lock everything a snapshot needs for a period from now on, at each replica that locks; then look at it again.

    Raises:
        LockUnsupported: No replica of the snapshot is configured with a lock.
    """
    until_utc = repository.clock.now_utc() + period

    def extend(replica: Replica, name: str) -> bool:
        rule = replica.retention_rule.lock
        if rule is None:
            raise LockUnsupported(f"{replica.name} is not configured with a lock")
        before = replica.store.lock_state(name).lock
        return replica.store.extend_lock(name, rule.lock_until(name, until_utc)) != before

    if not any(
        repository.replicas[name].retention_rule.lock for name in snapshot.replicas if name in repository.replicas
    ):
        raise LockUnsupported(
            f"no replica that holds {snapshot.snapshot_id} is configured with a lock",
            "Set lock and lock_for under [replicas.NAME].",
        )
    return _at_each(repository, snapshot, LockAction.EXTENDED, extend, run, only_locking=True)


def set_holds(repository: Repository, snapshot: Snapshot, *, held: bool, run: Run) -> list[SnapshotLocks]:
    """Put a legal hold on everything a snapshot needs, or lift it, at each replica that can; then look at it again.

    Lifting also lifts the hold of objects that another held snapshot shares: hold that one again.
    """

    def change(replica: Replica, name: str) -> bool:
        if replica.store.lock_state(name).held == held:
            return False
        replica.store.set_hold(name, held=held)
        return True

    return _at_each(repository, snapshot, LockAction.HELD if held else LockAction.RELEASED, change, run)


def _at_each(
    repository: Repository,
    snapshot: Snapshot,
    action: LockAction,
    change: Change,
    run: Run,
    *,
    only_locking: bool = False,
) -> list[SnapshotLocks]:
    commit = snapshot.commit
    held = [name for name in snapshot.replicas if name in repository.replicas]
    chosen = [repository.replicas[name] for name in held]
    chosen = [replica for replica in chosen if not only_locking or replica.retention_rule.lock]
    answers, failed = repository.ask_all(lambda one: _at_one(repository, one, commit, change, run.progress), chosen)
    found = [answers[one.name] if one.name in answers else _not_asked(one, commit, failed[one.name]) for one in chosen]
    run_rows.record(repository, run.run_id, [_row(run, action, commit, one) for one in found])
    return found + [_not_there(replica, commit) for name, replica in repository.replicas.items() if name not in held]


def _not_there(replica: Replica, commit: Commit) -> SnapshotLocks:
    """Return the outcome for a replica that answers and does not list the snapshot."""
    error = f"{replica.name} does not list snapshot {commit.snapshot}, so nothing keeps it there"
    return SnapshotLocks(replica.name, commit.snapshot, None, error_code=SnapshotUnknown.code, error=error)


def _not_asked(replica: Replica, commit: Commit, error: FarshoreError) -> SnapshotLocks:
    promised = commit.locks.get(replica.name)
    until_utc = promised.until_utc if promised else None
    return SnapshotLocks(replica.name, commit.snapshot, until_utc, error_code=error.code, error=error.message)


def _at_one(
    repository: Repository, replica: Replica, commit: Commit, change: Change, progress: ProgressCallback
) -> SnapshotLocks:
    promised = commit.locks.get(replica.name)
    needed = objects_needed(repository, replica, commit)
    seen = _ask_all(replica, needed, change, progress)
    locks = [one.state.lock for one in seen]
    ends = [lock.until_utc for lock in locks if lock is not None]
    modes = {lock.mode for lock in locks if lock is not None}
    whole = bool(ends) and len(ends) == len(seen)
    return SnapshotLocks(
        replica=replica.name,
        snapshot_id=commit.snapshot,
        promised_until_utc=promised.until_utc if promised else None,
        mode=min(modes, key=lambda mode: mode.strictness).value if whole else "",
        locked_until_utc=min(ends) if whole else None,
        objects=len(seen),
        changed=sum(one.changed for one in seen),
        unlocked=len(seen) - len(ends),
        held=sum(one.state.held for one in seen),
    )


def objects_needed(repository: Repository, replica: Replica, commit: Commit) -> list[str]:
    """Return every object of a replica that a restore of a snapshot from there may ask for."""
    needs = read_needs(repository, replica, commit)
    inventory = take_inventory(repository, [replica], adopting=False)
    if replica.name in inventory.failed:
        raise inventory.failed[replica.name]
    fragments = inventory.fragments_naming(replica.name, [pack.pack_id for pack in needs.packs])
    needed = objects_of(commit, needs)
    return sorted({one.name for one in chain(needed, objects_shared(replica, fragments))})


def _ask_all(replica: Replica, needed: Sequence[str], change: Change, progress: ProgressCallback) -> list[_Seen]:
    done = 0
    counting = threading.Lock()

    def ask(name: str) -> _Seen:
        nonlocal done
        changed = change(replica, name)
        seen = _Seen(replica.store.lock_state(name), changed)
        with counting:
            done += 1
            progress(Progress(f"lock:{replica.name}", entries=done, detail=f"of {len(needed)} objects"))
        return seen

    seen: list[_Seen] = []
    with ThreadPoolExecutor(limits.LOCK_THREADS, thread_name_prefix=f"lock-{replica.name}") as pool:
        for start in range(0, len(needed), limits.LOCKS_AHEAD):
            seen += pool.map(ask, needed[start : start + limits.LOCKS_AHEAD])
    return seen


def _row(run: Run, action: LockAction, commit: Commit, found: SnapshotLocks) -> LockRow:
    return replace(
        LockRow.of(commit, replica=found.replica, action=action, run_id=run.run_id),
        mode=found.mode,
        locked_until_utc=found.locked_until_utc,
        objects=found.objects,
        changed=found.changed,
        unlocked=found.unlocked,
        held=found.held,
        error_code=found.error_code,
    )
