"""The data key of a run, sealed to the repository's public key. docs/reference/format.md, section 2."""

from __future__ import annotations

import struct
from dataclasses import field

from blake3 import blake3

from farshore import crypto
from farshore.clock import Clock
from farshore.crypto import KEY_BYTES, associated
from farshore.errors import CredentialCannotRead, FormatTooNew, ObjectCorrupt, WrongPassphrase
from farshore.model import dataclass
from farshore.sealed import KeySet

_DATA_KEY_HEADER = struct.Struct("<4sBB2x16s")
_DATA_KEY_MAGIC = b"FSDK"
_SUITE = 1
_CHECK_BYTES = 16
KEY_ID_BYTES = 16
DATA_KEY_BYTES = _DATA_KEY_HEADER.size + crypto.SEALED_OVERHEAD_BYTES + KEY_BYTES + _CHECK_BYTES


@dataclass(frozen=True, slots=True)
class DataKey:
    """One run's data key."""

    key_id: bytes
    secret: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"DataKey({self.key_id.hex()})"


def generate_data_key(clock: Clock) -> DataKey:
    """Return a new data key with a random id."""
    return DataKey(clock.random_bytes(KEY_ID_BYTES), clock.random_bytes(KEY_BYTES))


def seal_data_key(keys: KeySet, data_key: DataKey, public_key: bytes = b"") -> bytes:
    """Return the object `keys/data/<key id>/<recipient id>`. Needs no private key.

    Args:
        public_key: Of a reader of the domain alone; else it is sealed to the repository's.
    """
    public_key = public_key or keys.public_key
    recipient_id = crypto.recipient_id(public_key)
    header = _DATA_KEY_HEADER.pack(_DATA_KEY_MAGIC, 1, _SUITE, recipient_id)
    info = associated("data-key", keys.repository_id, data_key.key_id, recipient_id)
    sealed = header + crypto.seal_to(public_key, data_key.secret, info)
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
        ObjectCorrupt: It is damaged, belongs to another key id, or is sealed to another recipient.
    """
    if not keys.can_read:
        raise CredentialCannotRead("this credential can add backups and cannot read one back")
    what = f"data key {key_id.hex()}"
    check_data_key(sealed, what)
    header_bytes = _DATA_KEY_HEADER.size
    recipient_id = sealed[header_bytes - KEY_ID_BYTES : header_bytes]
    info = associated("data-key", keys.repository_id, key_id, recipient_id)
    try:
        private_key = keys.readable[recipient_id]
    except KeyError as error:
        raise ObjectCorrupt(f"{what} is sealed to another recipient, or was forged") from error
    try:
        return DataKey(key_id, crypto.open_sealed(private_key, sealed[header_bytes:-_CHECK_BYTES], info))
    except WrongPassphrase as error:
        raise ObjectCorrupt(f"{what} is sealed to another recipient, or was forged") from error
