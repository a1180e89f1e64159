"""The lease of this process: beats at every replica that it writes to, and the end by which it commits or gives up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, FarshoreError, LeaseLost
from farshore.format import names
from farshore.format.lease import EndState, Lease, LeaseEnd, encode_end, encode_lease
from farshore.host import describe_process
from farshore.replicas import FirstBug, ask_all
from farshore.replicas.lease_ends import decide
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.sealed import KeySet
from farshore.signing import SignedKind
from farshore.stores.base import Store


def known_log(repository: Repository) -> tuple[int, str]:
    """Return the number and the hash of the newest entry of the owner log, as signed objects name it."""
    head = repository.trust.head
    if head is None:
        raise Bug("an owner log without entries certifies nobody, so nobody writes by it")
    return head.number, head.hash


def new_lease(
    repository: Repository, replicas: Mapping[str, Replica], *, run_id: str, identity: str, source_id: str = "",
    snapshot: str = "", started_utc: datetime | None = None,
) -> LeaseHolder:  # fmt: skip
    """Return the lease of an act of this process at these replicas, before its first beat.

    Args:
        identity: Says which act it is, or which snapshot of its source.
        source_id: Empty where the act makes no snapshot, like `snapshot`.
        started_utc: Now, where it is not given.

    Raises:
        SourceNotEnrolled: The keys sign nothing.
    """
    clock = repository.clock
    started = started_utc or clock.now_utc()
    lease = Lease(
        lease=clock.random_bytes(16).hex(), run=run_id, source_id=source_id, identity=identity, snapshot=snapshot,
        host=describe_process(), beat=0, started_utc=started, expires_utc=started, log=known_log(repository),
    )  # fmt: skip
    return LeaseHolder(
        stores={name: replica.store for name, replica in replicas.items()}, keys=repository.writing_keys(), lease=lease,
        clock=clock, checker=SignatureChecker.of(repository), first_bug=repository.first_bug,
    )  # fmt: skip


class LeaseHolder:
    """One writer's lease at every replica it writes to, renewed by a thread of its own until `end`.

    Beats are for others, who may wait for them; they protect nothing. The end protects: a commit counts only once it is
    decided, and nobody breaks a lease that committed (docs/reference/format.md, section 6).

    Args:
        checker: Judges the ends that others put.
        first_bug: Keeps a broken promise of ours that the thread meets; the lease is not renewed any more then.

    Raises:
        SourceNotEnrolled: The keys sign nothing.
    """

    def __init__(
        self,
        *,
        stores: Mapping[str, Store],
        keys: KeySet,
        lease: Lease,
        clock: Clock,
        checker: SignatureChecker,
        first_bug: FirstBug | None = None,
    ) -> None:
        self._stores = dict(stores)
        self._keys = keys
        self._lease = lease
        self._clock = clock
        self._checker = checker
        self._first_bug = first_bug or FirstBug()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._beaten: set[str] = set()  # replicas that acknowledged a beat
        self._committing: set[str] = set()
        self._made_utc: datetime | None = None  # of the end that commits
        self._thread: threading.Thread | None = None

    @property
    def lease(self) -> Lease:
        """The lease as its last beat has it."""
        return self._lease

    def acquire(self) -> dict[str, FarshoreError]:
        """Write the first beat at every replica and start renewing; return the replicas where that failed."""
        failed = self._beat()
        self._thread = threading.Thread(target=self._renew, name="farshore-lease", daemon=True)
        self._thread.start()
        return failed

    def commit(self, replica: str, commit: bytes = b"", copies: Sequence[str] = ()) -> None:
        """Decide that this lease commits at a replica (step W6), once all that its commits need is there. Repeatable.

        From here on what the commits need is needed, though they are not put yet; before, nobody may put them.

        Args:
            commit: The stored bytes of the commit of a backup.
            copies: Of a heal: the hashes of the commits that it puts.

        Raises:
            LeaseLost: Another end decides, or the lease was never written there. Nothing is committed.
            FarshoreError: The replica does not answer, so the decision is not known. Put nothing.
        """
        with self._lock:
            if replica not in self._beaten:
                raise LeaseLost(f"the lease was never written at {replica}, so nobody there waits for this run")
        self._made_utc = self._made_utc or self._clock.now_utc()  # so that a repeated call makes the same end
        make = self._maker(EndState.COMMITTING, self._made_utc, commit, tuple(copies))
        other = decide(self._stores[replica], self._checker, self._lease.lease, self._signer, make)
        if other is not None:
            raise LeaseLost(f"the lease at {replica} is {other.state}, so this run commits nothing there")
        with self._lock:
            self._committing.add(replica)

    def end(self) -> None:
        """Stop renewing, and end the lease where it did not commit, as far as replicas answer. Safe to repeat."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=limits.READ_TIMEOUT_S)
        open_at = [name for name in self._stores if name not in self._committing]
        make = self._maker(EndState.ENDED, self._clock.now_utc())

        def end(replica: str) -> None:
            with contextlib.suppress(LeaseLost):
                decide(self._stores[replica], self._checker, self._lease.lease, self._signer, make)

        # Where that fails, the lease only expires later.
        ask_all(open_at, end, clock=self._clock, patient=True, first_bug=self._first_bug)

    @property
    def _signer(self) -> str:
        key = self._keys.signing_key
        return key.signer_id if key is not None else ""

    def _maker(
        self, state: EndState, made_utc: datetime, commit: bytes = b"", copies: tuple[str, ...] = ()
    ) -> Callable[[int], bytes]:
        def make(k: int) -> bytes:
            end = LeaseEnd(self._lease.lease, k, state.value, made_utc, self._lease.log, commit, copies)
            name = names.lease_end(self._lease.lease, k)
            return sign_text(self._keys, SignedKind.LEASE_END, name, encode_end(end))

        return make

    def _renew(self) -> None:
        while not self._clock.wait_s(limits.LEASE_BEAT_S, self._stop):
            self._lease = replace(self._lease, beat=self._lease.beat + 1)
            try:
                self._beat()
            except Bug as bug:
                self._first_bug.keep(bug)
                return  # others take the run for dead, and may break its lease

    def _beat(self) -> dict[str, FarshoreError]:
        expires = self._clock.now_utc() + timedelta(seconds=limits.LEASE_S)
        self._lease = replace(self._lease, expires_utc=expires)
        name = names.lease_beat(self._lease.lease, self._lease.beat)
        body = sign_text(self._keys, SignedKind.LEASE, name, encode_lease(self._lease))

        def acknowledged(replica: str) -> None:  # also after others were waited for, or when this one is late
            with self._lock:
                self._beaten.add(replica)

        return put_all(self._stores, [(name, body)], clock=self._clock, on_put=acknowledged, first_bug=self._first_bug)
