"""Who may open the repository: recipients' identities, and slots for passphrases and recipients."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from farshore import crypto, limits
from farshore.access.own_places import refuse_own_place
from farshore.clock import Clock
from farshore.errors import ConfigInvalid, Corrupt, QuorumNotReached, Unsupported
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.host import host_name
from farshore.ops.setup.owner_actions import owner_key
from farshore.replicas.ask import require_all
from farshore.replicas.put_all import put_all
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import slots
from farshore.sealed.key_files import decode_recipient, encode_identity, encode_recipient
from farshore.sealed.keys import Role
from farshore.sealed.slots import SlotInfo, SlotKeys

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
            file.write(encode_identity(private_key))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise ConfigInvalid(f"{path} exists", "An identity is never overwritten; choose another path.") from error
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}", "Choose another path.") from error
    return encode_recipient(crypto.public_key_of(private_key))


def list_slots(repository: Repository) -> list[SlotInfo]:
    """Return the slots of the first replica that answers that the owner signed, the oldest first.

    Raises:
        FarshoreError: None does.
    """

    def describe(replica: Replica) -> list[SlotInfo]:
        listed = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
        bodies = [_get(replica, name) for name in listed[: limits.SLOTS_READ_MAX]]
        return [slots.describe_slot(data) for data in bodies if _is_signed(repository, data)]

    found = open_reader(repository).ask(names.SLOTS, describe)
    return sorted(found, key=lambda slot: (slot.created_utc.timestamp() if slot.created_utc else 0.0, slot.slot_id))


@dataclass(frozen=True, slots=True)
class AddedSlot:
    """A slot that opens the repository at every replica now. `was_there`: nothing had to be made."""

    slot_id: str
    was_there: bool = False


def add_recipient_slot(repository: Repository, text: str, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let the holder of an identity read the repository. Needs an owner's and a reader's keys. Repeatable."""
    public_key = decode_recipient(text)
    owner, keys = owner_key(repository), reader_slot_keys(repository)
    if present := _slot_of(repository, crypto.recipient_id(public_key).hex()):
        return AddedSlot(_put_everywhere(repository, present), was_there=True)
    note = new_note(clock, label)
    made = slots.seal_recipient_slot(keys, repository.header, owner, public_key, clock, note)
    return AddedSlot(_put_everywhere(repository, made))


def add_passphrase_slot(repository: Repository, passphrase: str | bytes, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let one more passphrase open the repository. Needs an owner's and a reader's keys."""
    if not passphrase:
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one.")
    owner, keys = owner_key(repository), reader_slot_keys(repository)
    note = new_note(clock, label)
    made = slots.seal_passphrase_slot(keys, repository.header, owner, passphrase, clock, note=note)
    return AddedSlot(_put_everywhere(repository, made))


def reader_slot_keys(repository: Repository) -> SlotKeys:
    """Return what a reader's slot wraps.

    Raises:
        CredentialCannotRead: The keys at hand cannot read.
    """
    keys = repository.reading_keys()
    return SlotKeys(keys.fingerprint, keys.roots, private_keys=keys.private_keys, signing_key=keys.signing_key)


def new_note(clock: Clock, label: str = "") -> slots.SlotNote:
    """Return what people will know a slot by that is made now.

    Raises:
        ConfigInvalid: The label is too long, or no text for one line.
    """
    if len(label.encode()) > _LABEL_BYTES_MAX or not label.isprintable():
        raise ConfigInvalid(f"a label is one line of at most {_LABEL_BYTES_MAX} bytes", "Choose a shorter one.")
    return slots.SlotNote(clock.now_utc(), host_name(), label)


def _slot_of(repository: Repository, recipient_id: str) -> bytes | None:
    """Return a reader's slot of a recipient that the owner signed, from any replica."""

    def read(replica: Replica) -> list[bytes]:
        listed = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
        return [_get(replica, name) for name in listed[: limits.SLOTS_READ_MAX]]

    found = [data for of_replica in require_all(repository.ask_all(read)).values() for data in of_replica]
    return next((data for data in found if _is_slot_of(repository, recipient_id, data)), None)


def _get(replica: Replica, name: str) -> bytes:
    return replica.store.get(name, bytes_max=object_bytes_max(name))


def _is_signed(repository: Repository, data: bytes) -> bool:
    try:
        return any(slots.is_signed_by(data, repository.header, owner) for owner in repository.trust.owners)
    except (Corrupt, Unsupported):
        return False  # verify names it


def _is_slot_of(repository: Repository, recipient_id: str, data: bytes) -> bool:
    if not _is_signed(repository, data):
        return False
    found = slots.describe_slot(data)
    return (found.kind, found.recipient, found.role) == (slots.RECIPIENT, recipient_id, Role.READER)


def _put_everywhere(repository: Repository, body: bytes) -> str:
    """A copy that lacks a slot cannot be opened with it on the day it is the only one left, so all must receive it."""
    if repository.unreachable:
        away = ", ".join(repository.unreachable)
        raise QuorumNotReached(
            f"a key slot must be written to every replica, and {away} cannot be reached",
            "Bring every replica back, or remove it from the configuration, then run this again.",
        )
    stores = {name: replica.store for name, replica in repository.replicas.items()}
    put_all(stores, [(names.slot(names.hash_of(body)), body)], clock=repository.clock, required=True)
    return slots.slot_id_of(body)
