"""The keys of a repository that no store holds: of its owner, a reader and a writer, with a header that fits them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from farshore import crypto
from farshore.clock import Clock
from farshore.crypto import PassphraseCost
from farshore.format.header import Chunking, Header, new_header
from farshore.sealed import DomainKeys, KeySet, domain_keys
from farshore.sealed.slots import SlotKeys
from farshore.signing import SigningKey, generate_signing_key
from tests.doubles.clock import FixedClock

REPOSITORY = bytes(range(16))
CHEAP = PassphraseCost(
    memory_kib=64, iterations=1, lanes=1
)  # at the full one, opening is most of the work of a command


@dataclass(frozen=True)
class MadeKeys:
    """All keys of a repository with one domain, `main`, in its first epoch."""

    header: Header
    owner: SigningKey
    root: bytes
    reader: KeySet

    @cached_property
    def writer(self) -> KeySet:
        """What a host's credential gives."""
        return replace(self.reader, private_keys=(), signing_key=generate_signing_key())

    @property
    def of_reader(self) -> SlotKeys:
        """What a reader's slot wraps."""
        return SlotKeys(
            self.header.fingerprint,
            (self.root,),
            private_keys=self.reader.private_keys,
            signing_key=self.reader.signing_key,
        )

    @property
    def of_owner(self) -> SlotKeys:
        """What an owner's slot wraps."""
        return SlotKeys(self.header.fingerprint, (self.root,), owner_key=self.owner)


def make_keys(repository_id: bytes = REPOSITORY, clock: Clock | None = None) -> MadeKeys:
    """Return the keys of a new repository; those of signers are random, all others follow from the clock."""
    clock = clock or FixedClock()
    owner, private_key, root = generate_signing_key(), crypto.generate_private_key(), clock.random_bytes(32)
    header = new_header(
        repository_id=repository_id.hex(),
        created_utc=clock.now_utc(),
        chunking=Chunking(262144, 1048576, 4194304, 1048576),
        owner=owner.verify_key.public,
    )
    domain = domain_keys(root, "main", 1, repository_id)
    reader = KeySet(
        repository_id=repository_id,
        fingerprint=header.fingerprint,
        public_key=crypto.public_key_of(private_key),
        domains=(domain,),
        own=domain.tag,
        signing_key=generate_signing_key(),
        private_keys=(private_key,),
    )
    return MadeKeys(header, owner, root, reader)


def fixed_keys(
    *, repository_id: bytes = REPOSITORY, public_key: bytes = bytes(1216), chunk_key: bytes, index_key: bytes,
    private_key: bytes = b"",
) -> KeySet:  # fmt: skip
    """Return keys whose index and chunk key are given, as vectors have them."""
    domain = DomainKeys("main", 1, index_key, chunk_key)
    return KeySet(
        repository_id=repository_id, fingerprint=bytes(32), public_key=public_key, domains=(domain,), own=domain.tag,
        signing_key=SigningKey(b"w" * 64), private_keys=(private_key,) if private_key else (),
    )  # fmt: skip
