"""Who may open the repository: recipients' identities, and slots for passphrases and recipients."""

from __future__ import annotations

import os
from pathlib import Path

from farshore.clock import Clock
from farshore.crypto import recipient
from farshore.errors import ConfigInvalid, FarshoreError, QuorumNotReached
from farshore.format import names
from farshore.ops.own_places import refuse_own_place
from farshore.repository import slots
from farshore.repository.repository import Repository
from farshore.repository.slots import SlotInfo


def generate_identity(path: Path) -> str:
    """Write a new private identity file, mode 0600, and return the recipient's line of text, which is not secret.

    Raises:
        ConfigInvalid: The file exists or cannot be written; an identity is never overwritten.
        TargetForbidden: It would be in a repository, and in all its copies.
    """
    refuse_own_place(path, "the private identity")
    private_key = recipient.generate_private_key()
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
    return slots.encode_recipient(recipient.public_key_of(private_key))


def list_slots(repository: Repository) -> list[SlotInfo]:
    """Return the slots of the first replica that answers."""
    first: FarshoreError | None = None
    for replica in repository.replicas.values():
        try:
            listed = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
            return [slots.describe_slot(replica.store.get(name)) for name in listed]
        except FarshoreError as error:
            first = first or error
    if first:
        raise first
    return []


def add_recipient_slot(repository: Repository, text: str, *, clock: Clock) -> str:
    """Let the holder of an identity read the repository; return the new slot's id. Needs a reader's keys."""
    made = slots.seal_recipient_slot(repository.reading_keys(), repository.header, slots.decode_recipient(text), clock)
    return _put_everywhere(repository, *made)


def add_passphrase_slot(repository: Repository, passphrase: str, *, clock: Clock) -> str:
    """Let one more passphrase open the repository; return the new slot's id. Needs a reader's keys."""
    if not passphrase:
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one.")
    return _put_everywhere(
        repository, *slots.seal_passphrase_slot(repository.reading_keys(), repository.header, passphrase, clock)
    )


def _put_everywhere(repository: Repository, slot_id: str, body: bytes) -> str:
    """A copy that lacks a slot cannot be opened with it on the day it is the only one left, so all must take it."""
    if repository.unreachable:
        away = ", ".join(repository.unreachable)
        raise QuorumNotReached(
            f"a key slot must be written to every replica, and {away} cannot be reached",
            "Bring every replica back, or take it out of the configuration, then run this again.",
        )
    for replica in repository.replicas.values():
        replica.store.put(names.slot(slot_id), body)
    return slot_id
