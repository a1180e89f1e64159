"""Key slots: a role's keys wrapped by a passphrase or to a recipient, and the write-only credential of a host.

Pure: bytes in, bytes out. docs/reference/format.md, section 2.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import crypto
from farshore.clock import Clock
from farshore.crypto import ZERO_NONCE, associated
from farshore.errors import (
    ConfigInvalid,
    FormatTooNew,
    HeaderDamaged,
    KeyFileDamaged,
    ObjectCorrupt,
    RepositoryMismatch,
    WrongPassphrase,
)
from farshore.format.header import Header, check_holds, check_of
from farshore.format.records import JsonObject, decode_object, decode_time, encode_canonical, encode_time
from farshore.sealed.keys import KeySet, decode_key_set, encode_key_set

SLOT_FORMAT = "farshore-slot"
CREDENTIAL_FORMAT = "farshore-credential"
IDENTITY_FORMAT = "farshore-identity"
RECIPIENT_PREFIX = "farshore-recipient-1:"
VERSION = 1
PASSPHRASE = "passphrase"  # noqa: S105 - a kind of slot
RECIPIENT = "recipient"
_HINTS = {
    SLOT_FORMAT: "The same file below keys/slots of another replica replaces it.",
    CREDENTIAL_FORMAT: "Make it anew with 'farshore key enroll', which needs the passphrase or an identity once.",
    IDENTITY_FORMAT: "Use the copy of the identity that was kept elsewhere; nothing at the replicas is wrong.",
}
_KDF = "argon2id"
_RECIPIENT_CHECK_BYTES = 4


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """The fields of a slot that need no key."""

    slot_id: str
    role: str
    kind: str
    recipient: str = ""
    label: str = ""  # these three were noted when it was added, and are unauthenticated
    created_utc: datetime | None = None
    host: str = ""


@dataclass(frozen=True, slots=True)
class SlotNote:
    """The notes by which people recognize a slot."""

    created_utc: datetime
    host: str = ""
    label: str = ""


def seal_passphrase_slot(
    keys: KeySet,
    header: Header,
    passphrase: str | bytes,
    clock: Clock,
    cost: crypto.PassphraseCost | None = None,
    note: SlotNote | None = None,
) -> tuple[str, bytes]:
    """Return a new slot's id and bytes. Costs about a tenth of a second and 64 MiB on purpose."""
    cost = cost or crypto.PassphraseCost()
    slot_id = clock.random_bytes(16).hex()
    salt = clock.random_bytes(crypto.SALT_BYTES)
    key = crypto.key_from_passphrase(passphrase, salt, cost)
    sealed = AESGCM(key).encrypt(ZERO_NONCE, _payload(keys), _bound_to(header, slot_id, keys.role))
    kdf = {
        "name": _KDF,
        "memory_kib": cost.memory_kib,
        "iterations": cost.iterations,
        "lanes": cost.lanes,
        "salt": _text(salt),
    }
    return slot_id, _encode(slot_id, keys, kind=PASSPHRASE, kdf=kdf, sealed=_text(sealed), **_noted(note))


def seal_recipient_slot(
    keys: KeySet, header: Header, public_key: bytes, clock: Clock, note: SlotNote | None = None
) -> tuple[str, bytes]:
    """Return a new slot's id and bytes, to be opened by the holder of the recipient's identity."""
    slot_id = clock.random_bytes(16).hex()
    sealed = crypto.seal_to(public_key, _payload(keys), _bound_to(header, slot_id, keys.role))
    name = crypto.recipient_id(public_key).hex()
    return slot_id, _encode(slot_id, keys, kind=RECIPIENT, recipient=name, sealed=_text(sealed), **_noted(note))


def describe_slot(data: bytes) -> SlotInfo:
    """Return the fields of a slot that need no key."""
    value = _decode(data, SLOT_FORMAT, "a key slot")
    try:
        created_utc = decode_time(value["created_utc"]) if "created_utc" in value else None
    except (TypeError, ValueError):
        created_utc = None
    recipient_id, label, host = (str(value.get(name, "")) for name in ("recipient", "label", "host"))
    return SlotInfo(value["slot"], value["role"], value["kind"], recipient_id, label, created_utc, host)


def open_slot(data: bytes, header: Header, *, passphrase: str | bytes = b"", identity: bytes = b"") -> KeySet | None:
    """Return the keys, or None when this slot is not for the given passphrase or identity.

    Raises:
        HeaderDamaged, FormatTooNew: The slot itself cannot be read.
    """
    value = _decode(data, SLOT_FORMAT, "a key slot")
    try:
        bound = _bound_to(header, value["slot"], value["role"])
        sealed = base64.b64decode(value["sealed"], validate=True)
        if value["kind"] == PASSPHRASE and passphrase:
            kdf = value["kdf"]
            if kdf["name"] != _KDF:
                raise FormatTooNew(f"key slot {value['slot']} needs {kdf['name']}, which this Farshore does not know")
            cost = crypto.PassphraseCost(int(kdf["memory_kib"]), int(kdf["iterations"]), int(kdf["lanes"]))
            key = crypto.key_from_passphrase(passphrase, base64.b64decode(kdf["salt"]), cost)
            payload = AESGCM(key).decrypt(ZERO_NONCE, sealed, bound)
        elif value["kind"] == RECIPIENT and identity:
            payload = crypto.open_sealed(identity, sealed, bound)
        else:
            return None
    except (InvalidTag, WrongPassphrase):
        return None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HeaderDamaged(f"key slot {value.get('slot')} is damaged: {error}", _HINTS[SLOT_FORMAT]) from error
    return decode_key_set(decode_object(payload, "a key set"), header.repository_bytes)


