"""Fan-out: every object of a run goes to every replica, each with its own queue and its own pace.

The sealing thread offers parcels in order; each replica has a lane, which a few threads empty. Packs travel freely,
other parcels are barriers: they are put only after everything before them was acknowledged there. So an index fragment
at a replica never names a pack that is not there, whatever is killed when.

Nothing waits for a laggard as long as a quorum keeps up, that is, lags by less than the window. What only laggards
still need goes to the spool on disk, once for all of them; a replica that needs more of it than its share is dropped
for this run. The sealing thread waits only while fewer than a quorum keep up. At the end a replica is waited for only
as long as it can be expected to finish soon. Decision 0007 has the reasons.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, Failure, ReplicaTooSlow, StoreUnavailable
from farshore.plural import count_of
from farshore.replicas.upload import QueuedUpload, Spool, Upload
from farshore.replicas.upload_queue import LaneLimits, UploadQueue
from farshore.stores.base import Store

_LOOK_AGAIN_S = 0.2  # how late the end of a wait may be noticed


class Fanout:
    """Lanes of one run. `offer` and `end` from the sealing thread, `drain` from one thread per replica.

    Args:
        quorum: How many replicas must keep up; all when omitted.
        lanes: What each replica may do, where it differs from the defaults.
        spool: Where to keep what only laggards need; without one they are dropped.
        window_packs: Packs that a replica may lag and still keep up; so many are in memory, with the one being made.
    """

    def __init__(
        self,
        *,
        replicas: Iterable[str],
        clock: Clock,
        quorum: int | None = None,
        lanes: Mapping[str, LaneLimits] | None = None,
        spool: Spool | None = None,
        window_packs: int = limits.WINDOW_PACKS,
    ) -> None:
        now_s = clock.monotonic_s()
        self._lanes = {name: UploadQueue(name, (lanes or {}).get(name, LaneLimits()), now_s) for name in replicas}
        self._clock = clock
        self._quorum = len(self._lanes) if quorum is None else quorum
        self._spool = spool or Spool(None)
        self._window = window_packs
        self._changed = threading.Condition()
        self._memory: list[QueuedUpload] = []  # parcels whose bytes may still be in memory, oldest first
        self._has_waited = False  # for room for the pack that is being made
        self._started_s = now_s
        self._quorum_done_s: float | None = None
        self._ended = False
        self._aborted = False

    # --- the sealing thread -------------------------------------------------------------------------------------------

    @property
    def pressed(self) -> bool:
        """Whether packs have to wait, because fewer replicas than the quorum keep up: this one has, or will."""
        with self._changed:
            return self._has_waited or self._must_wait()

    def await_room(self) -> None:
        """Wait while fewer than a quorum keep up.

        Called before a pack is made, it keeps that pack within the window; `offer` alone would hold one more.

        Raises:
            StoreUnavailable: The run was stopped, so the caller should stop reading.
        """
        with self._changed:
            self._has_waited = self._wait_for_room()

    def offer(self, parcel: Upload) -> None:
        """Queue a parcel at every replica at work; a pack waits while fewer than a quorum keep up.

        Raises:
            StoreUnavailable: The run was stopped, so the caller should stop reading.
        """
        with self._changed:
            if not parcel.barrier:
                self._wait_for_room()
            elif self._aborted:
                raise StoreUnavailable("the run was stopped")
            held = QueuedUpload(parcel.name, parcel.body, parcel.size, parcel.barrier)
            for lane in self._working():
                lane.append(held)
            if held.needed_by and held.in_memory:
                self._memory.append(held)
            self._changed.notify_all()
        self._spool_surplus()

    def end(self) -> None:
        """Say that no parcel follows; drains return once their queues are empty."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # --- anybody ------------------------------------------------------------------------------------------------------

    @property
    def at_work(self) -> tuple[str, ...]:
        """Replicas that were not dropped."""
        with self._changed:
            return tuple(lane.name for lane in self._working())

    @property
    def packs_in_memory(self) -> int:
        """Packs that are held in memory for some replica. For tests of the window; nothing else reads it."""
        with self._changed:
            return sum(held.in_memory and not held.barrier for held in self._memory)

    def error_of(self, replica: str) -> Failure | None:
        """Why a replica was dropped, or None."""
        with self._changed:
            return self._lanes[replica].error

    def acknowledged(self, replica: str) -> list[tuple[str, int]]:
        """Return name and size of each object that this replica has acknowledged."""
        with self._changed:
            return list(self._lanes[replica].done)

    def finished(self, replica: str) -> bool:
        """Whether this replica acknowledged everything that was offered."""
        with self._changed:
            return self._lanes[replica].finished

    def abort(self) -> None:
        """Drop all queues; drains return at once. What was put stays and is found again by the next run."""
        with self._changed:
            self._aborted = self._ended = True
            for lane in self._lanes.values():
                self._release(lane.drop())
            self._changed.notify_all()

    def leave_behind(self, replica: str, error: Failure) -> None:
        """Give this replica up for this run: its queue is dropped and nobody waits for it. The first reason stays."""
        with self._changed:
            self._leave(self._lanes[replica], error)

    # --- one thread per replica ---------------------------------------------------------------------------------------

    def drain(self, replica: str, store: Store, tell: Callable[[int], None] = lambda _: None) -> None:
        """Put this replica's parcels until the end; return when all are acknowledged, or it was dropped.

        Returns at once when it is dropped or the run is stopped: a put that is under way ends by itself, in a
        thread that does not keep the process alive.

        Args:
            tell: Called from any thread with the bytes acknowledged so far.

        Raises:
            FarshoreError: A put failed. The parcel is back in the queue: calling again continues where this stopped.
        """
        lane = self._lanes[replica]
        workers = [
            threading.Thread(target=self._work, args=(lane, store, tell), name=f"put-{replica}-{number}", daemon=True)
            for number in range(lane.limits.uploads)
        ]
        for worker in workers:
            worker.start()
        with self._changed:
            while not self._is_over(lane):
                self._leave_if_overdue(lane)
                self._changed.wait(timeout=_LOOK_AGAIN_S)
            if lane.dropped:
                return
            if self._aborted:
                raise StoreUnavailable(f"the run was stopped before {replica} had everything")
        for worker in workers:
            worker.join()  # none has anything left to do
        with self._changed:
            failure, lane.failure = lane.failure, None
            if failure is not None:
                lane.put_back()
                if lane.failing_since_s is None:
                    lane.failing_since_s = self._clock.monotonic_s()
                raise failure
            lane.finished = not lane.dropped
            if sum(one.finished for one in self._lanes.values()) >= self._quorum and self._quorum_done_s is None:
                self._quorum_done_s = self._clock.monotonic_s()
            self._changed.notify_all()

    def backoff(self, replica: str, wait_s: float) -> bool:
        """Wait before draining again after a failure that passes; return False, at once, when to give up.

        That is when the run is stopped or the replica dropped, when a quorum has everything, so that the run would
        wait for this one alone, and when the quorum cannot be had without it and it has failed for `LANE_PATIENCE_S`.
        """
        lane = self._lanes[replica]
        until_s = self._clock.monotonic_s() + wait_s
        while True:
            with self._changed:
                now_s = self._clock.monotonic_s()
                if self._aborted or lane.dropped or self._quorum_done_s is not None:
                    return False
                others = sum(one is not lane and one.failing_since_s is None for one in self._working())
                failing_s = now_s - lane.failing_since_s if lane.failing_since_s is not None else 0.0
                if others < self._quorum and failing_s > limits.LANE_PATIENCE_S:
                    return False
            if now_s >= until_s:
                return True
            self._clock.wait_s(max(min(until_s - now_s, _LOOK_AGAIN_S), 0.001))  # some clocks tick by the microsecond

    # --- caller holds the lock unless noted ---------------------------------------------------------------------------

    def _working(self) -> list[UploadQueue]:
        return [lane for lane in self._lanes.values() if not lane.dropped]

    def _wait_for_room(self) -> bool:
        """Wait while fewer than a quorum keep up; return whether that took time."""
        has_waited = False
        while not self._aborted and self._must_wait():
            has_waited = True
            self._changed.wait(timeout=_LOOK_AGAIN_S)
        if self._aborted:
            raise StoreUnavailable("the run was stopped")
        return has_waited

    def _must_wait(self) -> bool:
        working = self._working()
        keeping_up = sum(lane.owed_packs < self._window for lane in working)
        return keeping_up < min(self._quorum, len(working))

    def _is_over(self, lane: UploadQueue) -> bool:
        if lane.dropped or self._aborted:
            return True
        return not lane.in_flight and (lane.failure is not None or (self._ended and lane.is_empty))

    def _work(self, lane: UploadQueue, store: Store, tell: Callable[[int], None]) -> None:
        """Put one parcel after the other until there is none left. Takes the lock itself."""
        while (held := self._next(lane)) is not None:
            failure, body = None, held.body
            try:
                if body is None:
                    raise Bug(f"{held.name} was let go of while {lane.name} needs it")
                store.put(held.name, body)
            except BaseException as error:  # noqa: BLE001 - told by `drain`, in its caller's thread
                failure = error
            del body  # or an idle worker would keep a pack in memory
            with self._changed:
                done = self._complete(lane, held, failure)
                self._changed.notify_all()
            try:
                if done is not None:
                    tell(done)
            except BaseException as error:  # noqa: BLE001 - as above
                with self._changed:
                    lane.failure = lane.failure or error
                    self._changed.notify_all()

    def _next(self, lane: UploadQueue) -> QueuedUpload | None:
        """Wait for the next parcel that may be put. Takes the lock itself."""
        with self._changed:
            while True:
                if lane.dropped or self._aborted or lane.failure is not None:
                    return None
                if (held := lane.take()) is not None:
                    return held
                if self._ended and not lane.queue:
                    return None
                self._changed.wait()

    def _complete(self, lane: UploadQueue, held: QueuedUpload, failure: BaseException | None) -> int | None:
        """Take note of how a put ended; return the bytes acknowledged so far if it ended well."""
        lane.complete(held)
        if failure is None:
            lane.acknowledge(held)
            self._release([held])
            return lane.bytes_done
        if lane.dropped or self._aborted:
            lane.give_up(held)
            self._release([held])
        elif lane.failure is None:
            lane.failure = failure
        return None

    def _release(self, unneeded: Iterable[QueuedUpload]) -> None:
        """Let go of the bytes that nobody needs any more."""
        for held in unneeded:
            if held.needed_by or held.body is None:
                continue
            if held.is_spooled:
                self._spool.remove(held.body)  # type: ignore[arg-type] # a file where it is spooled
            held.body = None

    def _leave(self, lane: UploadQueue, error: Failure) -> None:
        lane.dropped = True
        lane.error = lane.error or error
        self._release(lane.drop())
        self._changed.notify_all()

    def _leave_if_overdue(self, lane: UploadQueue) -> None:
        """At the end: leave a replica behind that a quorum would have to wait for too long."""
        if not self._ended or self._quorum_done_s is None:
            return
        now_s = self._clock.monotonic_s()
        ran_s, waited_s = self._quorum_done_s - self._started_s, now_s - self._quorum_done_s
        patience_s = max(limits.LAGGARD_WAIT_S, limits.LAGGARD_WAIT_SHARE * ran_s)
        if waited_s + lane.expected_s(now_s) > patience_s:
            owed = f"{lane.owed_bytes:,} bytes in {len(lane.queue) + len(lane.unacknowledged):,} objects"
            self._leave(lane, ReplicaTooSlow(f"{lane.name} still lacked {owed} when a quorum had everything"))

    # --- the spool; the sealing thread alone, which takes the lock ----------------------------------------------------

    def _spool_surplus(self) -> None:
        """Bring what is in memory beyond the window to disk, as far as somebody waits for it."""
        while True:
            with self._changed:
                surplus = self._surplus()
                if surplus is None:
                    return
                for lane in self._laggards(surplus):
                    if lane.spooled_bytes + surplus.size > lane.limits.spool_bytes:
                        self._leave(lane, self._too_slow(lane, f"more than {lane.limits.spool_bytes:,} bytes"))
                body = surplus.body if self._laggards(surplus) else None
            if body is None:
                continue
            path = self._spool.write(body, surplus.size)
            with self._changed:
                if path is None:
                    for lane in self._laggards(surplus):
                        self._leave(lane, self._too_slow(lane, "more than fits on the disk"))
                elif not surplus.needed_by:
                    self._spool.remove(path)
                else:
                    surplus.body, surplus.is_spooled = path, True
                    for name in surplus.needed_by:
                        self._lanes[name].spooled_bytes += surplus.size

    def _laggards(self, held: QueuedUpload) -> list[UploadQueue]:
        """Return the lanes that wait for a parcel and owe more than a window."""
        return [lane for name in held.waiting_at if (lane := self._lanes[name]).owed_packs > self._window]

    def _surplus(self) -> QueuedUpload | None:
        """Return the oldest parcel in memory that a lane waits for, if there are more packs in memory than the window.

        A lane that keeps up is never counted as waiting: packs that are still on their way to a replica that was left
        behind are in memory too, and nobody else is to blame for them.
        """
        self._memory = [held for held in self._memory if held.in_memory]
        packs = sum(not held.barrier for held in self._memory)
        for held in self._memory:
            if packs <= self._window:
                return None
            if self._laggards(held):
                return held
            packs -= not held.barrier
        return None

    def _too_slow(self, lane: UploadQueue, room: str) -> ReplicaTooSlow:
        return ReplicaTooSlow(
            f"{lane.name} fell {count_of(lane.owed_packs, 'pack')} behind, which is {room} of the spool"
        )
