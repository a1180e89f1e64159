"""A new owner over the same packs, where the owner's key is lost. Needs a reader's keys. Decision 0023, 12.

Only puts objects: new slots, one more entry of the owner log that the new key signs, and last the header that makes
them count for each reader with its fingerprint. `farshore.json` stays, so a process that is killed in between leaves a
repository that opens as before. Hosts with the fingerprint of before read on, and write nothing more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from farshore.access.open_slots import Secrets, open_slots
from farshore.errors import ConfigInvalid, FarshoreError, KeyMissing, StateUnknown
from farshore.format import names
from farshore.format.header import Header
from farshore.model import dataclass
from farshore.ops.setup.domain_readers import remade_slots
from farshore.ops.setup.keys import new_note, reader_slot_keys
from farshore.ops.setup.slot_files import read_slots
from farshore.ops.setup.ways import Way, ways_of
from farshore.replicas.owner_log import read_owner_log
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Repository
from farshore.sealed import Role, slots
from farshore.sealed.slots import SlotInfo, SlotKeys
from farshore.signing import SigningKey, generate_signing_key
from farshore.trust.actions import Certificate, NameSlots
from farshore.trust.later_header import make_later_header, name_of
from farshore.trust.log_entry import LogHead, make_entry
from farshore.trust.memory import Memory, remember
from farshore.trust.words import to_words


@dataclass(frozen=True, slots=True)
class NewOwner:
    """The repository under its new fingerprint.

    `made`: new slots. `older`: readers' slots that could not be made anew; they read by the fingerprint `before` alone.
    `enroll`: hosts that write nothing more until they are enrolled anew. `failed`: replicas that lack something of it.
    """

    fingerprint: str
    fingerprint_words: str
    before: str
    entry: int
    made: tuple[SlotInfo, ...]
    older: tuple[SlotInfo, ...]
    enroll: tuple[str, ...]
    failed: tuple[str, ...] = ()


def give_new_owner(repository: Repository, secrets: Secrets, owner_ways: Sequence[Way]) -> NewOwner:
    """Put a header with a new owner key beside the one there is, and have this host go by it.

    Safe to interrupt: until the header, the last object, is at a replica, nothing has changed for anybody.

    Args:
        secrets: They opened a reader's slot, and open one of the new owner's, too.
        owner_ways: Who is the owner from now on.

    Raises:
        ConfigInvalid: The secrets open the owner's slot, so nothing is lost.
        KeyMissing, CredentialCannotRead: No reader's keys are at hand, or they have no certificate.
        QuorumNotReached: Too few replicas accepted it; `farshore key trust` goes on with one that did.
    """
    owned = open_slots(repository, secrets, Role.OWNER, required=False)
    if any(keys.owner_key is not None and keys.owner_key.verify_key == repository.trust.owner for keys in owned):
        raise ConfigInvalid(
            "what is at hand opens the owner's slot, so the owner's key is not lost",
            "'farshore key rotate owner' makes another one, and every host goes on as it is.",
        )
    before, reading = repository.header, reader_slot_keys(repository)
    reader, certificate, head = _reader(repository, reading)
    owner, now_utc = generate_signing_key(), repository.clock.now_utc()
    header, stored = make_later_header(before, reader, created_utc=now_utc, owner=owner.verify_key, head=head)
    bodies, older = _slots(repository, header, owner, reading, secrets, owner_ways)
    until_utc = now_utc + (certificate.not_after_utc - certificate.not_before_utc)
    entry, data = make_entry(
        owner,
        fingerprint=header.fingerprint,
        previous=head,
        made_utc=now_utc,
        actions=[
            replace(certificate, not_before_utc=now_utc, not_after_utc=until_utc),
            NameSlots(tuple(map(names.hash_of, bodies))),
        ],
    )
    objects = [(names.slot(names.hash_of(body)), body) for body in bodies]
    failed = _put(repository, [*objects, (entry.name, data), (name_of(header.fingerprint), stored)], header)
    repository.header = header
    repository.log = read_owner_log(repository, entry)
    if repository.trust.owner != owner.verify_key or not repository.trust.may_write:
        raise StateUnknown("the owner log does not read as it was written for the new owner")
    with contextlib.suppress(OSError):  # a host without a state directory was warned of it
        repository.memory = remember(
            repository.state_dir, repository.repository_id, Memory(header.fingerprint.hex(), entry),
            read_with=repository.memory, past=header.past,
        )  # fmt: skip
    return NewOwner(
        header.fingerprint.hex(),
        to_words(header.fingerprint),
        before.fingerprint.hex(),
        entry.number,
        tuple(slots.describe_slot(body) for body in bodies),
        tuple(older),
        _hosts(repository, reader.signer_id),
        tuple(failed),
    )


def _reader(repository: Repository, keys: SlotKeys) -> tuple[SigningKey, Certificate, LogHead]:
    """Return the readers' signing key, its certificate, and the end of the log of before."""
    head, reader = repository.trust.head, keys.signing_key
    certified = repository.trust.certificate(reader.signer_id) if reader is not None else None
    if reader is None or certified is None or head is None or reader.signer_id in repository.trust.revocations:
        raise KeyMissing("the readers' key has no certificate in the owner log, so nobody would believe what it signs")
    return reader, certified.certificate, head


