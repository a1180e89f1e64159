"""One replica's lane of a fan-out: what it owes, what is under way, and what it has acknowledged.

Everything here is state. Whoever calls holds the fan-out's lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from farshore.errors import Failure
from farshore.limits import SPOOL_BYTES, UPLOADS_PER_REPLICA
from farshore.replicas.upload import QueuedUpload


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """`uploads` at once; `spool_bytes` that may wait on disk for this replica."""

    uploads: int = UPLOADS_PER_REPLICA
    spool_bytes: int = SPOOL_BYTES


@dataclass(slots=True)
class UploadQueue:
    """The queue of one replica."""

    name: str
    limits: LaneLimits
    started_s: float
    queue: deque[QueuedUpload] = field(default_factory=deque)
    unacknowledged: dict[str, QueuedUpload] = field(
        default_factory=dict
    )  # taken and not acknowledged, in the order of the queue
    in_flight: int = 0  # puts under way
    owed_packs: int = 0
    owed_bytes: int = 0
    spooled_bytes: int = 0  # of what it owes, on disk
    done: list[tuple[str, int]] = field(default_factory=list)
    bytes_done: int = 0
    failure: BaseException | None = None  # of the drain that is under way
    failing_since_s: float | None = None  # nothing was acknowledged since this failure
    error: Failure | None = None  # why it was dropped
    dropped: bool = False
    finished: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether everything offered so far was acknowledged."""
        return not self.queue and not self.unacknowledged

    def append(self, held: QueuedUpload) -> None:
        """Owe one more parcel."""
        held.needed_by.add(self.name)
        self.queue.append(held)
        self.owed_bytes += held.size
        self.owed_packs += not held.barrier

    def take(self) -> QueuedUpload | None:
        """Return the next parcel to put, or None while there is none or a barrier is in the way."""
        if not self.queue:
            return None
        if self.unacknowledged and (self.queue[0].barrier or next(iter(self.unacknowledged.values())).barrier):
            return None
        held = self.queue.popleft()
        self.unacknowledged[held.name] = held
        held.in_flight_at.add(self.name)
        self.in_flight += 1
        return held

    def complete(self, held: QueuedUpload) -> None:
        """Note that a put of this parcel ended, whether well or not."""
        held.in_flight_at.discard(self.name)
        self.in_flight -= 1

    def acknowledge(self, held: QueuedUpload) -> None:
        """Owe one parcel less. What was acknowledged after the replica was dropped is there all the same."""
        del self.unacknowledged[held.name]
        self.done.append((held.name, held.size))
        self.bytes_done += held.size
        self.failing_since_s = None
        self._forget(held)

    def put_back(self) -> None:
        """Queue again what was not acknowledged, in its old order; putting an object twice is harmless."""
        self.queue.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged.clear()

    def drop(self) -> list[QueuedUpload]:
        """Give up everything that is not under way; return what this lane no longer needs."""
        unneeded = [held for held in (*self.queue, *self.unacknowledged.values()) if self.name not in held.in_flight_at]
        self.queue.clear()
        for held in unneeded:
            self.unacknowledged.pop(held.name, None)
            self._forget(held)
        return unneeded

    def give_up(self, held: QueuedUpload) -> None:
        """Forget a parcel whose put failed after the replica was dropped."""
        del self.unacknowledged[held.name]
        self._forget(held)

    def expected_s(self, now_s: float) -> float:
        """Return how long it takes at the least to put the rest, by its own pace so far.

        What is under way counts as done, because nobody knows how much of it is: so a replica is never dropped for
        what it may have all but finished, and as time passes without an acknowledgement the guess grows.
        """
        in_flight_bytes = sum(held.size for held in self.unacknowledged.values())
        behind_bytes = self.owed_bytes - in_flight_bytes
        if behind_bytes <= 0:
            return 0.0
        return behind_bytes * max(now_s - self.started_s, 0.0) / max(self.bytes_done + in_flight_bytes, 1)

    def _forget(self, held: QueuedUpload) -> None:
        held.needed_by.discard(self.name)
        self.owed_bytes -= held.size
        self.owed_packs -= not held.barrier
        if held.is_spooled:
            self.spooled_bytes -= held.size
