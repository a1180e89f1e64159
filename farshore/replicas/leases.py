"""Leases at a replica: who is at work there, and what was decided on each. Decisions 0004 and 0026.

The bytes: docs/reference/format.md, section 5.

Anybody with the right to put can put any number of names below `leases/`. So leases of signers that the owner never
certified are ignored for every decision, and of those that this host has not seen decided only the newest are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from datetime import UTC, datetime, timedelta

from farshore import limits
from farshore.errors import Corrupt, FormatTooNew, NotFound, ObjectCorrupt, ObjectTooLarge
from farshore.format import names
from farshore.format.lease import EndState, Lease, decode_lease
from farshore.format.names import object_bytes_max
from farshore.model import dataclass
from farshore.replicas.lease_ends import Decision, read_ends
from farshore.replicas.remembered import forget_all_but, remember, remembered
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker
from farshore.signing import SignedKind
from farshore.stores.base import Store
from farshore.trust.actions import Right

_BEATS_TRIED_MAX = 8  # of one lease, from each end: any other was planted
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A lease by its last beat, its signer, and what was decided on it. `live`: undecided, and not expired.

    The signer is the one certified who signed the first valid beat; a later beat of anybody else is none of it.
    """

    lease: Lease
    signer: str
    decision: Decision | None
    live: bool


@dataclass(frozen=True, slots=True)
class ReplicaLeases:
    """The leases of a replica that were read. `foreign`: how many nobody certified has signed; `unread`: left unread.

    Leases that were seen decided before, and finished, are in none of these.
    """

    leases: tuple[SeenLease, ...] = ()
    foreign: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class ListedLease:
    """A lease with every name that a replica lists below it, planted ones too.

    `seen` is None where no beat can be believed: they were planted, or they are damaged. `decision` is then one that
    anybody certified to write has signed. `first_utc`: the earliest time of a beat, None where the store gives none.
    """

    lease_id: str
    seen: SeenLease | None
    decision: Decision | None
    beats: tuple[int, ...]
    ends: tuple[int, ...]
    first_utc: datetime | None

    @property
    def live(self) -> bool:
        """Whether its writer may be at work."""
        return self.seen is not None and self.seen.live


@dataclass
class _Names:
    """The names of one lease, and the newest moment of any."""

    beats: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    stored_utc: datetime = _LONG_AGO
    first_utc: datetime | None = None


def read_leases(repository: Repository, replica: Replica) -> ReplicaLeases:
    """Return the leases of a replica that may still matter, the newest ones first.

    Raises:
        FarshoreError: The replica cannot be listed or read now.
    """
    listed = _list_leases(replica.store)
    settled = remembered(repository.cache, _memory(replica)) & listed.keys()
    forget_all_but(repository.cache, _memory(replica), settled)
    unknown = sorted(listed.keys() - settled, key=lambda one: (listed[one].stored_utc, one), reverse=True)
    chosen = unknown[: max(limits.UNKNOWN_LEASES_MAX, 2 * len(settled))]
    checker = SignatureChecker.of(repository).reading_once()
    now_utc = repository.clock.now_utc()
    with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA) as pool:
        read = list(pool.map(lambda one: _read(replica.store, checker, one, listed[one], now_utc), chosen))
    leases = tuple(one for one in read if one is not None)
    return ReplicaLeases(leases, len(read) - len(leases), len(unknown) - len(chosen))


def read_every_lease(repository: Repository, replica: Replica, known: Iterable[ListedLease] = ()) -> list[ListedLease]:
    """Return every lease of a replica, in order of id, without any bound: for a prune.

    Two or three small reads for each.

    Args:
        known: Leases that were read before: those that were decided are not read again, since a decision never changes.

    Raises:
        FarshoreError: The replica cannot be listed or read now.
    """
    listed = _list_leases(replica.store)
    checker = SignatureChecker.of(repository).reading_once()
    now_utc = repository.clock.now_utc()
    decided = {one.lease_id: one for one in known if one.decision is not None}

    def read(lease_id: str) -> ListedLease:
        if lease_id in decided:
            return decided[lease_id]
        found = listed[lease_id]
        seen = _read(replica.store, checker, lease_id, found, now_utc)
        decision = seen.decision if seen else _decided_by_anybody(replica.store, checker, lease_id, found)
        return ListedLease(
            lease_id, seen, decision, tuple(sorted(found.beats)), tuple(sorted(found.ends)), found.first_utc
        )

    with ThreadPoolExecutor(limits.UPLOADS_PER_REPLICA) as pool:
        return list(pool.map(read, sorted(listed)))


