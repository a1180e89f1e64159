"""One replica while it is scrubbed: counts, findings, and questions by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore import limits
from farshore.audit.rows import Against, ProofState
from farshore.check_results import ReplicaProof
from farshore.errors import FarshoreError, ObjectNotFound
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.model import DamagedObject
from farshore.ops.verify.remote.judging import Verdict
from farshore.replicas.repository import Replica
from farshore.stores.base import ObjectInfo

_LIVE = timedelta(seconds=limits.LEASE_S + limits.CLOCK_SKEW_S_MAX)
Keep = Callable[[str, str, Verdict, ObjectInfo | None, str], None]  # replica, name, verdict, info, last state


@dataclass
class ReplicaScrub:
    """Filled by one thread; only `ask` uses others. `error`: why the rest of it was not seen."""

    replica: Replica
    keep: Keep
    objects: int = 0
    snapshots: set[str] = field(default_factory=set)  # with a commit record that is listed
    proven: int = 0
    unproven: int = 0
    audit_unproven: int = 0
    unrecorded: int = 0
    foreign: int = 0
    damaged_total: int = 0
    bytes_read: int = 0
    reports_checksums: bool = False  # whether its service gave a checksum of any object
    slots: int = 0
    listing_complete: bool = True
    error: FarshoreError | None = None
    damaged: dict[str, DamagedObject] = field(default_factory=dict)  # the first `PROBLEMS_KEPT_MAX`
    foreign_names: list[str] = field(default_factory=list)
    silent: list[tuple[str, ObjectInfo, str]] = field(default_factory=list)  # put with a checksum, none is reported
    _absences: int = 0  # names asked for because the listing lacks them
    _leases: dict[str, datetime | None] = field(default_factory=dict)  # not ended: their last beat

    @property
    def name(self) -> str:
        """The replica's name."""
        return self.replica.name

    @property
    def algorithm(self) -> str:
        """The algorithm of the checksums its service keeps; empty where it keeps none."""
        return self.replica.store.capabilities.checksum

    def listing(self) -> Iterator[ObjectInfo]:
        """Yield what it lists; an error ends it, and the replica counts as not seen."""
        try:
            for info in self.replica.store.list():
                self.objects += 1
                yield info
        except FarshoreError as error:
            self.error = error

    def note(self, name: str, verdict: Verdict, info: ObjectInfo | None, last: str) -> None:
        """Count one verdict; keep a row where the state differs from the last one."""
        if verdict.damaged:
            self.damaged_total += 1
            if len(self.damaged) < limits.PROBLEMS_KEPT_MAX:
                self.damaged[name] = DamagedObject(self.name, name, verdict.state, verdict.detail)
        was_damaged = last in (ProofState.MISSING, ProofState.TRUNCATED, ProofState.ALTERED)
        if verdict.state.value != last and (verdict.damaged or was_damaged or self.algorithm):
            self.keep(self.name, name, verdict, info, last)

    def ask(self, wanted: Iterable[str], pool: ThreadPoolExecutor) -> dict[str, Future[ObjectInfo | None]]:
        """Ask for objects by name; None is one that is not there. Collect each with `answer`."""
        return {name: pool.submit(self._head, name) for name in wanted}

    def answer(self, future: Future[ObjectInfo | None]) -> ObjectInfo | None:
        """Return an answer; trouble with the service ends this replica's scrub."""
        try:
            return future.result()
        except FarshoreError as error:
            self.error = self.error or error
            return None

    def may_ask_absent(self) -> bool:
        """Count one name that the listing lacks; return whether it is asked for."""
        self._absences += 1
        return self._absences <= limits.SCRUB_ABSENCES_ASKED_MAX

    def read(self, name: str) -> bytes | None:
        """Return a small object's bytes, None where it is gone."""
        try:
            data = self.replica.store.get(name, bytes_max=object_bytes_max(name))
        except ObjectNotFound:
            return None
        self.bytes_read += len(data)
        return data

    def note_lease(self, info: ObjectInfo) -> None:
        """Note a beat or an end of a lease; beats arrive in order, ends after them. Nothing is read."""
        parsed = names.parse_lease(info.name)
        if parsed is None:
            return
        if parsed.beat is None:
            self._leases.pop(parsed.lease, None)
        else:
            self._leases[parsed.lease] = info.modified_utc

    def at_work(self, now_utc: datetime) -> bool:
        """Whether some lease is live, as far as the times of its beats show."""
        return any(beat is not None and beat + _LIVE > now_utc for beat in self._leases.values())

    def proof(self, records_from: str, now_utc: datetime) -> ReplicaProof:
        """Return what was seen."""
        return ReplicaProof(
            replica=self.name,
            tells_checksums=bool(self.algorithm),
            objects=self.objects,
            damaged=self.damaged_total,
            proven=self.proven,
            unproven=self.unproven,
            audit_unproven=self.audit_unproven,
            unrecorded=self.unrecorded,
            foreign=self.foreign,
            at_work=self.at_work(now_utc),
            listing_complete=self.listing_complete and self.error is None,
            records_from=records_from,
            foreign_names=tuple(self.foreign_names),
        )

    def settle_silent(self) -> None:
        """Judge objects that were put with a checksum and have none: where others have theirs, they were put anew."""
        for name, info, last in self.silent:
            if self.reports_checksums:
                detail = f"it was put with a {self.algorithm}, and its provider reports none of it as it does of others"
                self.note(name, Verdict(ProofState.ALTERED, Against.SENT, detail), info, last)
            else:
                self.unproven += 1
                detail = f"its provider reports no {self.algorithm}"
                self.note(name, Verdict(ProofState.UNPROVEN, Against.NOTHING, detail), info, last)
        self.silent = []

    def _head(self, name: str) -> ObjectInfo | None:
        try:
            return self.replica.store.head(name)
        except ObjectNotFound:
            return None
