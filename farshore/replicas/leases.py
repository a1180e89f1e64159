"""Leases: one writer at work, announced by immutable beats in the store. Decision 0004.

The bytes: docs/reference/format.md, section 5.

A beat is never overwritten: each renewal is a new small object with a later expiry, and the end is one more. So leases
work in buckets that lock every object, and a writer that sleeps past its expiry finds out before it commits.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, FarshoreError, LeaseLost
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.format.records import Lease, decode_lease, encode_lease
from farshore.replicas.ask import FirstBug
from farshore.replicas.put_all import put_all
from farshore.sealed.keys import KeySet
from farshore.sealed.sealed_object import SealedKind, open_object, seal_object
from farshore.stores.base import Store


@dataclass(frozen=True, slots=True)
class LiveLease:
    """A lease as of its last beat."""

    lease: Lease
    live: bool


def read_leases(store: Store, keys: KeySet, clock: Clock) -> list[LiveLease]:
    """Return every lease of a replica by its last beat. An ended, broken or expired lease is not live."""
    last: dict[str, tuple[int, str]] = {}
    ended: set[str] = set()
    for info in store.list(names.LEASES):
        parsed = names.parse_lease(info.name)
        if parsed is None:
            continue
        lease_id, beat = parsed
        if beat is None:
            ended.add(lease_id)
        elif beat >= last.get(lease_id, (-1, ""))[0]:
            last[lease_id] = (beat, info.name)
    now = clock.now_utc()
    leases: list[LiveLease] = []
    for lease_id, (_, name) in last.items():
        if lease_id in ended:
            continue  # an ended lease concerns nobody, so it is not even read
        lease = decode_lease(_open(keys, store.get(name, bytes_max=object_bytes_max(name)), name))
        skew = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)
        leases.append(LiveLease(lease, live=lease.expires_utc + skew > now))
    return leases


class LeaseHolder:
    """One writer's lease at every replica it writes to, renewed by a thread of its own until `end`.

    Args:
        first_bug: Keeps a broken promise of ours that the thread meets; the lease is not renewed any more then.
    """

    def __init__(
        self,
        *,
        stores: Mapping[str, Store],
        keys: KeySet,
        lease: Lease,
        clock: Clock,
        first_bug: FirstBug | None = None,
    ) -> None:
        self._stores = dict(stores)
        self._keys = keys
        self._lease = lease
        self._clock = clock
        self._first_bug = first_bug or FirstBug()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._expires = dict.fromkeys(stores, lease.started_utc)
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

    def check(self, replica: str) -> None:
        """Raise `LeaseLost` when the lease at this replica has expired or was broken by somebody else.

        Called right before a commit: a writer that was suspended must not commit over a prune that considered it dead.
        """
        with self._lock:
            expires = self._expires[replica]
        if self._clock.now_utc() >= expires:
            raise LeaseLost(f"the lease at {replica} expired at {expires:%H:%M:%S} UTC, before the commit")
        end = names.lease(self._lease.lease, None)
        if any(info.name == end for info in self._stores[replica].list(end)):
            raise LeaseLost(f"the lease at {replica} was broken by another host before the commit")

    def end(self) -> None:
        """Stop renewing and say so in the store, as far as replicas can be reached. Safe to repeat."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=limits.READ_TIMEOUT_S)
        name = names.lease(self._lease.lease, None)
        body = self._seal(replace(self._lease, state="ended"), name)
        # Where that fails, the lease only expires later.
        put_all(self._stores, [(name, body)], clock=self._clock, first_bug=self._first_bug)

    def _renew(self) -> None:
        while not self._clock.wait_s(limits.LEASE_BEAT_S, self._stop):
            self._lease = replace(self._lease, beat=self._lease.beat + 1)
            try:
                self._beat()
            except Bug as bug:
                self._first_bug.keep(bug)
                return  # nothing is committed without a lease

    def _beat(self) -> dict[str, FarshoreError]:
        now = self._clock.now_utc()
        expires = now + timedelta(seconds=limits.LEASE_S)
        self._lease = replace(self._lease, expires_utc=expires)
        name = names.lease(self._lease.lease, self._lease.beat)
        body = self._seal(self._lease, name)

        def renewed(replica: str) -> None:  # also after others were waited for, or when this one is late
            with self._lock:
                self._expires[replica] = max(self._expires[replica], expires)

        return put_all(self._stores, [(name, body)], clock=self._clock, on_put=renewed, first_bug=self._first_bug)

    def _seal(self, lease: Lease, name: str) -> bytes:
        return seal_object(
            encode_lease(lease), secret=self._keys.index_key, key_id=self._keys.own, salt=self._clock.random_bytes(32),
            kind=SealedKind.LEASE, name=name, repository_id=self._keys.repository_id,
        )  # fmt: skip


def _open(keys: KeySet, sealed: bytes, name: str) -> bytes:
    return open_object(
        sealed, secret=keys.index_key, kind=SealedKind.LEASE, name=name, repository_id=keys.repository_id
    )
