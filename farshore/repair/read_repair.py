"""Read-repair: objects that a reader found damaged at one replica and good at another are mended. Decision 0009.

One thread and a bounded queue, so that reading never waits for mending: requests that overflow the queue, or are
unfinished shortly after the read ends, are dropped and reported. A run that may not write only reports. Whole objects
alone are mended, by `replicas.mend`: of a pack whose range was bad the whole pack is read from a good replica and
hashed first. It is a write like any other: under a lease, past what plans condemn and tombstones forget (`copy_lease`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farshore import limits
from farshore.audit.rows import RepairMethod
from farshore.errors import Denied, FarshoreError, ObjectCorrupt
from farshore.format.names import object_bytes_max
from farshore.format.object_kinds import Kind
from farshore.format.pack_id import hash_object
from farshore.model import DamagedObject, dataclass
from farshore.repair.object_checks import check_itself, digest_in_name
from farshore.repair.object_kinds import kind_of
from farshore.repair.outcome import Repair
from farshore.replicas.mend import mend
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Replica, Repository
from farshore.results import Found, ReadRepaired, RepairAction

if TYPE_CHECKING:
    from farshore.repair.copy_lease import CopyPermits

_FOUND = {"missing": Found.MISSING, "truncated": Found.TRUNCATED}
_HEAL = "run 'farshore heal' to mend it"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object to mend. `body`: the good bytes, where the reader had all of them in its hands.

    `snapshots`: those that need it, where that is known.
    """

    replica: Replica
    name: str
    found: str
    body: bytes | None
    source: str
    snapshots: tuple[str, ...] = ()