def encode_credential(keys: KeySet, header: Header) -> bytes:
    """Return the write-only credential of a host: it adds, deduplicates and cannot decrypt one old byte."""
    return encode_canonical({
        "format": CREDENTIAL_FORMAT, "version": VERSION, "repository": header.repository_id, "role": "writer",
        "check": header.check, "keys": encode_key_set(keys.writer()),
    })  # fmt: skip


def decode_credential(data: bytes, header: Header, where: str) -> KeySet:
    """Return the writer's keys.

    Raises:
        RepositoryMismatch: The credential belongs to another repository.
        KeyFileDamaged: It is cut, or no credential.
    """
    value = _decode(data, CREDENTIAL_FORMAT, f"the credential {where}")
    if value.get("repository") != header.repository_id or value.get("check") != header.check:
        raise RepositoryMismatch(
            f"the credential {where} belongs to repository {value.get('repository')}, not {header.repository_id}",
            "Point repository.credential at this repository's file, or make one with 'farshore init --write-only'.",
        )
    try:
        return decode_key_set(value.get("keys", {}), header.repository_bytes)
    except ObjectCorrupt as error:
        raise KeyFileDamaged(f"the credential {where} is damaged: {error}", _HINTS[CREDENTIAL_FORMAT]) from error


def encode_identity(private_key: bytes) -> bytes:
    """Return a recipient's private identity file."""
    return encode_canonical({
        "format": IDENTITY_FORMAT, "version": VERSION, "private_key": _text(private_key),
        "recipient": encode_recipient(crypto.public_key_of(private_key)),
    })  # fmt: skip


def decode_identity(data: bytes, where: str) -> bytes:
    """Return the private key of an identity file.

    Raises:
        KeyFileDamaged: It is cut, or no identity.
    """
    value = _decode(data, IDENTITY_FORMAT, f"the identity file {where}")
    try:
        private_key = base64.b64decode(value["private_key"], validate=True)
    except (KeyError, TypeError, ValueError):
        private_key = b""
    if len(private_key) != crypto.PRIVATE_KEY_BYTES:
        raise KeyFileDamaged(f"the identity file {where} is damaged", _HINTS[IDENTITY_FORMAT])
    return private_key


def is_identity(data: bytes) -> bool:
    """Whether a file looks like a private identity, whole or not."""
    return IDENTITY_FORMAT.encode() in data[:4096]


def encode_recipient(public_key: bytes) -> str:
    """Return a public key as one line of text that may be shown to anyone.

    Its last bytes are a check, because a key with one letter wrong is a key too, and nobody's.
    """
    check = crypto.recipient_id(public_key)[:_RECIPIENT_CHECK_BYTES]
    return RECIPIENT_PREFIX + base64.urlsafe_b64encode(public_key + check).decode()


def decode_recipient(text: str) -> bytes:
    """Return the public key of a recipient's line of text."""
    invalid = ConfigInvalid(
        "a recipient is not valid text", "Copy the whole line that 'farshore key generate' printed."
    )
    try:
        data = base64.b64decode(text.strip().removeprefix(RECIPIENT_PREFIX), altchars=b"-_", validate=True)
    except ValueError as error:
        raise invalid from error
    public_key, check = data[:-_RECIPIENT_CHECK_BYTES], data[-_RECIPIENT_CHECK_BYTES:]
    if not text.strip().startswith(RECIPIENT_PREFIX) or len(public_key) != crypto.PUBLIC_KEY_BYTES:
        raise invalid
    if check != crypto.recipient_id(public_key)[:_RECIPIENT_CHECK_BYTES]:
        raise invalid
    return public_key


def _encode(slot_id: str, keys: KeySet, **more: object) -> bytes:
    value = {"format": SLOT_FORMAT, "version": VERSION, "slot": slot_id, "role": str(keys.role), **more}
    return encode_canonical({**value, "check": check_of(value)})


def _noted(note: SlotNote | None) -> dict[str, str]:
    if note is None:
        return {}
    found = {"created_utc": encode_time(note.created_utc), "host": note.host, "label": note.label}
    return {name: text for name, text in found.items() if text}


def _decode(data: bytes, expected: str, what: str) -> JsonObject:
    failed = HeaderDamaged if expected == SLOT_FORMAT else KeyFileDamaged
    try:
        value = decode_object(data, what)
    except ObjectCorrupt as error:
        raise failed(str(error), _HINTS[expected]) from error
    if value.get("format") != expected:
        raise failed(f"{what} is not a {expected} file", _HINTS[expected])
    version = value.get("version")
    if not isinstance(version, int) or version < 1:
        raise failed(f"{what} has no version", _HINTS[expected])
    if version > VERSION:
        raise FormatTooNew(f"{what} has version {version}; this Farshore knows {VERSION}")
    if expected == SLOT_FORMAT and not check_holds(value):
        raise failed(f"{what} is damaged: its check does not hold", _HINTS[expected])
    required = ("slot", "role", "kind", "sealed") if expected == SLOT_FORMAT else ()
    if not all(isinstance(value.get(key), str) for key in required):
        raise failed(f"{what} is incomplete", _HINTS[expected])
    return value


def _payload(keys: KeySet) -> bytes:
    return json.dumps(encode_key_set(keys), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _bound_to(header: Header, slot_id: str, role: str) -> bytes:
    parts = (bytes.fromhex(slot_id), role.encode(), b"\x00", bytes.fromhex(header.check))
    return associated("slot", header.repository_bytes, *parts)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
