"""Public-key sealing: HPKE (RFC 9180, base mode) to ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM. Pure.

An off-site copy outlives today's cryptography, so a data key is sealed to a hybrid key: it stays closed while either
ML-KEM-768 or X25519 is unbroken. Public keys are 1,216 bytes (ML-KEM-768 ‖ X25519), private keys 96 (64-byte seed ‖
X25519).
"""

from __future__ import annotations

from blake3 import blake3
from cryptography.exceptions import InvalidTag
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

from farshore.errors import ObjectCorrupt, WrongPassphrase

PUBLIC_BYTES = 1184 + 32
PRIVATE_BYTES = 64 + 32
OVERHEAD_BYTES = 1088 + 32 + 16  # encapsulated key and tag
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


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
    """Return `plain` sealed to the holder of the private key; `OVERHEAD_BYTES` longer. About 0.1 ms."""
    if len(public_key) != PUBLIC_BYTES:
        raise ObjectCorrupt(f"a public key has {PUBLIC_BYTES} bytes, not {len(public_key)}")
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
