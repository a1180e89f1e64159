"""Rotation of keys: new slots at every replica first, then one entry of the owner log that makes them count.

Nothing that exists is written over or deleted: a slot that could not be made anew goes on opening what it opened, or,
where the owner key was rotated and the slot was left out, opens nothing any more by this program. Who kept a copy of a
slot or of a key keeps what it opened until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from farshore import crypto
from farshore.access.open_slots import Secrets
from farshore.errors import ConfigInvalid, KeyMissing
from farshore.format import names
from farshore.model import dataclass
from farshore.ops.setup.accepted import accepted_now
from farshore.ops.setup.domain_readers import next_epochs, remade_slots
from farshore.ops.setup.keys import new_note, reader_slot_keys
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.ops.setup.revoke import revocation_of
from farshore.ops.setup.slot_files import StoredSlot, put_slots, read_slots
from farshore.ops.setup.ways import Way, ways_of
from farshore.replicas.repository import Repository
from farshore.sealed import Role, slots
from farshore.sealed.slots import SlotInfo, SlotKeys
from farshore.signing import SigningKey, generate_signing_key
from farshore.trust.actions import Action, AddRecipient, Certificate, ChangeOwner, NameSlots, StartEpoch


@dataclass(frozen=True, slots=True)
class Rotation:
    """Which keys are made anew, and who opens them.

    `recipient`: the pair that data keys are sealed to; `root`: and a new root. `domains`: whose next epoch begins.
    `reader_rights`: of a new signing key of readers; the one before is revoked. `left_out`: recipient ids that get no
    slot. `owner_only`: the ways of the owner's slots, instead of those there are. `new_passphrase`: instead of the one
    at hand.
    """

    owner: bool = False
    recipient: bool = False
    root: bool = False
    domains: tuple[str, ...] = ()
    reader_rights: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()
    owner_only: tuple[Way, ...] = ()
    new_passphrase: bytes = field(repr=False, default=b"")
    reason: str = "rotation"


@dataclass(frozen=True, slots=True)
class Rotated:
    """The state after a rotation.

    `made`: new slots. `older`: slots that could not be made anew, so they open what was there before. `ended`: slots
    that open nothing any more. `enroll`: hosts that write with the keys of an older epoch until they are enrolled anew.
    `revoked`: the signing key of readers that ended. `failed`: replicas without the new entry of the log.
    """

    made: tuple[SlotInfo, ...] = ()
    older: tuple[SlotInfo, ...] = ()
    ended: tuple[SlotInfo, ...] = ()
    enroll: tuple[str, ...] = ()
    revoked: str = ""
    entry: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _NewKeys:
    owner: SigningKey
    of_owner: SlotKeys
    of_reader: SlotKeys | None  # None: as they are
    actions: Sequence[Action]
    started: Sequence[StartEpoch]
    lists: Sequence[tuple[str, bytes]]
    revoked: str


def rotate(repository: Repository, rotation: Rotation, secrets: Secrets, owner_secrets: Secrets) -> Rotated:
    """Make keys anew. Needs the owner's key, and a reader's where readers get new ones. Every replica must be there.

    Not atomic, and safe to repeat: until the last step, the entry of the log, nothing has changed for anybody.

    Args:
        secrets: They open a reader's slot, and are given a new one. `owner_secrets`: the same of the owner.

    Raises:
        KeyMissing, CredentialCannotRead: Keys that this needs are not at hand.
        ConfigInvalid: A domain that there is not; nobody would be left who can open the repository.
        QuorumNotReached: A replica cannot be reached; nothing was changed.
    """
    before = owner_key(repository)
    unknown = [name for name in rotation.domains if name not in repository.trust.domains]
    if unknown:
        known = ", ".join(sorted(repository.trust.domains))
        raise ConfigInvalid(f"there is no domain {unknown[0]!r}", f"There are: {known}.")
    new = _new_keys(repository, rotation, before)
    stored = read_slots(repository)
    bodies, result = _slots(repository, rotation, new, stored, {Role.READER: secrets, Role.OWNER: owner_secrets})
    actions = list(new.actions)
    if bodies:
        put_slots(repository, bodies)
        remaining = () if rotation.owner else tuple(names.hash_of(one.data) for one in stored)
        actions.append(NameSlots((*map(names.hash_of, bodies), *remaining)))
    appended = append_entry(repository, actions, new.lists)
    return replace(
        result,
        made=tuple(slots.describe_slot(data) for data in bodies),
        enroll=_hosts_of(repository, rotation.domains),
        revoked=new.revoked,
        entry=appended.head.number,
        failed=tuple(appended.failed),
    )


def _new_keys(repository: Repository, rotation: Rotation, before: SigningKey) -> _NewKeys:
    keys, clock = repository.writing_keys(), repository.clock
    roots = (*keys.roots, clock.random_bytes(crypto.KEY_BYTES)) if rotation.root else keys.roots
    actions: list[Action] = []
    lists: list[tuple[str, bytes]] = []
    of_reader, revoked = None, ""
    if rotation.recipient or rotation.root or rotation.reader_rights is not None:
        of_reader = replace(reader_slot_keys(repository), roots=roots)
    if of_reader is not None and (rotation.recipient or rotation.root):
        private_key = crypto.generate_private_key()
        of_reader = replace(of_reader, private_keys=(*of_reader.private_keys, private_key))
        actions.append(AddRecipient(crypto.public_key_of(private_key), len(roots) - 1))
    started = next_epochs(repository, rotation.domains, len(roots) - 1, rotation.left_out)
    actions += started
    if of_reader is not None and rotation.reader_rights is not None:
        signing = generate_signing_key()
        certificate = _reader_certificate(repository, signing, of_reader.signing_key, rotation.reader_rights)
        revoked = _signer(of_reader)
        now = accepted_now(repository, [revoked])
        revocation, lists = revocation_of(revoked, now.commits, now, rotation.reason)
        actions += [certificate, revocation]
        of_reader = replace(of_reader, signing_key=signing)
    owner = generate_signing_key() if rotation.owner else before
    if rotation.owner:
        actions.append(ChangeOwner(owner.verify_key))
    of_owner = SlotKeys(repository.header.fingerprint, roots, owner_key=owner)
    return _NewKeys(owner, of_owner, of_reader, actions, started, lists, revoked)


def _slots(
    repository: Repository,
    rotation: Rotation,
    new: _NewKeys,
    stored: Sequence[StoredSlot],
    secrets: dict[Role, Secrets],
) -> tuple[list[bytes], Rotated]:
    """Return the new slots, and which older ones were not made anew."""
    header, clock = repository.header, repository.clock
    note = new_note(clock)
    found = {
        role: ways_of(
            [one for one in stored if one.info.role == role], header, secrets[role],
            left_out=rotation.left_out, new_passphrase=rotation.new_passphrase,
        )
        for role in (Role.READER, Role.OWNER)
    }  # fmt: skip
    bodies: list[bytes] = []
    older: list[SlotInfo] = []
    ended: list[SlotInfo] = []
    readers, owners = found[Role.READER], found[Role.OWNER]
    if new.of_reader is not None:
        if not readers.ways:
            raise KeyMissing("no slot of a reader can be made anew with what is at hand, so nobody could read")
        bodies += [way.seal(new.of_reader, header, new.owner, clock, note) for way in readers.ways]
        older += [one.info for one in readers.unknown]
        ended += [one.info for one in readers.left_out] if rotation.owner else []
        kept = readers.unknown
    else:
        kept = [one for one in stored if one.info.role == Role.READER and one not in readers.left_out]
    if rotation.owner:
        bodies += [slots.sign_again(one.data, header, new.owner) for one in kept]
    if rotation.owner or any(one.readers for one in new.started):
        gone = [one for one in stored if one.info.recipient in rotation.left_out]
        keys = [key for one in gone if (key := slots.public_key_of_slot(one.data)) is not None]
        bodies += remade_slots(
            repository, header, new.owner, new.of_owner.roots, new.started, left_out=keys, stored=stored
        )
        ended += [one.info for one in gone if rotation.owner and one.info.role == Role.DOMAIN_READER]
    if rotation.owner or rotation.root:
        ways = rotation.owner_only or owners.ways
        if not ways:
            raise KeyMissing("no slot of the owner can be made anew with what is at hand, so nobody could sign")
        bodies += [way.seal(new.of_owner, header, new.owner, clock, note) for way in ways]
        rest = [one.info for one in (*owners.unknown, *owners.left_out)]
        rest += [one.info for one in owners.known] if rotation.owner_only else []
        ended += rest if rotation.owner else []
        older += [] if rotation.owner else rest
    return bodies, Rotated(older=tuple(older), ended=tuple(ended))


def _reader_certificate(
    repository: Repository, key: SigningKey, before: SigningKey | None, rights: frozenset[str]
) -> Certificate:
    certified = repository.trust.certificate(before.signer_id) if before is not None else None
    if certified is None:
        raise KeyMissing("the reader's key has no certificate, so none can be made after it")
    old, now_utc = certified.certificate, repository.clock.now_utc()
    until_utc = now_utc + (old.not_after_utc - old.not_before_utc)
    return replace(old, key=key.verify_key, rights=frozenset(rights), not_before_utc=now_utc, not_after_utc=until_utc)


def _signer(keys: SlotKeys) -> str:
    return keys.signing_key.signer_id if keys.signing_key is not None else ""


def _hosts_of(repository: Repository, domains: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts whose credential has keys of these domains, and so of no epoch that began since."""
    trust = repository.trust
    newest = [one[-1].certificate for signer, one in trust.certificates.items() if signer not in trust.revocations]
    return tuple(sorted({one.host for one in newest if one.domain in domains and one.role == Role.WRITER}))
