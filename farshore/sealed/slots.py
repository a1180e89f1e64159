"""Key slots: the keys of an owner or a reader, wrapped by a passphrase, to a recipient, or in shares.

Pure: bytes in, bytes out. docs/reference/format.md, section 2. Every slot is signed by the owner, which is checked
before anything else, so a slot that somebody planted costs one signature check and no Argon2.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import field
from datetime import datetime

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import crypto, limits
from farshore.clock import Clock
from farshore.crypto import KEY_BYTES, ZERO_NONCE, associated, derive_key
from farshore.errors import FormatTooNew, HeaderDamaged, ObjectCorrupt, RepositoryMismatch, WrongPassphrase
from farshore.format import (
    JsonObject,
    SignedText,
    decode_base64,
    decode_object,
    decode_signed,
    decode_time,
    encode_canonical,
    encode_signed,
    encode_time,
)
from farshore.format.header import Header
from farshore.model import Signature, dataclass
from farshore.sealed import DomainKeys, Role, decode_domains, encode_domains
from farshore.signing import SignedKind, SigningKey, VerifyKey, sign, verify

SLOT_FORMAT = "farshore-slot"
SUBJECT = "keys/slots/"
VERSION = 1
PASSPHRASE = "passphrase"  # noqa: S105 - a kind of slot
RECIPIENT = "recipient"
SHARES = "shares"
KINDS = (PASSPHRASE, RECIPIENT, SHARES)
HINT = "The same file below keys/slots of another replica replaces it."
_KDF = "argon2id"
_NONCE_BYTES = 32


@dataclass(frozen=True)
class SlotKeys:
    """The keys that a slot wraps: an owner's with `owner_key`, a reader's with `private_keys` and `signing_key`.

    `domains`: of a reader of some domains alone, who has no roots, and reads with the private key of its identity.
    """

    fingerprint: bytes
    roots: tuple[bytes, ...] = field(repr=False)
    owner_key: SigningKey | None = field(repr=False, default=None)
    private_keys: tuple[bytes, ...] = field(repr=False, default=())
    signing_key: SigningKey | None = field(repr=False, default=None)
    domains: tuple[DomainKeys, ...] = field(repr=False, default=())

    @property
    def role(self) -> Role:
        """Whose slot it is."""
        if self.domains:
            return Role.DOMAIN_READER
        return Role.OWNER if self.owner_key is not None else Role.READER


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """The fields of a slot that need no key. `slot_id`: the beginning of the hash of the slot.

    `newest`: of a reader's slot, the id of the newest recipient whose private key it wraps.
    """

    slot_id: str
    role: str
    kind: str
    recipient: str = ""
    label: str = ""
    created_utc: datetime | None = None
    host: str = ""
    newest: str = ""


@dataclass(frozen=True, slots=True)
class SlotNote:
    """The notes by which people recognize a slot."""

    created_utc: datetime
    host: str = ""
    label: str = ""


def seal_passphrase_slot(
    keys: SlotKeys,
    header: Header,
    owner: SigningKey,
    passphrase: str | bytes,
    clock: Clock,
    *,
    cost: crypto.PassphraseCost | None = None,
    note: SlotNote | None = None,
) -> bytes:
    """Return a new slot. Costs about a tenth of a second and 64 MiB on purpose."""
    cost = cost or crypto.PassphraseCost()
    salt, nonce = clock.random_bytes(crypto.SALT_BYTES), clock.random_bytes(_NONCE_BYTES)
    key, commitment = crypto.keys_from_passphrase(passphrase, salt, cost)
    sealed = AESGCM(key).encrypt(ZERO_NONCE, encode_slot_keys(keys), _binding(header, keys.role, nonce))
    kdf = {
        "name": _KDF,
        "memory_kib": cost.memory_kib,
        "iterations": cost.iterations,
        "lanes": cost.lanes,
        "salt": _text(salt),
    }
    body = {"kind": PASSPHRASE, "kdf": kdf, "commitment": _text(commitment), "sealed": _text(sealed)}
    return _signed(keys, nonce, body, header, owner, note)


def seal_recipient_slot(
    keys: SlotKeys, header: Header, owner: SigningKey, public_key: bytes, clock: Clock, note: SlotNote | None = None
) -> bytes:
    """Return a new slot, to be opened by the holder of the recipient's identity.

    It holds the public key, so that it can be made anew when the keys that it wraps change.
    """
    nonce = clock.random_bytes(_NONCE_BYTES)
    sealed = crypto.seal_to(public_key, encode_slot_keys(keys), _binding(header, keys.role, nonce))
    recipient = crypto.recipient_id(public_key).hex()
    body = {"kind": RECIPIENT, "recipient": recipient, "public_key": _text(public_key), "sealed": _text(sealed)}
    return _signed(keys, nonce, body, header, owner, note)


def seal_shares_slot(
    keys: SlotKeys, header: Header, owner: SigningKey, secret: bytes, counts: tuple[int, int], clock: Clock,
    note: SlotNote | None = None,
) -> bytes:  # fmt: skip
    """Return a new slot, to be opened with a secret of 32 bytes that is split among people and never stored.

    Args:
        secret: Random; it may open several slots, because each has a key of its own.
        counts: How many shares give it, and how many there are.
    """
    nonce = clock.random_bytes(_NONCE_BYTES)
    key = _shares_key(secret, header, nonce)
    sealed = AESGCM(key).encrypt(ZERO_NONCE, encode_slot_keys(keys), _binding(header, keys.role, nonce))
    body = {"kind": SHARES, "threshold": counts[0], "shares": counts[1], "sealed": _text(sealed)}
    return _signed(keys, nonce, body, header, owner, note)


def sign_again(data: bytes, header: Header, owner: SigningKey) -> bytes:
    """Return a slot as another owner key signs it; what it wraps stays."""
    body = decode_slot(data).body
    return encode_signed(body, _signature(body, header, owner))


def is_signed_by(data: bytes, header: Header, owner: VerifyKey) -> bool:
    """Whether the owner signed this slot.

    Raises:
        HeaderDamaged, FormatTooNew: It cannot be read.
    """
    text = decode_slot(data)
    digest = blake3(text.body).digest()
    return verify(
        owner, SignedKind.SLOT, text.signature, fingerprint=header.fingerprint, subject=SUBJECT, digest=digest
    )


def describe_slot(data: bytes) -> SlotInfo:
    """Return the fields of a slot that need no key.

    Raises:
        HeaderDamaged, FormatTooNew: It cannot be read.
    """
    value = decode_slot(data).value
    try:
        created_utc = decode_time(value["created_utc"]) if "created_utc" in value else None
    except (TypeError, ValueError):
        created_utc = None
    recipient_id, newest, label, host = (str(value.get(name, "")) for name in ("recipient", "newest", "label", "host"))
    return SlotInfo(slot_id_of(data), value["role"], value["kind"], recipient_id, label, created_utc, host, newest)


def cost_of_slot(data: bytes) -> crypto.PassphraseCost:
    """Return what one guess at a passphrase's slot costs; the usual cost where it cannot be read."""
    kdf = decode_slot(data).value.get("kdf", {})
    try:
        return crypto.PassphraseCost(int(kdf["memory_kib"]), int(kdf["iterations"]), int(kdf["lanes"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return crypto.PassphraseCost()


def public_key_of_slot(data: bytes) -> bytes | None:
    """Return the public key that a recipient's slot is sealed to; None for other slots.

    Raises:
        HeaderDamaged, FormatTooNew: It cannot be read, or its recipient is not that of the key.
    """
    value = decode_slot(data).value
    if value["kind"] != RECIPIENT:
        return None
    try:
        public_key = decode_base64(value.get("public_key"), "a slot's public key", crypto.PUBLIC_KEY_BYTES)
    except ObjectCorrupt as error:
        raise HeaderDamaged(f"key slot {slot_id_of(data)} is damaged: {error}", HINT) from error
    if crypto.recipient_id(public_key).hex() != value.get("recipient"):
        raise HeaderDamaged(f"key slot {slot_id_of(data)} names another recipient than that of its key", HINT)
    return public_key


def slot_id_of(data: bytes) -> str:
    """Return the 32 hex digits by which people name a slot."""
    return blake3(data).hexdigest()[:32]


def open_slot(
    data: bytes,
    header: Header,
    *,
    passphrase: str | bytes = b"",
    identity: bytes = b"",
    shares_secret: bytes = b"",
) -> SlotKeys | None:
    """Return the keys, or None where the slot is not for this passphrase, identity or secret of shares.

    Whether the owner signed it was checked before.
    Raises:
        HeaderDamaged, FormatTooNew: The slot itself cannot be read.
        RepositoryMismatch: Its keys are of another repository.
    """
    value = decode_slot(data).value
    try:
        nonce = decode_base64(value["nonce"], "a slot's nonce", _NONCE_BYTES)
        bound = _binding(header, value["role"], nonce)
        sealed = base64.b64decode(value["sealed"], validate=True)
        if value["kind"] == PASSPHRASE and passphrase:
            key = _passphrase_key(value, passphrase)
            payload = AESGCM(key).decrypt(ZERO_NONCE, sealed, bound)
        elif value["kind"] == RECIPIENT and identity:
            if value["recipient"] != crypto.recipient_id(crypto.public_key_of(identity)).hex():
                return None
            payload = crypto.open_sealed(identity, sealed, bound)
        elif value["kind"] == SHARES and shares_secret:
            payload = AESGCM(_shares_key(shares_secret, header, nonce)).decrypt(ZERO_NONCE, sealed, bound)
        else:
            return None
    except (InvalidTag, WrongPassphrase):
        return None
    except (KeyError, TypeError, ValueError, OverflowError, ObjectCorrupt) as error:
        raise HeaderDamaged(f"key slot {slot_id_of(data)} is damaged: {error}", HINT) from error
    keys = decode_slot_keys(decode_object(payload, "a key set"))
    if keys.fingerprint != header.fingerprint:
        raise RepositoryMismatch(
            f"key slot {slot_id_of(data)} is of a repository with the fingerprint {keys.fingerprint.hex()}",
            "The header was exchanged: open another replica with --replica, and heal this one from it.",
        )
    return keys


def decode_slot(data: bytes) -> SignedText:
    """Return a slot, its shape checked but not its signature.

    Raises:
        HeaderDamaged, FormatTooNew: It cannot be read.
    """
    try:
        text = decode_signed(data, "a key slot", limits.SLOT_BYTES_MAX)
    except ObjectCorrupt as error:
        raise HeaderDamaged(str(error), HINT) from error
    value = text.value
    version = value.get("version")
    if value.get("format") != SLOT_FORMAT or not isinstance(version, int) or version < 1:
        raise HeaderDamaged("a key slot is not a farshore-slot file", HINT)
    if version > VERSION:
        raise FormatTooNew(f"a key slot has version {version}; this Farshore knows {VERSION}")
    if not all(isinstance(value.get(key), str) for key in ("role", "kind")):
        raise HeaderDamaged("a key slot is incomplete", HINT)
    return text


def encode_slot_keys(keys: SlotKeys) -> bytes:
    """Return the canonical JSON of a key set."""
    value: JsonObject = {"fingerprint": keys.fingerprint.hex()}
    value |= (
        {"domains": encode_domains(keys.domains)} if keys.domains else {"roots": [_text(one) for one in keys.roots]}
    )
    if keys.owner_key is not None:
        value["owner_key"] = _text(keys.owner_key.secret)
    if keys.private_keys:
        value["private_keys"] = [_text(key) for key in keys.private_keys]
    if keys.signing_key is not None:
        value["signing_key"] = _text(keys.signing_key.secret)
    return encode_canonical(value)


def decode_slot_keys(value: JsonObject) -> SlotKeys:
    """Return a key set, every length checked.

    Raises:
        ObjectCorrupt: It is incomplete, or a key has another length.
    """
    try:
        fingerprint = bytes.fromhex(value["fingerprint"])
        domains = decode_domains(value.get("domains", {}))
        roots = tuple(decode_base64(root, "a root", KEY_BYTES) for root in value.get("roots", ()))
        private_keys = tuple(
            decode_base64(key, "a private key", crypto.PRIVATE_KEY_BYTES) for key in value.get("private_keys", ())
        )
        owner_key, signing_key = (_signing_key(value, name) for name in ("owner_key", "signing_key"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ObjectCorrupt(f"a key set is incomplete: {error}") from error
    if not domains and not (roots and (owner_key or private_keys)):
        raise ObjectCorrupt("a key set holds no keys")
    return SlotKeys(fingerprint, roots, owner_key, private_keys, signing_key, domains)


def _signing_key(value: JsonObject, name: str) -> SigningKey | None:
    return SigningKey(decode_base64(value[name], name)) if name in value else None


def _passphrase_key(value: JsonObject, passphrase: str | bytes) -> bytes:
    """Return the key that a passphrase gives, or raise `WrongPassphrase` where it is not the slot's."""
    kdf = value["kdf"]
    if kdf["name"] != _KDF:
        raise FormatTooNew(f"a key slot needs {kdf['name']}, which this Farshore does not know")
    cost = crypto.PassphraseCost(int(kdf["memory_kib"]), int(kdf["iterations"]), int(kdf["lanes"]))
    salt = decode_base64(kdf["salt"], "a slot's salt", crypto.SALT_BYTES)
    key, commitment = crypto.keys_from_passphrase(passphrase, salt, cost)
    expected = decode_base64(value["commitment"], "a slot's commitment", len(commitment))
    if not hmac.compare_digest(commitment, expected):
        raise WrongPassphrase("the passphrase is not this slot's")
    return key


def _signed(
    keys: SlotKeys, nonce: bytes, body: JsonObject, header: Header, owner: SigningKey, note: SlotNote | None
) -> bytes:
    value: JsonObject = {
        "format": SLOT_FORMAT, "version": VERSION, "role": keys.role.value, "nonce": _text(nonce), **body,
        **_noted(note),
    }  # fmt: skip
    if keys.private_keys:
        value["newest"] = crypto.recipient_id(crypto.public_key_of(keys.private_keys[-1])).hex()
    data = encode_canonical(value)
    return encode_signed(data, _signature(data, header, owner))


def _signature(body: bytes, header: Header, owner: SigningKey) -> Signature:
    return sign(owner, SignedKind.SLOT, fingerprint=header.fingerprint, subject=SUBJECT, digest=blake3(body).digest())


def _noted(note: SlotNote | None) -> dict[str, str]:
    if note is None:
        return {}
    found = {"created_utc": encode_time(note.created_utc), "host": note.host, "label": note.label}
    return {name: text for name, text in found.items() if text}


def _shares_key(secret: bytes, header: Header, nonce: bytes) -> bytes:
    """Return the key of one slot: a zero nonce of AES-GCM allows one message a key."""
    return derive_key(secret, "shares", header.repository_bytes, nonce)


def _binding(header: Header, role: str, nonce: bytes) -> bytes:
    return associated("slot", header.repository_bytes, role.encode(), b"\x00", header.fingerprint, nonce)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
