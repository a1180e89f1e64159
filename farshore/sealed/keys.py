"""The keys of a repository: the key set of a role, and the data key of a run. docs/reference/format.md, section 2."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from farshore import crypto
from farshore.clock import Clock
from farshore.crypto import KEY_BYTES, associated, derive_key
from farshore.errors import CredentialCannotRead, FormatTooNew, ObjectCorrupt, WrongPassphrase
from farshore.format.records import JsonObject

_DATA_KEY_HEADER = struct.Struct("<4sBB2x16s")
_DATA_KEY_MAGIC = b"FSDK"
_SUITE = 1
_CHECK_BYTES = 16
KEY_ID_BYTES = 16
DATA_KEY_BYTES = _DATA_KEY_HEADER.size + crypto.SEALED_OVERHEAD_BYTES + KEY_BYTES + _CHECK_BYTES


class Role(StrEnum):
    """The permissions of a key set."""

    READER = "reader"
    WRITER = "writer"


@dataclass(frozen=True)
class KeySet:
    """The keys of one role. `private_key` is empty for a writer. Never printed, never sent to a store in the clear."""

    repository_id: bytes
    public_key: bytes
    chunk_key: bytes
    index_key: bytes
    audit_key: bytes
    private_key: bytes = b""

    def __repr__(self) -> str:
        return f"KeySet({self.role}, repository {self.repository_id.hex()})"

    @property
    def role(self) -> Role:
        """Reader when the private key is there."""
        return Role.READER if self.private_key else Role.WRITER

    @cached_property
    def recipient_id(self) -> bytes:
        """The id of the public key that data keys are sealed to."""
        return crypto.recipient_id(self.public_key)

    @cached_property
    def page_key(self) -> bytes:
        """The key of page hashes."""
        return derive_key(self.chunk_key, "page", self.repository_id)

    @cached_property
    def cut_seed(self) -> int:
        """The seed of content-defined cuts, so that chunk sizes reveal nothing about known files."""
        seed = int.from_bytes(derive_key(self.chunk_key, "cdc-seed", self.repository_id)[:8], "little")
        return seed & (1 << 63) - 1  # the cutter accepts no more bits

    @cached_property
    def audit_public(self) -> bytes:
        """The public half of the audit key."""
        key = Ed25519PrivateKey.from_private_bytes(self.audit_key)
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def source_id(self, name: str) -> str:
        """Return the id under which a source's snapshots are kept; its name never enters an object's name."""
        key = derive_key(self.index_key, "source-id", self.repository_id)
        return blake3(name.encode(), key=key).digest(16).hex()

    def writer(self) -> KeySet:
        """Return the keys that add and deduplicate but cannot read."""
        return KeySet(self.repository_id, self.public_key, self.chunk_key, self.index_key, self.audit_key)


def generate_keys(repository_id: bytes, clock: Clock) -> KeySet:
    """Return the keys of a new repository."""
    private = crypto.generate_private_key()
    return KeySet(
        repository_id=repository_id,
        public_key=crypto.public_key_of(private),
        chunk_key=clock.random_bytes(KEY_BYTES),
        index_key=clock.random_bytes(KEY_BYTES),
        audit_key=clock.random_bytes(KEY_BYTES),
        private_key=private,
    )


def encode_key_set(keys: KeySet) -> JsonObject:
    """Return the keys as JSON values in base64."""
    names = ("public_key", "chunk_key", "index_key", "audit_key", "private_key")
    return {name: base64.b64encode(getattr(keys, name)).decode() for name in names if getattr(keys, name)}


def decode_key_set(value: JsonObject, repository_id: bytes) -> KeySet:
    """Return the keys, with every length checked."""
    lengths = {
        "public_key": crypto.PUBLIC_KEY_BYTES,
        "chunk_key": KEY_BYTES,
        "index_key": KEY_BYTES,
        "audit_key": KEY_BYTES,
        "private_key": crypto.PRIVATE_KEY_BYTES,
    }
    keys: dict[str, bytes] = {}
    try:
        for name, length in lengths.items():
            if name == "private_key" and name not in value:
                continue
            keys[name] = base64.b64decode(value[name], validate=True)
            if len(keys[name]) != length:
                raise ObjectCorrupt(f"a key set has a {name} of the wrong length")
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"a key set is incomplete: {error}") from error
    return KeySet(repository_id=repository_id, **keys)


@dataclass(frozen=True, slots=True)
class DataKey:
    """One run's data key."""

    key_id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"DataKey({self.key_id.hex()})"


def generate_data_key(clock: Clock) -> DataKey:
    """Return a new data key with a random id."""
    return DataKey(clock.random_bytes(KEY_ID_BYTES), clock.random_bytes(KEY_BYTES))


def seal_data_key(keys: KeySet, data_key: DataKey) -> bytes:
    """Return the object `keys/data/<key id>/<recipient id>`. Needs no private key."""
    header = _DATA_KEY_HEADER.pack(_DATA_KEY_MAGIC, 1, _SUITE, keys.recipient_id)
    info = associated("data-key", keys.repository_id, data_key.key_id, keys.recipient_id)
    sealed = header + crypto.seal_to(keys.public_key, data_key.secret, info)
    return sealed + blake3(sealed).digest(_CHECK_BYTES)


def check_data_key(sealed: bytes, what: str) -> None:
    """Raise `ObjectCorrupt` where a sealed data key is damaged, which needs no key to see.

    Raises:
        FormatTooNew: It is whole, and of a later version.
    """
    if sealed[:4] != _DATA_KEY_MAGIC:
        raise ObjectCorrupt(f"{what} is not a data key")
    if blake3(sealed[:-_CHECK_BYTES]).digest(_CHECK_BYTES) != sealed[-_CHECK_BYTES:]:
        raise ObjectCorrupt(f"{what} is damaged: its check does not hold")
    _, version, suite, _ = _DATA_KEY_HEADER.unpack(sealed[: _DATA_KEY_HEADER.size])
    if version != 1 or suite != _SUITE:
        raise FormatTooNew(f"{what} has version {version}, suite {suite}")
    if len(sealed) != DATA_KEY_BYTES:
        raise ObjectCorrupt(f"{what} has the wrong length")


def open_data_key(keys: KeySet, key_id: bytes, sealed: bytes) -> DataKey:
    """Return the data key that was sealed to this repository's public key.

    Raises:
        CredentialCannotRead: These keys are a writer's.
        ObjectCorrupt: It is damaged, or belongs to another key id.
    """
    if not keys.private_key:
        raise CredentialCannotRead("this credential can add backups and cannot read one back")
    what = f"data key {key_id.hex()}"
    check_data_key(sealed, what)
    header_bytes = _DATA_KEY_HEADER.size
    recipient_id = sealed[header_bytes - KEY_ID_BYTES : header_bytes]
    info = associated("data-key", keys.repository_id, key_id, recipient_id)
    try:
        return DataKey(key_id, crypto.open_sealed(keys.private_key, sealed[header_bytes:-_CHECK_BYTES], info))
    except WrongPassphrase as error:
        raise ObjectCorrupt(f"{what} is sealed to another recipient, or was forged") from error
