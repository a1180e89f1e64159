"""The end of a lease: the first valid object of `leases/<id>/end/0`, `1`, … decides, once and for ever.

Committing and breaking exclude each other because both are one write under one name, and a store gives a name to one
winner. An invalid end is void for ever, so it stops nobody: the decider goes on to the next number, and leaves none
free below. tests/models/prune/lease_ends.py explores these rules; decision 0026.
"""

from __future__ import annotations

from collections.abc import Callable

from farshore.errors import (
    Conflict,
    FarshoreError,
    FormatTooNew,
    LeaseLost,
    NotFound,
    ObjectCorrupt,
    ObjectTooLarge,
    StateUnknown,
    Unavailable,
)
from farshore.format import names
from farshore.format.lease import ENDS_MAX, EndState, LeaseEnd, decode_end
from farshore.format.names import object_bytes_max
from farshore.model import dataclass
from farshore.replicas.signed_texts import SignatureChecker
from farshore.signing import SignedKind
from farshore.stores.base import Store
from farshore.trust.actions import Right

LATER = "of a later version"


@dataclass(frozen=True, slots=True)
class Decision:
    """A valid end and its signer. `state` may be one that this version does not know: neither break nor commit.

    `end` is None where the end is of a later version altogether.
    """

    state: str
    signer: str
    end: LeaseEnd | None = None


@dataclass(frozen=True, slots=True)
class ReadEnds:
    """The ends of a lease: the one that decides, else the first number that is free; `void` do not count."""

    decision: Decision | None
    free: int
    void: int


def read_ends(store: Store, checker: SignatureChecker, lease_id: str, writer: str) -> ReadEnds:
    """Return the decision on a lease at one replica, if there is one.

    Where an end names a signer that nobody has certified, the owner log is read once more before the end is void.

    Args:
        writer: The signer of the lease.

    Raises:
        FarshoreError: An end cannot be read now, so nothing is known.
    """
    for k in range(ENDS_MAX):
        try:
            decision = _read_end(store, checker, lease_id, k, writer)
        except NotFound:
            return ReadEnds(None, k, k)
        if decision is not None:
            return ReadEnds(decision, k, k)
    return ReadEnds(None, ENDS_MAX, ENDS_MAX)


def decide(
    store: Store, checker: SignatureChecker, lease_id: str, writer: str, make: Callable[[int], bytes]
) -> Decision | None:
    """Put an end unless another one decides; return that other one, None where ours does. Repeatable.

    Args:
        make: Returns the stored bytes of ours as end `k`, the same ones each time.

    Raises:
        LeaseLost: Every number has an end that is void.
        StateUnknown: The store does not return what was put.
        FarshoreError: As `Store.put` and `Store.get`; it is not known whether the end is there.
    """
    for k in range(ENDS_MAX):
        name, ours = names.lease_end(lease_id, k), make(k)
        lost: FarshoreError | None = None
        try:
            store.put(name, ours)
        except (Unavailable, Conflict) as error:
            lost = error  # a lost reply looks like a lost race: the object that is there decides
        try:
            if store.get(name, bytes_max=object_bytes_max(name)) == ours:
                return None
            decision = _read_end(store, checker, lease_id, k, writer)
        except NotFound as error:
            raise lost or StateUnknown(f"{name} was acknowledged and is not there") from error
        except ObjectTooLarge:
            decision = None
        if decision is not None:
            return decision
        if lost is None:  # it won its name, and is damaged there: nobody else could tell it from a void one
            raise StateUnknown(f"the replica does not return {name} as it was written")
    raise LeaseLost(f"all {ENDS_MAX} ends of lease {lease_id} are void, so nobody can decide on it")


def _read_end(store: Store, checker: SignatureChecker, lease_id: str, k: int, writer: str) -> Decision | None:
    """Return a valid end, None for one that is void.

    An end that looks void is read once more, because a damaged answer must not hide a decision.
    """
    name = names.lease_end(lease_id, k)
    data = _get(store, name)
    decision = _judge(checker, name, data, k, writer)
    if decision is not None:
        return decision
    if data is not None and checker.learns_signer(name, data):
        decision = _judge(checker, name, data, k, writer)
    again = _get(store, name)
    if again != data:
        raise StateUnknown(f"the replica returns {name} in two ways")
    return decision


def _get(store: Store, name: str) -> bytes | None:
    """Return the bytes of an end, None where it is larger than any end."""
    try:
        return store.get(name, bytes_max=object_bytes_max(name))
    except ObjectTooLarge:
        return None


def _judge(checker: SignatureChecker, name: str, data: bytes | None, k: int, writer: str) -> Decision | None:
    """Return an end that the lease's writer signed or, where it breaks the lease, a maintainer; else None.

    Certificates of the past count: others may have acted on the end before its signer was revoked. An end of a state or
    a version that is not known is valid as well, so that it is neither broken nor committed over.
    """
    text = None if data is None else checker.check(SignedKind.LEASE_END, name, data)
    parsed = names.parse_lease(name)
    if text is None or parsed is None:
        return None
    by_writer = text.signer == writer
    by_maintainer = checker.trust().ever_might(text.signer, Right.MAINTAIN)
    try:
        end = decode_end(text.value, name)
    except FormatTooNew:
        return Decision(LATER, text.signer) if by_writer or by_maintainer else None
    except ObjectCorrupt:
        return None
    maintains = by_maintainer and end.state not in (EndState.COMMITTING, EndState.ENDED)
    if (end.lease, end.k) != (parsed.lease, k) or not (by_writer or maintains):
        return None
    return Decision(end.state, text.signer, end)