def _slots(
    repository: Repository,
    header: Header,
    owner: SigningKey,
    reading: SlotKeys,
    secrets: Secrets,
    owner_ways: Sequence[Way],
) -> tuple[list[bytes], list[SlotInfo]]:
    """Return slots under the new header for the same readers and the new owner, and those that nobody can make anew."""
    clock = repository.clock
    every = read_slots(repository)
    stored = [one for one in every if one.info.role == Role.READER]
    found = ways_of(stored, repository.header, secrets)
    if not found.ways:
        raise KeyMissing("no slot of a reader can be made anew with what is at hand, so nobody could read")
    of_reader = replace(reading, fingerprint=header.fingerprint)
    of_owner = SlotKeys(header.fingerprint, reading.roots, owner_key=owner)
    note = new_note(clock)
    bodies = [way.seal(of_reader, header, owner, clock, note) for way in found.ways]
    bodies += [way.seal(of_owner, header, owner, clock, note) for way in owner_ways]
    bodies += remade_slots(repository, header, owner, reading.roots, (), stored=every)
    return bodies, [one.info for one in found.unknown]


def _put(repository: Repository, objects: Sequence[tuple[str, bytes]], header: Header) -> dict[str, FarshoreError]:
    """Put at each replica what it lacks of the log of before, and then the objects, in order; return what failed."""
    failed: dict[str, FarshoreError] = {}
    log = repository.log
    for name, replica in repository.replicas.items():
        missing = [(one, log.objects[one]) for one in log.missing_at(name)] if log is not None else []
        failed |= put_all({name: replica.store}, [*missing, *objects], clock=repository.clock, read_back=True)
    accepted = len(repository.replicas) - len(failed)
    if accepted < min(repository.quorum, len(repository.configured)):
        raise repository.too_few(
            accepted, f"accepted the header of the new owner, whose fingerprint is {header.fingerprint.hex()}",
            {**repository.unreachable, **failed},
            "Bring the replicas back. Where one accepted it, 'farshore key trust' goes on with it.",
        )  # fmt: skip
    return {**repository.unreachable, **failed}


def _hosts(repository: Repository, reader: str) -> tuple[str, ...]:
    """Return the hosts whose credentials are of before."""
    trust = repository.trust
    newest = [one[-1].certificate for signer, one in trust.certificates.items() if signer not in trust.revocations]
    return tuple(sorted({f"{one.host} ({one.role})" for one in newest if one.signer != reader}))
