"""Cryptographic primitives as the format uses them, all by `cryptography`. Pure; keys are arguments.

docs/reference/format.md, section 2, is ahead of this code and has vectors.

Keys from keys: HKDF with SHA-256 (RFC 5869). Ids in associated data are raw bytes, not their hex text.

Keys from passphrases: Argon2id (RFC 9106), slow and memory-hard on purpose. A passphrase is bytes; text is put into NFC
first (decision 0015). Anybody who can read a replica can copy its key slots and guess at home. Each guess is expensive
(64 MiB), so length decides: a good passphrase needs that, and no kinds of characters.

Sealing to public keys: HPKE (RFC 9180, base mode) to ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM. An off-site copy
outlives today's cryptography, so a data key is sealed to a hybrid key: it stays closed while ML-KEM-768 or X25519
is unbroken. Public keys are 1,216 bytes (ML-KEM-768 ‖ X25519), private keys 96 (64-byte seed ‖ X25519).
"""

from __future__ import annotations

import unicodedata

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from farshore import limits
from farshore.errors import HeaderDamaged, ObjectCorrupt, WrongPassphrase
from farshore.model import dataclass

KEY_BYTES = 32
TAG_BYTES = 16
ZERO_NONCE = bytes(12)  # for keys that seal exactly one message
SALT_BYTES = 32
PUBLIC_KEY_BYTES = 1184 + 32
PRIVATE_KEY_BYTES = 64 + 32
SEALED_OVERHEAD_BYTES = 1088 + 32 + 16  # encapsulated key and tag
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def derive_key(secret: bytes, purpose: str, repository_id: bytes, salt: bytes = b"") -> bytes:
    """Return 32 key bytes that serve one purpose in one repository."""
    info = associated(purpose, repository_id)
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def associated(purpose: str, repository_id: bytes, *parts: bytes) -> bytes:
    """Return the associated data that binds a sealed message to its repository, purpose and identity."""
    return b"".join((b"farshore/1/", purpose.encode(), b"\x00", repository_id, *parts))


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """The cost of one guess. `memory_kib` in KiB."""

    memory_kib: int = limits.ARGON2_MEMORY_KIB
    iterations: int = limits.ARGON2_ITERATIONS
    lanes: int = limits.ARGON2_LANES

    def checked(self) -> PassphraseCost:
        """Return itself, or raise `HeaderDamaged` where a damaged slot asks for absurd work."""
        sane = (
            8 * self.lanes <= self.memory_kib <= limits.ARGON2_MEMORY_KIB_MAX
            and 1 <= self.iterations <= limits.ARGON2_ITERATIONS_MAX
            and 1 <= self.lanes <= limits.ARGON2_LANES_MAX
        )
        if not sane:
            raise HeaderDamaged(
                f"a key slot asks for an absurd passphrase cost: {self}",
                "The same file below keys/slots of another replica replaces it.",
            )
        return self


def normal_form(passphrase: str | bytes) -> bytes:
    """Return the bytes that a passphrase means: in NFC if they are UTF-8, else unchanged."""
    if isinstance(passphrase, bytes):
        try:
            text = passphrase.decode("utf-8")
        except UnicodeDecodeError:
            return passphrase
        return unicodedata.normalize("NFC", text).encode("utf-8")
    return unicodedata.normalize("NFC", passphrase).encode("utf-8")


def keys_from_passphrase(passphrase: str | bytes, salt: bytes, cost: PassphraseCost) -> tuple[bytes, bytes]:
    """Return two keys of 32 bytes: one to encrypt with, and one that may be shown to commit to it.

    Text is normalized (NFC), so it types alike on every keyboard; other bytes are not. AES-GCM alone commits to no key:
    one made ciphertext could open under many passphrases, and test as many guesses at once.
    """
    text = normal_form(passphrase)
    cost.checked()
    kdf = Argon2id(
        salt=salt, length=2 * KEY_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    derived = kdf.derive(text)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def generate_private_key() -> bytes:
    """Return a new private key, 96 bytes, from the operating system's random source."""
    return MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    """Return the public key, 1,216 bytes, that belongs to a private key."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private_key[:_MLKEM_SEED_BYTES])
    x25519 = X25519PrivateKey.from_private_bytes(private_key[_MLKEM_SEED_BYTES:])
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def recipient_id(public_key: bytes) -> bytes:
    """Return the 16 bytes by which a public key is named."""
    return blake3(public_key).digest(16)


def seal_to(public_key: bytes, plain: bytes, info: bytes) -> bytes:
    """Return `plain` sealed to the holder of the private key; `SEALED_OVERHEAD_BYTES` longer. About 0.1 ms."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ObjectCorrupt(f"a public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    try:
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC_BYTES:]),
        )
        return _SUITE.encrypt(plain, key, info=info)
    except ValueError as error:
        raise ObjectCorrupt("a public key is not valid") from error


def open_sealed(private_key: bytes, sealed: bytes, info: bytes) -> bytes:
    """Return what was sealed to this private key with this `info`.

    Raises:
        WrongPassphrase: It was sealed to another key, or altered; the two look the same.
    """
    key = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(private_key[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(private_key[_MLKEM_SEED_BYTES:]),
    )
    try:
        return _SUITE.decrypt(sealed, key, info=info)
    except (InvalidTag, ValueError) as error:
        raise WrongPassphrase("this private key does not open what was sealed") from error
