"""One replica's queue of a fan-out: uploads that wait, are in flight, and were acknowledged.

Everything here is state. Callers hold the fan-out's lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field

from farshore import limits
from farshore.errors import Failure
from farshore.limits import SPOOL_BYTES, UPLOADS_PER_REPLICA
from farshore.model import dataclass
from farshore.replicas.upload import QueuedUpload


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """`uploads` at once; `spool_bytes` that may wait on disk for this replica."""

    uploads: int = UPLOADS_PER_REPLICA
    spool_bytes: int = SPOOL_BYTES


@dataclass(slots=True)
class UploadQueue:
    """The queue of one replica."""

    name: str
    limits: QueueLimits
    started_s: float
    pending: deque[QueuedUpload] = field(default_factory=deque)
    unacknowledged: dict[str, QueuedUpload] = field(
        default_factory=dict
    )  # popped and not acknowledged, in the order of the queue
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
        return not self.pending and not self.unacknowledged

    def append(self, upload: QueuedUpload) -> None:
        """Owe one more upload."""
        upload.needed_by.add(self.name)
        self.pending.append(upload)
        self.owed_bytes += upload.size
        self.owed_packs += not upload.barrier

    def pop_next(self) -> QueuedUpload | None:
        """Return the next upload to put, or None while there is none or a barrier is in the way."""
        if not self.pending:
            return None
        if self.unacknowledged and (self.pending[0].barrier or next(iter(self.unacknowledged.values())).barrier):
            return None
        upload = self.pending.popleft()
        self.unacknowledged[upload.name] = upload
        upload.in_flight_at.add(self.name)
        self.in_flight += 1
        return upload

    def complete(self, upload: QueuedUpload) -> None:
        """Note that a put of this upload ended, whether well or not."""
        upload.in_flight_at.discard(self.name)
        self.in_flight -= 1

    def acknowledge(self, upload: QueuedUpload) -> None:
        """Owe one upload less. An object acknowledged after the replica was dropped is there all the same."""
        del self.unacknowledged[upload.name]
        self.done.append((upload.name, upload.size))
        self.bytes_done += upload.size
        self.failing_since_s = None
        self._forget(upload)

    def put_back(self) -> None:
        """Queue the unacknowledged uploads again, in their old order; putting an object twice is harmless."""
        self.pending.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged.clear()

    def drop(self) -> list[QueuedUpload]:
        """Drop everything that is not in flight; return the uploads that this queue no longer needs."""
        unneeded = [
            upload for upload in (*self.pending, *self.unacknowledged.values()) if self.name not in upload.in_flight_at
        ]
        self.pending.clear()
        for upload in unneeded:
            self.unacknowledged.pop(upload.name, None)
            self._forget(upload)
        return unneeded

    def give_up(self, upload: QueuedUpload) -> None:
        """Forget a upload whose put failed after the replica was dropped."""
        del self.unacknowledged[upload.name]
        self._forget(upload)

    def expected_s(self, now_s: float) -> float:
        """Return a lower bound of the time until everything is put, at this queue's rate so far.

        Uploads in flight count as done, because nobody knows how far they are: so a replica is never dropped for one
        that may be almost finished, and as time passes without an acknowledgement the guess grows. Soon after the start
        a few bytes are no rate: a service that asked to wait at first may be fast afterwards.
        """
        in_flight_bytes = sum(upload.size for upload in self.unacknowledged.values())
        behind_bytes = self.owed_bytes - in_flight_bytes
        if behind_bytes <= 0:
            return 0.0
        ran_s, done_bytes = max(now_s - self.started_s, 0.0), self.bytes_done + in_flight_bytes
        if ran_s < limits.LAGGARD_WAIT_S and done_bytes < limits.RATE_BYTES_MIN:
            return 0.0
        return behind_bytes * ran_s / max(done_bytes, 1)

    def _forget(self, upload: QueuedUpload) -> None:
        upload.needed_by.discard(self.name)
        self.owed_bytes -= upload.size
        self.owed_packs -= not upload.barrier
        if upload.is_spooled:
            self.spooled_bytes -= upload.size
