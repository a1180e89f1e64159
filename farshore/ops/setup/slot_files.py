"""The key slots that the owner signed, as the replicas hold them, and new ones put at every replica."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from farshore import limits
from farshore.errors import Corrupt, QuorumNotReached, Unsupported
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.model import dataclass
from farshore.ops.setup.owner_actions import append_entry
from farshore.replicas import require_all
from farshore.replicas.put_all import put_all
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import slots
from farshore.sealed.slots import SlotInfo
from farshore.trust.actions import NameSlots


@dataclass(frozen=True, slots=True)
class StoredSlot:
    """A slot that the owner in force signed."""

    data: bytes
    info: SlotInfo

    @property
    def name(self) -> str:
        """The name of its object."""
        return names.slot(names.hash_of(self.data))


def read_slots(repository: Repository) -> list[StoredSlot]:
    """Return the slots that any replica has and the owner signed, the oldest first; at least those the log names.

    Raises:
        FarshoreError: A replica could not be asked.
    """
    bodies = [
        data for found in require_all(repository.ask_all(partial(_bodies, repository))).values() for data in found
    ]
    return _signed(repository, bodies)


def list_slots(repository: Repository) -> list[SlotInfo]:
    """Return the slots of the first replica that answers that the owner signed, the oldest first.

    Raises:
        FarshoreError: None does.
    """
    return [
        one.info for one in _signed(repository, open_reader(repository).ask(names.SLOTS, partial(_bodies, repository)))
    ]


def add_slots(repository: Repository, bodies: Sequence[bytes]) -> None:
    """Put more slots at every replica, and name them in the owner log before those that it named. Repeatable.

    Needs the owner's key. Raises as `put_slots` and `append_entry`; slots that no entry names yet open, too.
    """
    put_slots(repository, bodies)
    added = tuple(names.hash_of(body) for body in bodies)
    if not set(added) <= set(repository.trust.slots):
        append_entry(repository, [NameSlots(tuple(dict.fromkeys((*added, *repository.trust.slots))))])


def put_slots(repository: Repository, bodies: Sequence[bytes]) -> None:
    """Put slots at every replica, and read them back.

    A copy that lacks a slot cannot be opened with it on the day it is the only one left, so all must receive it.

    Raises:
        QuorumNotReached: A replica cannot be reached; nothing was written.
        FarshoreError: One failed; safe to repeat.
    """
    if repository.unreachable:
        away = ", ".join(repository.unreachable)
        raise QuorumNotReached(
            f"a key slot must be written to every replica, and {away} cannot be reached",
            "Bring every replica back, or remove it from the configuration, then run this again.",
        )
    stores = {name: replica.store for name, replica in repository.replicas.items()}
    objects = [(names.slot(names.hash_of(body)), body) for body in bodies]
    put_all(stores, objects, clock=repository.clock, required=True, read_back=True)


def _bodies(repository: Repository, replica: Replica) -> list[bytes]:
    """Return what a replica has of the slots that the log names, and a bounded number of others that it lists."""
    listed = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
    named = [name for name in map(names.slot, repository.trust.slots) if name in set(listed)]
    others = [name for name in listed if name not in set(named)][: limits.SLOTS_READ_MAX]
    return [replica.store.get(name, bytes_max=object_bytes_max(name)) for name in (*named, *others)]


def _signed(repository: Repository, bodies: Sequence[bytes]) -> list[StoredSlot]:
    found = [
        StoredSlot(data, slots.describe_slot(data)) for data in dict.fromkeys(bodies) if _is_signed(repository, data)
    ]
    return sorted(found, key=lambda one: (_moment(one.info), one.info.slot_id))


def _moment(info: SlotInfo) -> float:
    return info.created_utc.timestamp() if info.created_utc else 0.0


def _is_signed(repository: Repository, data: bytes) -> bool:
    try:
        return any(slots.is_signed_by(data, repository.header, owner) for owner in repository.trust.owners)
    except (Corrupt, Unsupported):
        return False  # verify names it
