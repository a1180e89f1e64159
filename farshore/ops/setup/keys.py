"""Who may open the repository: recipients' identities, and slots for passphrases and recipients."""

from __future__ import annotations

import os
from pathlib import Path

from farshore import crypto
from farshore.access.own_places import refuse_own_place
from farshore.clock import Clock
from farshore.errors import ConfigInvalid
from farshore.host import host_name
from farshore.model import dataclass
from farshore.ops.setup.owner_actions import owner_key
from farshore.ops.setup.slot_files import add_slots, read_slots
from farshore.replicas.repository import Repository
from farshore.sealed import Role, slots
from farshore.sealed.key_files import decode_recipient, encode_identity, encode_recipient
from farshore.sealed.slots import SlotInfo, SlotKeys

_LABEL_BYTES_MAX = 64


def generate_identity(path: Path, fingerprints: tuple[bytes, ...] = ()) -> str:
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
            file.write(encode_identity(private_key, fingerprints))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise ConfigInvalid(f"{path} exists", "An identity is never overwritten; choose another path.") from error
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}", "Choose another path.") from error
    return encode_recipient(crypto.public_key_of(private_key))


@dataclass(frozen=True, slots=True)
class AddedSlot:
    """A slot that opens the repository at every replica now. `was_there`: nothing had to be made."""

    slot_id: str
    was_there: bool = False


def add_recipient_slot(repository: Repository, text: str, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let the holder of an identity read the repository. Needs an owner's and a reader's keys. Repeatable."""
    public_key = decode_recipient(text)
    owner, keys = owner_key(repository), reader_slot_keys(repository)
    if present := _slot_of(repository, public_key):
        return AddedSlot(_put(repository, present), was_there=True)
    note = new_note(clock, label)
    made = slots.seal_recipient_slot(keys, repository.header, owner, public_key, clock, note)
    return AddedSlot(_put(repository, made))


def add_passphrase_slot(repository: Repository, passphrase: str | bytes, *, label: str = "", clock: Clock) -> AddedSlot:
    """Let one more passphrase open the repository. Needs an owner's and a reader's keys."""
    if not passphrase:
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one.")
    owner, keys = owner_key(repository), reader_slot_keys(repository)
    note = new_note(clock, label)
    made = slots.seal_passphrase_slot(keys, repository.header, owner, passphrase, clock, note=note)
    return AddedSlot(_put(repository, made))


def add_identity(repository: Repository, path: Path) -> str:
    """Make an identity that is owner and reader, and return its recipient. Needs an owner's and a reader's keys.

    Raises:
        ConfigInvalid, TargetForbidden: As `generate_identity`.
        KeyMissing, CredentialCannotRead, QuorumNotReached: Its slots cannot be made; the file is there.
    """
    owner, reading = owner_key(repository), reader_slot_keys(repository)
    owning = SlotKeys(repository.header.fingerprint, repository.writing_keys().roots, owner_key=owner)
    recipient = generate_identity(path, (repository.header.fingerprint,))
    public_key, note = decode_recipient(recipient), new_note(repository.clock, path.name[:16])
    header, clock = repository.header, repository.clock
    add_slots(
        repository,
        [slots.seal_recipient_slot(keys, header, owner, public_key, clock, note) for keys in (reading, owning)],
    )
    return recipient


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


def _slot_of(repository: Repository, public_key: bytes) -> bytes | None:
    """Return the newest slot of a recipient, as a reader, that wraps the newest keys."""
    newest, recipient = repository.writing_keys().recipient_id.hex(), crypto.recipient_id(public_key).hex()
    wanted = (slots.RECIPIENT, recipient, Role.READER, newest)
    found = [one for one in read_slots(repository) if _described(one.info) == wanted]
    return found[-1].data if found else None


def _described(info: SlotInfo) -> tuple[str, str, str, str]:
    return info.kind, info.recipient, info.role, info.newest


def _put(repository: Repository, body: bytes) -> str:
    add_slots(repository, [body])
    return slots.slot_id_of(body)
