"""Objects on their way to every replica, and where their bytes are meanwhile: in memory, or in a file of the spool."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from farshore import host_resources
from farshore.limits import SPOOL_FREE_BYTES_MIN
from farshore.model import dataclass
from farshore.stores.base import PlainBody
from farshore.stores.body import body_pieces


@dataclass(frozen=True, slots=True)
class Upload:
    """One object on its way to every replica. `barrier`: wait for all before it, and before any after it."""

    name: str
    body: PlainBody
    size: int
    barrier: bool


@dataclass(slots=True, eq=False)
class QueuedUpload:
    """An upload that some queue still needs. Queues share it; change it only while holding the fan-out's lock.

    `needed_by`: queues that have it queued or under way. `in_flight_at`: those where a put of it is under way.
    """

    name: str
    body: PlainBody | None
    size: int
    barrier: bool
    needed_by: set[str] = field(default_factory=set)
    in_flight_at: set[str] = field(default_factory=set)
    is_spooled: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether its bytes are in memory."""
        return self.body is not None and not isinstance(self.body, Path)

    @property
    def waiting_at(self) -> set[str]:
        """Replicas that have not begun to put it."""
        return self.needed_by - self.in_flight_at


class Spool:
    """A directory for uploads that only laggards need. One thread writes, any may remove.

    It is made for one run below a scratch directory, which goes at the run's end, and by the next run after a crash.

    Args:
        place: An existing directory; None for no spool at all.
        free_bytes_min: Must stay free on its disk: the run itself needs some.
    """

    def __init__(self, place: Path | None, *, free_bytes_min: int = SPOOL_FREE_BYTES_MIN) -> None:
        self._place = place
        self._free_bytes_min = free_bytes_min
        self._count = 0

    def write(self, body: PlainBody, size: int) -> Path | None:
        """Return a file with these bytes, or None when there is no room: a full disk is no error of a run."""
        if self._place is None:
            return None
        self._count += 1
        path = self._place / f"upload-{self._count}"
        try:
            if host_resources.free_bytes(self._place) < size + self._free_bytes_min:
                return None
            with path.open("xb") as file:
                for piece in body_pieces(body):
                    file.write(piece)
        except OSError:
            self.remove(path)
            return None
        return path

    def remove(self, path: Path) -> None:
        """Remove a file. One that cannot be removed goes with the directory."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return