class ReadRepair:
    """Mends objects in the background. `offer` from any thread, `finish` once.

    Args:
        commits: The commits that are read, by snapshot id: their hashes.
        run_id: The run that holds the leases.
    """

    def __init__(
        self, *, repository: Repository, reader: ReplicaReader, commits: Mapping[str, Collection[str]], run_id: str
    ) -> None:
        self._repository = repository
        self._reader = reader
        self._snapshots = tuple(commits) if len(commits) == 1 else ()  # for the audit rows
        self._commits, self._run_id = commits, run_id
        self._permits: CopyPermits | None = None  # made with the first damage, which few reads meet
        self._lock = threading.Lock()
        self._waiting: deque[_Wanted] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._denied: dict[str, FarshoreError] = {}  # replicas that let nothing be put
        self._working = False
        self._ending = False
        self._stopped = False
        self._done = threading.Event()
        self._at_work: _Wanted | None = None
        self._repairs: list[Repair] = []

    def offer(self, replica: Replica, name: str, found: str, source: str, body: bytes | None) -> None:
        """Ask for an object to be mended; each is queued once, and none while the queue is full.

        Args:
            found: missing | altered and so on, as the reader noted it.
            source: The replica that gave a good copy.
            body: The whole good object, where the reader has it.
        """
        wanted = _Wanted(replica, name, found, body, source)
        with self._lock:
            if (replica.name, name) in self._seen or self._stopped:
                return
            self._seen.add((replica.name, name))
            if len(self._waiting) >= limits.REPAIRS_WAITING_MAX:
                self._repairs.append(_left(wanted, f"too much else was waiting to be mended; {_HEAL}"))
                return
            self._waiting.append(wanted)
            if not self._working:
                self._working = self._repository.threads.start(self._work)
            if not self._working:
                self._waiting.pop()
                self._repairs.append(_left(wanted, f"every thread was taken by reads; {_HEAL}"))

    def mend_all(self, found: Iterable[DamagedObject]) -> list[Repair]:
        """Mend objects in this thread, those that others name first; return the outcome of each that is not whole."""
        kinds = list(Kind)
        wanted = [(kind, one) for one in found if (kind := kind_of(one.name)) is not None]
        repairs: list[Repair] = []
        try:
            for _, one in sorted(wanted, key=lambda pair: (kinds.index(pair[0]), pair[1].name)):
                replica = self._repository.replicas[one.replica]
                repair = self._mend(_Wanted(replica, one.name, one.code, None, "", one.snapshots))
                if repair is not None:
                    repairs.append(replace(repair, snapshots=one.snapshots))
        finally:
            self._end_permits()
        return repairs

    def finish(self, wait_s: float = limits.REPAIRS_WAIT_S) -> list[Repair]:
        """Wait for objects being mended, up to the limit; return the outcome of each. Later offers are dropped."""
        with self._lock:
            self._ending = True
            idle = not self._working
        if idle:
            self._end_permits()
            self._done.set()
        self._repository.clock.wait_s(wait_s, self._done)
        with self._lock:
            self._stopped = True
            left = [_left(one, f"there was no time left to mend it; {_HEAL}") for one in self._waiting]
            if self._at_work:
                left.append(_left(self._at_work, f"mending it took too long and may still end well; {_HEAL}"))
            self._waiting.clear()
            return [replace(one, snapshots=self._snapshots) for one in (*self._repairs, *left)]

    def _work(self) -> None:
        while True:
            with self._lock:
                ends = not self._waiting or self._stopped
                if ends and not self._ending:  # another offer starts anew, with the leases that are held
                    self._working, self._at_work = False, None
                    return
                one = self._at_work = None if ends else self._waiting.popleft()
            if one is None:
                self._end_permits()
                self._done.set()
                return
            try:
                repair = self._mend(one)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the restore neither fails nor waits for it
                self._repository.first_bug.keep(error)
                repair = _left(one, f"mending it failed: {error}")
            if repair is not None:
                self._keep(repair)

    def _keep(self, repair: Repair) -> None:
        """Keep the outcome of one object, unless it was already reported as out of time."""
        with self._lock:
            if not self._stopped:
                self._repairs.append(repair)

    def _mend(self, one: _Wanted) -> Repair | None:
        """Mend one object; None where it turned out to be whole."""
        refusal = self._denied.get(one.replica.name)
        if refusal is not None:
            return replace(_left(one, str(refusal), refusal.code), action=RepairAction.REFUSED)
        try:
            body, digest, source = self._good_copy(one)
        except FarshoreError as error:
            return _left(one, str(error), error.code)
        try:
            mended = mend(one.replica, one.name, body, blake3_hex=digest, refusal=lambda: self._refusal(one))
        except Denied as error:
            self._denied[one.replica.name] = error
            return replace(_left(one, str(error), error.code), action=RepairAction.REFUSED)
        except FarshoreError as error:
            return _left(one, str(error), error.code)
        if mended.found is Found.SOUND:
            return None
        if isinstance(mended.error, Denied):
            self._denied[one.replica.name] = mended.error
        return Repair(
            one.replica.name, one.name, mended.found, mended.action, source=source,
            method=RepairMethod.PUT, bytes=mended.bytes,
            blake3=digest, blake3_found=mended.blake3_found, detail=mended.detail,
            error_code=mended.error.code if mended.error else "",
        )  # fmt: skip

    def _refusal(self, one: _Wanted) -> str:
        """Return why an object must stay away from its replica, or an empty text; holds a lease there from now on."""
        if self._permits is None:
            from farshore.repair.copy_lease import CopyPermits

            self._permits = CopyPermits(repository=self._repository, commits=self._commits, run_id=self._run_id)
        reason = self._permits.refusal(one.replica, one.name, one.snapshots)
        if not reason and kind_of(one.name) is Kind.COMMIT:
            reason = self._permits.commit(one.replica, one.name)
        return reason

    def _end_permits(self) -> None:
        if self._permits is not None:
            self._permits.end()

    def _good_copy(self, one: _Wanted) -> tuple[bytes | Path, str, str]:
        """Return an object's good bytes, or a file of them, with their hash and the replica they are from.

        Raises:
            FarshoreError: No other replica has a good copy, or nothing vouches for one.
        """
        digest = digest_in_name(one.name)
        if one.body is not None:
            return one.body, digest or hash_object(one.name, one.body), one.source
        cached = self._repository.cache.path(one.name)
        if cached is not None and digest:
            return cached, digest, one.source  # hashed before anything is done with it
        others = self._reader.among([name for name in self._names() if name != one.replica.name])

        def whole(replica: Replica) -> tuple[bytes, str]:
            data = replica.store.get(one.name, bytes_max=object_bytes_max(one.name))
            found = hash_object(one.name, data)
            is_good = found == digest if digest else check_itself(one.name, data, self._repository)
            if not is_good:
                raise ObjectCorrupt(f"nothing vouches for the copy of {one.name} at {replica.name}")
            return data, replica.name

        data, source = others.ask(one.name, whole, size=limits.PACK_BYTES_TARGET)
        return data, digest or hash_object(one.name, data), source

    def _names(self) -> list[str]:
        return [replica.name for replica in self._reader.replicas]


def repair_result(one: Repair) -> ReadRepaired:
    """Return a repair as a value of the model."""
    return ReadRepaired(
        one.replica, one.object, one.found, one.action, one.source, one.bytes, one.detail, one.error_code
    )


def _left(one: _Wanted, detail: str, error_code: str = "") -> Repair:
    found = _FOUND.get(one.found, Found.ALTERED)
    return Repair(one.replica.name, one.name, found, RepairAction.LEFT, detail=detail, error_code=error_code)
