"""Who may open the repository: recipients' identities, and slots for passphrases and recipients."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from farshore import crypto
from farshore.access.own_places import refuse_own_place
from farshore.clock import Clock
from farshore.errors import ConfigInvalid, Corrupt, QuorumNotReached, Unsupported
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.host import host_name
from farshore.replicas.ask import require_all
from farshore.replicas.put_all import put_all
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import slots
from farshore.sealed.slots import SlotInfo

_LABEL_BYTES_MAX = 64


def generate_identity(path: Path) -> str:
    """Write a new private identity file, mode 0600, and return the recipient's line of text, which is not secret.

    Raises:
        ConfigInvalid: The file exists or cannot be written; an identity is never overwritten.
        TargetForbidden: It would be in a repository, and in all its copies.
    """
    refuse_own_place(path, "the private identity")
    private_key = crypto.generate_private_key()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(slots.encode_identity(private_key))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise ConfigInvalid(f"{path} exists", "An identity is never overwritten; choose another path.") from error
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}", "Choose another path.") from error
    return slots.encode_recipient(crypto.public_key_of(private_key))


def list_slots(repository: Repository) -> list[SlotInfo]:
    """Return the slots of the first replica that answers, the oldest first.

    Raises:
        FarshoreError: None does.
    """

    def describe(replica: Replica) -> list[SlotInfo]:
        listed = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
        return [slots.describe_slot(replica.store.get(name, bytes_max=object_bytes_max(name))) for name in listed]

    found = open_reader(repository).ask(names.SLOTS, describe)
    return sorted(found, key=lambda slot: (slot.created_utc.timestamp() if slot.created_utc else 0.0, slot.slot_id))


@dataclass(frozen=True, slots=True)
class AddedSlot:
    """A slot that opens the repository at every replica now. `was_there`: nothing had to be made."""

    slot_id: str
    was_there: bool = False


def add_recipient_slot(repository: Repository, text: str, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let the holder of an identity read the repository. Needs a reader's keys. Repeatable."""
    public_key = slots.decode_recipient(text)
    keys = repository.reading_keys()
    if present := _slot_of(repository, crypto.recipient_id(public_key).hex()):
        return AddedSlot(_put_everywhere(repository, *present), was_there=True)
    made = slots.seal_recipient_slot(keys, repository.header, public_key, clock, new_note(clock, label))
    return AddedSlot(_put_everywhere(repository, *made))


def add_passphrase_slot(repository: Repository, passphrase: str | bytes, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let one more passphrase open the repository. Needs a reader's keys."""
    if not passphrase:
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one.")
    made = slots.seal_passphrase_slot(
        repository.reading_keys(), repository.header, passphrase, clock, note=new_note(clock, label)
    )
    return AddedSlot(_put_everywhere(repository, *made))


def new_note(clock: Clock, label: str = "") -> slots.SlotNote:
    """Return what people will know a slot by that is made now.

    Raises:
        ConfigInvalid: The label is too long, or no text for one line.
    """
    if len(label.encode()) > _LABEL_BYTES_MAX or not label.isprintable():
        raise ConfigInvalid(f"a label is one line of at most {_LABEL_BYTES_MAX} bytes", "Choose a shorter one.")
    return slots.SlotNote(clock.now_utc(), host_name(), label)


def _slot_of(repository: Repository, recipient_id: str) -> tuple[str, bytes] | None:
    """Return the slot of a recipient that a quorum of replicas holds alike: one replica alone may claim anything."""

    def read(replica: Replica) -> list[tuple[str, bytes]]:
        listed = [(info.name, names.parse_slot(info.name)) for info in replica.store.list(names.SLOTS)]
        return [
            (slot_id, replica.store.get(name, bytes_max=object_bytes_max(name)))
            for name, slot_id in listed
            if slot_id is not None
        ]

    counts: Counter[tuple[str, bytes]] = Counter()
    for found in require_all(repository.ask_all(read)).values():
        counts.update(one for one in found if _is_slot_of(recipient_id, *one))
    return next((slot for slot, count in counts.most_common() if count >= repository.quorum), None)


def _is_slot_of(recipient_id: str, slot_id: str, data: bytes) -> bool:
    try:
        found = slots.describe_slot(data)
    except (Corrupt, Unsupported):
        return False  # verify names it
    return (found.kind, found.recipient, found.slot_id) == (slots.RECIPIENT, recipient_id, slot_id)


def _put_everywhere(repository: Repository, slot_id: str, body: bytes) -> str:
    """A copy that lacks a slot cannot be opened with it on the day it is the only one left, so all must receive it."""
    if repository.unreachable:
        away = ", ".join(repository.unreachable)
        raise QuorumNotReached(
            f"a key slot must be written to every replica, and {away} cannot be reached",
            "Bring every replica back, or remove it from the configuration, then run this again.",
        )
    stores = {name: replica.store for name, replica in repository.replicas.items()}
    put_all(
        stores,
        [(names.slot(slot_id), body)],
        clock=repository.clock,
        required=True,
        first_bug=repository.first_bug,
    )
    return slot_id