def _decided_by_anybody(store: Store, checker: SignatureChecker, lease_id: str, listed: _Names) -> Decision | None:
    """Return the decision on a lease whose writer is unknown: as if who signed an end was the writer."""
    for k in sorted(listed.ends):
        name = names.lease_end(lease_id, k)
        try:
            text = checker.check(SignedKind.LEASE_END, name, store.get(name, bytes_max=object_bytes_max(name)))
        except ObjectTooLarge:
            continue
        if text is not None and checker.trust().ever_might(text.signer, *Right):
            return read_ends(store, checker, lease_id, text.signer).decision
    return None


def note_settled(repository: Repository, replica: Replica, lease_ids: Iterable[str]) -> None:
    """Remember leases that were decided and leave nothing to do here, so that they are not read again."""
    remember(repository.cache, _memory(replica), lease_ids)


def is_decided(seen: SeenLease, *states: EndState) -> bool:
    """Whether a lease was decided, in one of these ways."""
    return seen.decision is not None and seen.decision.state in states


def _list_leases(store: Store) -> dict[str, _Names]:
    found: dict[str, _Names] = {}
    for info in store.list(names.LEASES):
        parsed = names.parse_lease(info.name)
        if parsed is None:
            continue
        lease = found.setdefault(parsed.lease, _Names())
        lease.stored_utc = max(lease.stored_utc, info.modified_utc or _LONG_AGO)
        if parsed.k is not None:
            lease.ends.append(parsed.k)
        elif parsed.beat is not None:
            lease.beats.append(parsed.beat)
            moments = [one for one in (lease.first_utc, info.modified_utc) if one is not None]
            lease.first_utc = min(moments, default=None)
    return found


def _read(
    store: Store, checker: SignatureChecker, lease_id: str, listed: _Names, now_utc: datetime
) -> SeenLease | None:
    """Return a lease, or None where nobody certified has signed it."""
    beats = sorted(listed.beats)
    first = _first_valid(store, checker, lease_id, beats[:_BEATS_TRIED_MAX])
    if first is None:
        return None
    signer = first[1]
    later = [beat for beat in beats[: -_BEATS_TRIED_MAX - 1 : -1] if beat > first[0].beat]
    last = _first_valid(store, checker, lease_id, later, signer) or first
    decision = read_ends(store, checker, lease_id, signer).decision if listed.ends else None
    expires_utc = last[0].expires_utc + timedelta(seconds=limits.CLOCK_SKEW_S_MAX)
    return SeenLease(last[0], signer, decision, live=decision is None and expires_utc > now_utc)


def _first_valid(
    store: Store, checker: SignatureChecker, lease_id: str, beats: Iterable[int], signer: str = ""
) -> tuple[Lease, str] | None:
    """Return the first of these beats whose signer, this one or any, was certified to write; None for none."""
    for beat in beats:
        name = names.lease_beat(lease_id, beat)
        try:
            data = store.get(name, bytes_max=object_bytes_max(name))
        except (Corrupt, NotFound):
            continue
        text = checker.check(SignedKind.LEASE, name, data)
        if text is None or not checker.trust().ever_might(text.signer, Right.BACKUP, Right.HEAL):
            continue
        try:
            lease = decode_lease(text.value, name)
        except (ObjectCorrupt, FormatTooNew):
            continue
        if (lease.lease, lease.beat) == (lease_id, beat) and signer in ("", text.signer):
            return lease, text.signer
    return None


def _memory(replica: Replica) -> str:
    return f"settled-leases/{names.hash_of(replica.url.encode())}"
