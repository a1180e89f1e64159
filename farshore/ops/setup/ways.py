"""The ways to open slots that exist, so that the same people can open the slots that replace them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import field, replace

from farshore import crypto
from farshore.access.open_slots import Secrets
from farshore.clock import Clock
from farshore.errors import Corrupt, Unsupported
from farshore.format.header import Header
from farshore.model import dataclass
from farshore.ops.setup.slot_files import StoredSlot
from farshore.sealed import slots
from farshore.sealed.slots import SlotKeys, SlotNote
from farshore.signing import SigningKey


@dataclass(frozen=True, slots=True)
class Way:
    """A passphrase or a recipient that a slot is made for. `label`: that of its slot."""

    passphrase: str | bytes = field(repr=False, default=b"")
    cost: crypto.PassphraseCost | None = None
    public_key: bytes = b""
    label: str = ""

    def seal(self, keys: SlotKeys, header: Header, owner: SigningKey, clock: Clock, note: SlotNote) -> bytes:
        """Return a slot with these keys."""
        note = replace(note, label=self.label or note.label)
        if self.public_key:
            return slots.seal_recipient_slot(keys, header, owner, self.public_key, clock, note)
        return slots.seal_passphrase_slot(keys, header, owner, self.passphrase, clock, cost=self.cost, note=note)


@dataclass(frozen=True)
class FoundWays:
    """The ways that can be used again, the slots that they open, slots of other ways, and those to leave out."""

    ways: list[Way]
    known: list[StoredSlot]
    unknown: list[StoredSlot]
    left_out: list[StoredSlot]


def ways_of(
    stored: Sequence[StoredSlot],
    header: Header,
    secrets: Secrets,
    *,
    left_out: Collection[str] = (),
    new_passphrase: bytes = b"",
) -> FoundWays:
    """Return the ways of these slots, each once. A passphrase is known only where it is at hand: it is in `secrets`.

    Args:
        left_out: Recipient ids that get no slot any more.
        new_passphrase: Replaces the one in `secrets`.
    """
    found = FoundWays([], [], [], [])
    by_recipient: dict[str, Way] = {}
    passphrase: Way | None = None
    for one in stored:
        if one.info.kind == slots.RECIPIENT and one.info.recipient in left_out:
            found.left_out.append(one)
        elif one.info.kind == slots.RECIPIENT and (public_key := _public_key(one)) is not None:
            by_recipient[one.info.recipient] = Way(public_key=public_key, label=one.info.label)
            found.known.append(one)
        elif one.info.kind == slots.PASSPHRASE and _opens(one, header, secrets):
            given = new_passphrase or secrets.passphrase
            passphrase = Way(passphrase=given, cost=slots.cost_of_slot(one.data), label=one.info.label)
            (found.left_out if new_passphrase else found.known).append(one)
        else:
            found.unknown.append(one)
    found.ways.extend([*by_recipient.values(), *([passphrase] if passphrase is not None else [])])
    return found


def _public_key(slot: StoredSlot) -> bytes | None:
    try:
        return slots.public_key_of_slot(slot.data)
    except (Corrupt, Unsupported):
        return None


def _opens(slot: StoredSlot, header: Header, secrets: Secrets) -> bool:
    if not secrets.passphrase:
        return False
    try:
        return slots.open_slot(slot.data, header, passphrase=secrets.passphrase) is not None
    except (Corrupt, Unsupported):
        return False
