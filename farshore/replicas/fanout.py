"""Fan-out: every object of a run goes to every replica, each with its own queue and its own pace.

The sealing thread offers uploads in order; each replica has a queue, which a few threads empty. Packs travel freely,
other uploads are barriers: they are put only after everything before them was acknowledged there. So an index fragment
at a replica never names a pack that is not there, whatever is killed when.

Nothing waits for a laggard as long as a quorum keeps up, that is, lags by less than the window. Uploads that only
laggards still need go to the spool on disk, once for all of them; a replica that needs more of it than its share is
dropped for this run. The sealing thread waits only while fewer than a quorum keep up. At the end a replica is waited
for only as long as it can be expected to finish soon. Decision 0007 has the reasons.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, Failure, ReplicaTooSlow, StoreUnavailable
from farshore.plural import count_of
from farshore.replicas import FirstBug
from farshore.replicas.upload import QueuedUpload, Spool, Upload
from farshore.replicas.upload_queue import QueueLimits, UploadQueue
from farshore.stores.base import Store

_LOOK_AGAIN_S = 0.2  # how late the end of a wait may be noticed


class Fanout:
    """Upload queues of one run. `offer` and `end` from the sealing thread, `drain` from one thread per replica.

    Args:
        quorum: How many replicas must keep up; all when omitted.
        queue_limits: Limits of a replica, where they differ from the defaults.
        spool: Where uploads that only laggards need are kept; without one laggards are dropped.
        window_packs: Packs that a replica may lag and still keep up; as many are in memory, with the one being made.
        first_bug: Keeps a broken promise of ours that a put meets, also when its replica was dropped meanwhile.
    """

    def __init__(
        self,
        *,
        replicas: Iterable[str],
        clock: Clock,
        quorum: int | None = None,
        queue_limits: Mapping[str, QueueLimits] | None = None,
        spool: Spool | None = None,
        window_packs: int = limits.WINDOW_PACKS,
        first_bug: FirstBug | None = None,
    ) -> None:
        now_s = clock.monotonic_s()
        self._queues = {
            name: UploadQueue(name, (queue_limits or {}).get(name, QueueLimits()), now_s) for name in replicas
        }
        self._clock = clock
        self._quorum = len(self._queues) if quorum is None else quorum
        self._spool = spool or Spool(None)
        self._window = window_packs
        self._first_bug = first_bug or FirstBug()
        self._changed = threading.Condition()
        self._memory: list[QueuedUpload] = []  # uploads whose bytes may still be in memory, oldest first
        self._has_waited = False  # for room for the pack that is being made
        self._started_s = now_s
        self._quorum_done_s: float | None = None
        self._ended = False
        self._aborted = False

    # --- the sealing thread -------------------------------------------------------------------------------------------

    @property
    def uploads_are_bottleneck(self) -> bool:
        """Whether uploads are the bottleneck: the last pack had to wait for a quorum to keep up, or the next will."""
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

    def offer(self, upload: Upload) -> None:
        """Queue an upload at every replica at work; a pack waits while fewer than a quorum keep up.

        Raises:
            StoreUnavailable: The run was stopped, so the caller should stop reading.
        """
        with self._changed:
            if not upload.barrier:
                self._wait_for_room()
            elif self._aborted:
                raise StoreUnavailable("the run was stopped")
            queued = QueuedUpload(upload.name, upload.body, upload.size, upload.barrier)
            for queue in self._working():
                queue.append(queued)
            if queued.needed_by and queued.in_memory:
                self._memory.append(queued)
            self._changed.notify_all()
        self._spool_surplus()

    def end(self) -> None:
        """Say that no upload follows; drains return once their queues are empty."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # --- anybody ------------------------------------------------------------------------------------------------------

    @property
    def at_work(self) -> tuple[str, ...]:
        """Replicas that were not dropped."""
        with self._changed:
            return tuple(queue.name for queue in self._working())

    @property
    def packs_in_memory(self) -> int:
        """Packs that are held in memory for some replica. For tests of the window; nothing else reads it."""
        with self._changed:
            return sum(queued.in_memory and not queued.barrier for queued in self._memory)

    def error_of(self, replica: str) -> Failure | None:
        """Why a replica was dropped, or None."""
        with self._changed:
            return self._queues[replica].error

    def acknowledged(self, replica: str) -> list[tuple[str, int]]:
        """Return name and size of each object that this replica has acknowledged."""
        with self._changed:
            return list(self._queues[replica].done)

    def finished(self, replica: str) -> bool:
        """Whether this replica acknowledged everything that was offered."""
        with self._changed:
            return self._queues[replica].finished

    def abort(self) -> None:
        """Drop all queues; drains return at once. Objects that were put stay, and the next run finds them."""
        with self._changed:
            self._aborted = self._ended = True
            for queue in self._queues.values():
                self._release(queue.drop())
            self._changed.notify_all()

    def drop(self, replica: str, error: Failure) -> None:
        """Drop this replica for this run: its queue is emptied and nobody waits for it. The first reason stays."""
        with self._changed:
            self._drop(self._queues[replica], error)

    # --- one thread per replica ---------------------------------------------------------------------------------------

    def drain(self, replica: str, store: Store, report: Callable[[int], None] = lambda _: None) -> None:
        """Put this replica's uploads until the end; return when all are acknowledged, or it was dropped.

        Returns at once when it is dropped or the run is stopped: a put that is under way ends by itself, in a
        thread that does not keep the process alive.

        Args:
            report: Called from any thread with the bytes acknowledged so far.

        Raises:
            FarshoreError: A put failed. The upload is back in the queue: calling again continues where this stopped.
        """
        queue = self._queues[replica]
        workers = [
            threading.Thread(target=self._work, args=(queue, store, report), name=f"put-{replica}-{n}", daemon=True)
            for n in range(queue.limits.uploads)
        ]
        for worker in workers:
            worker.start()
        with self._changed:
            while not self._is_over(queue):
                self._drop_if_overdue(queue)
                self._changed.wait(timeout=_LOOK_AGAIN_S)
            if queue.dropped:
                return
            if self._aborted:
                raise StoreUnavailable(f"the run was stopped before {replica} had everything")
        for worker in workers:
            worker.join()  # none has anything left to do
        with self._changed:
            failure, queue.failure = queue.failure, None
            if failure is not None:
                queue.put_back()
                if queue.failing_since_s is None:
                    queue.failing_since_s = self._clock.monotonic_s()
                raise failure
            queue.finished = not queue.dropped
            if sum(one.finished for one in self._queues.values()) >= self._quorum and self._quorum_done_s is None:
                self._quorum_done_s = self._clock.monotonic_s()
            self._changed.notify_all()

    def backoff(self, replica: str, wait_s: float) -> bool:
        """Wait before draining again after a failure that passes; return False, at once, when to give up.

        That is when the run is stopped or the replica dropped, when a quorum has everything, so that the run would
        wait for this one alone, and when the quorum needs it and it has failed for `REPLICA_PATIENCE_S`.
        """
        queue = self._queues[replica]
        until_s = self._clock.monotonic_s() + wait_s
        while True:
            with self._changed:
                now_s = self._clock.monotonic_s()
                if self._aborted or queue.dropped or self._quorum_done_s is not None:
                    return False
                others = sum(one is not queue and one.failing_since_s is None for one in self._working())
                failing_s = now_s - queue.failing_since_s if queue.failing_since_s is not None else 0.0
                if others < self._quorum and failing_s > limits.REPLICA_PATIENCE_S:
                    return False
            if now_s >= until_s:
                return True
            self._clock.wait_s(max(min(until_s - now_s, _LOOK_AGAIN_S), 0.001))  # some clocks tick by the microsecond

    # --- caller holds the lock unless noted ---------------------------------------------------------------------------

    def _working(self) -> list[UploadQueue]:
        return [queue for queue in self._queues.values() if not queue.dropped]

    def _wait_for_room(self) -> bool:
        """Wait while fewer than a quorum keep up; return whether it had to wait."""
        has_waited = False
        while not self._aborted and self._must_wait():
            has_waited = True
            self._changed.wait(timeout=_LOOK_AGAIN_S)
        if self._aborted:
            raise StoreUnavailable("the run was stopped")
        return has_waited

    def _must_wait(self) -> bool:
        working = self._working()
        keeping_up = sum(queue.owed_packs < self._window for queue in working)
        return keeping_up < min(self._quorum, len(working))

    def _is_over(self, queue: UploadQueue) -> bool:
        if queue.dropped or self._aborted:
            return True
        return not queue.in_flight and (queue.failure is not None or (self._ended and queue.is_empty))

    def _work(self, queue: UploadQueue, store: Store, report: Callable[[int], None]) -> None:
        """Put one upload after the other until there is none left. Acquires the lock itself."""
        while (queued := self._next(queue)) is not None:
            failure, body = None, queued.body
            try:
                if body is None:
                    raise Bug(f"{queued.name} was freed while {queue.name} needs it")
                store.put(queued.name, body)
            except BaseException as error:  # noqa: BLE001 - `drain` raises it in its caller's thread
                failure = error
            self._first_bug.keep(failure)
            del body  # or an idle worker would keep a pack in memory
            with self._changed:
                done = self._complete(queue, queued, failure)
                self._changed.notify_all()
            try:
                if done is not None:
                    report(done)
            except BaseException as error:  # noqa: BLE001 - as above
                self._first_bug.keep(error)
                with self._changed:
                    queue.failure = queue.failure or error
                    self._changed.notify_all()

    def _next(self, queue: UploadQueue) -> QueuedUpload | None:
        """Wait for the next upload that may be put. Acquires the lock itself."""
        with self._changed:
            while True:
                if queue.dropped or self._aborted or queue.failure is not None:
                    return None
                if (queued := queue.pop_next()) is not None:
                    return queued
                if self._ended and not queue.pending:
                    return None
                self._changed.wait()

    def _complete(self, queue: UploadQueue, queued: QueuedUpload, failure: BaseException | None) -> int | None:
        """Record how a put ended; return the bytes acknowledged so far if it succeeded."""
        queue.complete(queued)
        if failure is None:
            queue.acknowledge(queued)
            self._release([queued])
            return queue.bytes_done
        if queue.dropped or self._aborted:
            queue.give_up(queued)
            self._release([queued])
        elif queue.failure is None:
            queue.failure = failure
        return None

    def _release(self, unneeded: Iterable[QueuedUpload]) -> None:
        """Free the bytes that no queue needs any more."""
        for queued in unneeded:
            if queued.needed_by or queued.body is None:
                continue
            if queued.is_spooled:
                self._spool.remove(queued.body)  # type: ignore[arg-type] # a file where it is spooled
            queued.body = None

    def _drop(self, queue: UploadQueue, error: Failure) -> None:
        queue.dropped = True
        queue.error = queue.error or error
        self._release(queue.drop())
        self._changed.notify_all()

    def _drop_if_overdue(self, queue: UploadQueue) -> None:
        """At the end: drop a replica that a quorum would have to wait for too long."""
        if not self._ended or self._quorum_done_s is None:
            return
        now_s = self._clock.monotonic_s()
        ran_s, waited_s = self._quorum_done_s - self._started_s, now_s - self._quorum_done_s
        patience_s = max(limits.LAGGARD_WAIT_S, limits.LAGGARD_WAIT_SHARE * ran_s)
        if waited_s + queue.expected_s(now_s) > patience_s:
            owed = f"{queue.owed_bytes:,} bytes in {len(queue.pending) + len(queue.unacknowledged):,} objects"
            self._drop(queue, ReplicaTooSlow(f"{queue.name} still lacked {owed} when a quorum had everything"))

    # --- the spool; the sealing thread alone, which acquires the lock ------------------------------------------------

    def _spool_surplus(self) -> None:
        """Move uploads beyond the window from memory to disk, as far as some queue waits for them."""
        while True:
            with self._changed:
                surplus = self._surplus()
                if surplus is None:
                    return
                for queue in self._laggards(surplus):
                    if queue.spooled_bytes + surplus.size > queue.limits.spool_bytes:
                        self._drop(queue, self._too_slow(queue, f"more than {queue.limits.spool_bytes:,} bytes"))
                body = surplus.body if self._laggards(surplus) else None
            if body is None:
                continue
            path = self._spool.write(body, surplus.size)
            with self._changed:
                if path is None:
                    for queue in self._laggards(surplus):
                        self._drop(queue, self._too_slow(queue, "more than fits on the disk"))
                elif not surplus.needed_by:
                    self._spool.remove(path)
                else:
                    surplus.body, surplus.is_spooled = path, True
                    for name in surplus.needed_by:
                        self._queues[name].spooled_bytes += surplus.size

    def _laggards(self, queued: QueuedUpload) -> list[UploadQueue]:
        """Return the queues that wait for an upload and owe more than a window."""
        return [queue for name in queued.waiting_at if (queue := self._queues[name]).owed_packs > self._window]

    def _surplus(self) -> QueuedUpload | None:
        """Return the oldest upload in memory that a queue waits for, if there are more packs in memory than the window.

        A queue that keeps up is never counted as waiting: packs in flight to a dropped replica are in memory too and no
        other replica is to blame for them.
        """
        self._memory = [queued for queued in self._memory if queued.in_memory]
        packs = sum(not queued.barrier for queued in self._memory)
        for queued in self._memory:
            if packs <= self._window:
                return None
            if self._laggards(queued):
                return queued
            packs -= not queued.barrier
        return None

    def _too_slow(self, queue: UploadQueue, room: str) -> ReplicaTooSlow:
        return ReplicaTooSlow(
            f"{queue.name} fell {count_of(queue.owed_packs, 'pack')} behind, which is {room} of the spool"
        )
