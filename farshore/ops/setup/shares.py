"""The keys of owner and reader in shares: slots that some of several people open together."""

from __future__ import annotations

from dataclasses import field

from farshore import crypto
from farshore.errors import Bug
from farshore.model import dataclass
from farshore.ops.setup.keys import new_note, reader_slot_keys
from farshore.ops.setup.owner_actions import owner_key
from farshore.ops.setup.slot_files import add_slots
from farshore.replicas.repository import Repository
from farshore.sealed import slots
from farshore.sealed.shares import join_shares, split_secret
from farshore.sealed.slots import SlotKeys


@dataclass(frozen=True, slots=True)
class MadeShares:
    """Slots at every replica, and the word lists that open them, which are stored nowhere."""

    slots: tuple[str, ...]
    threshold: int
    word_lists: tuple[str, ...] = field(repr=False)


def make_shares(repository: Repository, threshold: int, shares: int, *, label: str = "") -> MadeShares:
    """Make word lists of which `threshold` open the repository as owner and as reader. Needs both keys.

    Raises:
        ConfigInvalid: There are no such numbers of shares.
        ExtraMissing: The library is not installed.
        KeyMissing, CredentialCannotRead: Not both keys are at hand.
        QuorumNotReached: A replica cannot be reached; nothing was changed, or the log does not name the slots yet.
    """
    owner, reading = owner_key(repository), reader_slot_keys(repository)
    clock, header = repository.clock, repository.header
    secret = clock.random_bytes(crypto.KEY_BYTES)
    word_lists = split_secret(secret, threshold, shares)
    owning = SlotKeys(header.fingerprint, repository.writing_keys().roots, owner_key=owner)
    note = new_note(clock, label)
    bodies = [
        slots.seal_shares_slot(keys, header, owner, secret, (threshold, shares), clock, note)
        for keys in (reading, owning)
    ]
    joined = join_shares(word_lists[-threshold:])
    if [slots.open_slot(data, header, shares_secret=joined) for data in bodies] != [reading, owning]:
        raise Bug("the shares do not open the slots that were made for them")
    add_slots(repository, bodies)
    return MadeShares(tuple(slots.slot_id_of(data) for data in bodies), threshold, word_lists)
