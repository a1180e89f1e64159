"""Locks and holds: nothing that is locked is planned, and no lock is shortened (O11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np

from farshore import limits
from farshore.errors import LockDenied, LockUnsupported, ObjectNotFound
from farshore.ops.prune.garbage import Garbage
from farshore.ops.prune.outcome import Amount
from farshore.replicas.repository import Replica
from farshore.stores.base import ObjectInfo
from farshore.stores.object_retention import LockState


def leave_locked(replica: Replica, garbage: Garbage) -> None:
    """Let locked objects stay; note how much it is, and when the first lock ends.

    A request for each object, and where neither the configuration nor any of a sample has a lock, only for that sample:
    there the store itself refuses what is locked all the same.
    """
    if not replica.store.capabilities.lock_modes or not (len(garbage.packs) or garbage.others):
        return
    infos = [*garbage.packs.infos(), *garbage.others]
    if replica.retention_rule.lock is None and not _any_locked(replica, _sample(infos)):
        return
    now_utc = replica.store.now_utc()
    kept = _kept(replica, infos, now_utc)
    count = len(garbage.packs)
    stays = np.array([one is not None for one in kept[:count]], dtype=bool)
    locked = [info for info, state in zip(infos, kept, strict=True) if state is not None]
    ends = [state.lock.until_utc for state in kept if state is not None and state.lock is not None and not state.held]
    garbage.keep(stays)
    garbage.others = [info for info, state in zip(garbage.others, kept[count:], strict=True) if state is None]
    garbage.locked += Amount(len(locked), sum(one.size for one in locked))
    garbage.locked_until_utc = min(ends, default=None)


def are_locked(replica: Replica, infos: Sequence[ObjectInfo]) -> list[bool]:
    """Return for each of a few objects whether a lock or hold keeps it now."""
    if not replica.store.capabilities.lock_modes or not infos:
        return [False] * len(infos)
    return [one is not None for one in _kept(replica, infos, replica.store.now_utc())]


def _sample(infos: Sequence[ObjectInfo]) -> Sequence[ObjectInfo]:
    step = max(len(infos) // limits.LOCKS_SAMPLED, 1)
    return infos[::step][: limits.LOCKS_SAMPLED]


def _any_locked(replica: Replica, infos: Sequence[ObjectInfo]) -> bool:
    return any(state.lock is not None or state.held for state in map(_asker(replica), infos))


def _kept(replica: Replica, infos: Iterable[ObjectInfo], now_utc: datetime) -> list[LockState | None]:
    """Return for each object the state that keeps it; None where nothing does."""

    def keeps(info: ObjectInfo) -> LockState | None:
        state = ask(info)
        locked = state.lock is not None and state.lock.until_utc > now_utc
        return state if locked or state.held else None

    ask = _asker(replica)
    with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA) as pool:
        return list(pool.map(keeps, infos))


def _asker(replica: Replica) -> Callable[[ObjectInfo], LockState]:
    def ask(info: ObjectInfo) -> LockState:
        try:
            return replica.store.lock_state(info.name)
        except (LockUnsupported, LockDenied, ObjectNotFound):
            return LockState()  # nothing is known, so the store decides when it is asked to delete

    return ask
