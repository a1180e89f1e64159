"""The parts of a new repository: header, the first entry of the owner log, key slots, and this host's credential."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from farshore import crypto, limits
from farshore.clock import Clock
from farshore.format import names
from farshore.format.header import Chunking, Header, encode_header, new_header
from farshore.host import host_name
from farshore.model import dataclass
from farshore.ops.setup.keys import new_note
from farshore.sealed import KeySet, Role, domain_keys, slots
from farshore.sealed.key_files import Credential
from farshore.sealed.slots import SlotKeys
from farshore.signing import SigningKey, generate_signing_key
from farshore.trust.actions import AddRecipient, Certificate, NameSlots, Right, SourcePrefix, StartEpoch
from farshore.trust.log_entry import LogHead, make_entry

FIRST_DOMAIN = "main"
FIRST_EPOCH = 1
READER_RIGHTS = frozenset({Right.BACKUP, Right.RESTORE, Right.VERIFY, Right.HEAL, Right.MAINTAIN})
WRITER_RIGHTS = frozenset({Right.BACKUP, Right.VERIFY, Right.HEAL})  # so that rows of its checks and repairs count


@dataclass(frozen=True)
class NewRepository:
    """Everything of a new repository. `objects`: (name, bytes) in the order of writing, the header last."""

    header: Header
    objects: tuple[tuple[str, bytes], ...]
    log: LogHead
    reader_slots: int
    credential: Credential
    keys: KeySet


def new_repository(
    *,
    passphrase: str | bytes | None,
    public_keys: Sequence[bytes],
    clock: Clock,
    cost: crypto.PassphraseCost | None = None,
) -> NewRepository:
    """Return a new repository whose passphrase, or else whose recipients, are its owner and its readers.

    Args:
        public_keys: Of recipients, who may read; they are owners, too, where there is no passphrase.
    """
    owner, reader, writer = generate_signing_key(), generate_signing_key(), generate_signing_key()
    header = _header(owner, clock)
    private_key, root = crypto.generate_private_key(), clock.random_bytes(crypto.KEY_BYTES)
    public_key = crypto.public_key_of(private_key)
    made_utc = clock.now_utc()
    reading = SlotKeys(header.fingerprint, (root,), private_keys=(private_key,), signing_key=reader)
    owning = SlotKeys(header.fingerprint, (root,), owner_key=owner)
    note = new_note(clock)
    made = [
        slots.seal_recipient_slot(keys, header, owner, public, clock, note)
        for public in public_keys
        for keys in ((reading,) if passphrase is not None else (reading, owning))
    ]
    if passphrase is not None:
        made += [
            slots.seal_passphrase_slot(keys, header, owner, passphrase, clock, cost=cost, note=note)
            for keys in (reading, owning)
        ]
    log, entry = make_entry(
        owner,
        fingerprint=header.fingerprint,
        previous=None,
        made_utc=made_utc,
        actions=[
            AddRecipient(public_key, 0),
            StartEpoch(FIRST_DOMAIN, FIRST_EPOCH, 0),
            *_certificates(writer, reader, SourcePrefix(clock.random_bytes(8).hex()), made_utc),
            NameSlots(tuple(map(names.hash_of, made))),
        ],
    )
    readers = len(public_keys) + (passphrase is not None)
    domain = domain_keys(root, FIRST_DOMAIN, FIRST_EPOCH, header.repository_bytes)
    objects = [(names.slot(names.hash_of(body)), body) for body in made]
    objects += [(log.name, entry), (names.HEADER, encode_header(header))]
    keys = KeySet(
        repository_id=header.repository_bytes,
        fingerprint=header.fingerprint,
        public_key=public_key,
        domains=(domain,),
        own=domain.tag,
        signing_key=reader,
        private_keys=(private_key,),
    )
    credential = Credential(
        header.repository_id, header.fingerprint, Role.WRITER, writer, (domain,), log=(log.number, log.hash)
    )
    return NewRepository(header, tuple(objects), log, readers, credential, keys)


def _header(owner: SigningKey, clock: Clock) -> Header:
    return new_header(
        repository_id=clock.random_bytes(16).hex(),
        created_utc=clock.now_utc(),
        chunking=Chunking(
            minimum=limits.CHUNK_BYTES_MIN,
            average=limits.CHUNK_BYTES_AVG,
            maximum=limits.CHUNK_BYTES_MAX,
            block=limits.PAGE_BLOCK_BYTES,
        ),
        owner=owner.verify_key.public,
    )


def _certificates(
    writer: SigningKey, reader: SigningKey, sources: SourcePrefix, made_utc: datetime
) -> tuple[Certificate, Certificate]:
    """Return those of this host and of the holder of a reader's slot: both continue the same sources."""
    host, until_utc = host_name(), made_utc + timedelta(days=limits.CERTIFICATE_DAYS)

    def certificate(key: SigningKey, role: Role, rights: frozenset[Right]) -> Certificate:
        return Certificate(key.verify_key, host, role, FIRST_DOMAIN, sources, frozenset(rights), made_utc, until_utc)

    return certificate(writer, Role.WRITER, WRITER_RIGHTS), certificate(reader, Role.READER, READER_RIGHTS)
