"""Fan-out: every object of a run goes to every replica, each with its own queue and its own pace.

The sealing thread offers parcels in order; for each replica one caller drains its queue with a few concurrent puts.
Packs travel freely, other parcels are barriers: they are put only after everything before them was acknowledged there.
So an index fragment at a replica never names a pack that is not there, whatever is killed when.

A bounded window of packs keeps memory flat. When one replica lags a whole window behind, the others wait for it for a
bounded time; then it is left behind for this run and its queue is dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from farshore import limits
from farshore.clock import Clock
from farshore.errors import FarshoreError, StoreUnavailable
from farshore.stores.base import Body, Store

_LOOK_AGAIN_S = 0.2  # how late a deadline may be noticed


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object on its way to every replica. `barrier`: wait for all before it, and before any after it."""

    name: str
    body: Body
    size: int
    barrier: bool


@dataclass(slots=True)
class _Lane:
    queue: deque[Parcel] = field(default_factory=deque)
    flying: dict[str, Parcel] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)
    bytes_done: int = 0
    error: FarshoreError | None = None
    left_behind: bool = False
    finished: bool = False

    def lag(self) -> int:
        """How many packs this replica still owes."""
        return sum(not parcel.barrier for parcel in self.queue) + len(self.flying)


class Fanout:
    """Queues of one run. `offer` and `end` from the sealing thread, `drain` from one thread per replica."""

    def __init__(
        self,
        *,
        replicas: Iterable[str],
        clock: Clock,
        window_packs: int = limits.WINDOW_PACKS,
        window_wait_s: float = limits.WINDOW_WAIT_S,
    ) -> None:
        self._lanes = {name: _Lane() for name in replicas}
        self._clock = clock
        self._window = window_packs
        self._window_wait_s = window_wait_s
        self._changed = threading.Condition()
        self._ended = False
        self._aborted = False

    @property
    def at_work(self) -> tuple[str, ...]:
        """Replicas that were not left behind."""
        with self._changed:
            return tuple(name for name, lane in self._lanes.items() if not lane.left_behind)

    @property
    def pressed(self) -> bool:
        """Whether a replica at work is a whole window behind, so that the next pack will wait for it."""
        with self._changed:
            return any(not lane.left_behind and lane.lag() >= self._window for lane in self._lanes.values())

    def error_of(self, replica: str) -> FarshoreError | None:
        """Why a replica was left behind, or None."""
        with self._changed:
            return self._lanes[replica].error

    def acknowledged(self, replica: str) -> list[tuple[str, int]]:
        """Return name and size of each object that this replica has acknowledged."""
        with self._changed:
            return list(self._lanes[replica].done)

    def offer(self, parcel: Parcel) -> None:
        """Queue a parcel at every replica at work; wait while one of them is a whole window behind.

        Raises:
            StoreUnavailable: The run was stopped, so reading on would be in vain.
        """
        with self._changed:
            if not parcel.barrier:
                self._wait_for_room()
            if self._aborted:
                raise StoreUnavailable("the run was stopped")
            for lane in self._lanes.values():
                if not lane.left_behind:
                    lane.queue.append(parcel)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no parcel follows; drains return once their queues are empty."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop all queues; drains return at once. What was put stays and is found again by the next run."""
        with self._changed:
            self._aborted = self._ended = True
            for lane in self._lanes.values():
                lane.queue.clear()
            self._changed.notify_all()

    def leave_behind(self, replica: str, error: FarshoreError) -> None:
        """Give this replica up for this run: its queue is dropped and nobody waits for it. The first reason stays."""
        with self._changed:
            lane = self._lanes[replica]
            lane.left_behind = True
            lane.error = lane.error or error
            lane.queue.clear()
            self._changed.notify_all()

    def drain(self, replica: str, store: Store, tell: Callable[[int], None] = lambda _: None) -> None:
        """Put this replica's parcels until the end; return when all are acknowledged, or it was left behind.

        Args:
            tell: Called from any thread with the bytes acknowledged so far.

        Raises:
            FarshoreError: A put failed. The parcel is back in the queue: calling again continues where this stopped.
        """
        lane = self._lanes[replica]
        with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA, thread_name_prefix=f"put-{replica}") as pool:
            flying: dict[Future[None], Parcel] = {}
            try:
                while (parcel := self._next(lane, flying)) is not None:
                    if parcel.barrier:
                        self._land(lane, flying, everything=True)
                        self._put(lane, store, parcel, tell)
                        continue
                    flying[pool.submit(self._put, lane, store, parcel, tell)] = parcel
                    if len(flying) >= limits.UPLOADS_PER_REPLICA:
                        self._land(lane, flying, everything=False)
                self._land(lane, flying, everything=True)
            finally:
                self._return_unlanded(lane, flying)
        with self._changed:
            if self._aborted and not lane.left_behind:
                raise StoreUnavailable(f"the run was stopped before {replica} had everything")
            lane.finished = not lane.left_behind

    def finished(self, replica: str) -> bool:
        """Whether this replica acknowledged everything that was offered."""
        with self._changed:
            return self._lanes[replica].finished

    def _wait_for_room(self) -> None:
        deadline: float | None = None
        while True:
            laggards = [
                name for name, lane in self._lanes.items() if not lane.left_behind and lane.lag() >= self._window
            ]
            if not laggards or self._aborted:
                return
            working = sum(not lane.left_behind for lane in self._lanes.values())
            now = self._clock.monotonic_s()
            if len(laggards) == working:
                deadline = None  # all are slow, so nobody waits for anybody
            elif deadline is None:
                deadline = now + self._window_wait_s
            elif now >= deadline:
                self._leave_laggards(laggards)
                return
            self._changed.wait(timeout=_LOOK_AGAIN_S)

    def _leave_laggards(self, laggards: list[str]) -> None:
        for name in laggards:
            lane = self._lanes[name]
            lane.left_behind = True
            lane.error = lane.error or StoreUnavailable(
                f"{name} fell {self._window} packs behind and was waited for {self._window_wait_s:g} s"
            )
            lane.queue.clear()
        self._changed.notify_all()

    def _next(self, lane: _Lane, flying: dict[Future[None], Parcel]) -> Parcel | None:
        with self._changed:
            while True:
                if lane.queue:
                    parcel = lane.queue.popleft()
                    lane.flying[parcel.name] = parcel
                    return parcel
                if self._ended or lane.left_behind:
                    return None
                self._changed.wait(timeout=0.2 if flying else None)
                if flying and any(future.done() for future in flying):
                    break
        self._land(lane, flying, everything=False)
        return self._next(lane, flying)

    def _land(self, lane: _Lane, flying: dict[Future[None], Parcel], *, everything: bool) -> None:
        """Collect finished puts: all of them, or at least one. Raises the first failure."""
        while flying:
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                del flying[future]
            if not everything:
                return

    def _put(self, lane: _Lane, store: Store, parcel: Parcel, tell: Callable[[int], None]) -> None:
        store.put(parcel.name, parcel.body)
        with self._changed:
            lane.flying.pop(parcel.name, None)
            lane.done.append((parcel.name, parcel.size))
            lane.bytes_done += parcel.size
            done = lane.bytes_done
            self._changed.notify_all()
        tell(done)

    def _return_unlanded(self, lane: _Lane, flying: dict[Future[None], Parcel]) -> None:
        """Put back what was not acknowledged, in its old order; putting an object twice is harmless."""
        wait(flying)
        with self._changed:
            if not lane.left_behind:
                lane.queue.extendleft(reversed(lane.flying.values()))
            lane.flying.clear()
            self._changed.notify_all()
