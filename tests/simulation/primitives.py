"""Stand-ins for the primitives of `cryptography` that draw from the system's random source, so that a seed repeats.

HPKE and ML-DSA-65 give other bytes at each call, and so do new keys; names of objects are hashes of such bytes, and
order follows from names. The stand-ins have the same sizes and interfaces, and no security: nobody attacks here.
Ed25519, AES-256-GCM and BLAKE3 repeat by themselves, and stay.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import crypto, signing

_NONCE_BYTES = 12
_SIGNATURE_BYTES = 3309
_SEED_BYTES = 32


class _MlDsaPublic:
    def __init__(self, public: bytes) -> None:
        self._public = public

    @classmethod
    def from_public_bytes(cls, public: bytes) -> _MlDsaPublic:
        return cls(public)

    def public_bytes_raw(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return blake3(self._public + message).digest(_SIGNATURE_BYTES)

    def verify(self, signature: bytes, message: bytes) -> None:
        if signature != self.sign(message):
            raise InvalidSignature


class _MlDsaPrivate:
    chance: random.Random

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._public = _MlDsaPublic(blake3(b"public" + seed).digest(signing.ML_DSA_65_PUBLIC_BYTES))

    @classmethod
    def from_seed_bytes(cls, seed: bytes) -> _MlDsaPrivate:
        return cls(seed)

    @classmethod
    def generate(cls) -> _MlDsaPrivate:
        return cls(cls.chance.randbytes(_SEED_BYTES))

    def private_bytes_raw(self) -> bytes:
        return self._seed

    def public_key(self) -> _MlDsaPublic:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return self._public.sign(message)


class _Generates:
    """A class of private keys that generates them from seeded bytes; all else is the real one's."""

    def __init__(self, real: Any, make: str, length: int, chance: random.Random) -> None:
        self._real, self._make, self._length, self._chance = real, make, length, chance

    def generate(self) -> Any:
        return getattr(self._real, self._make)(self._chance.randbytes(self._length))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _hybrid_public(mlkem: MLKEM768PublicKey, x25519: X25519PublicKey) -> bytes:
    return mlkem.public_bytes_raw() + x25519.public_bytes_raw()


def _hybrid_private(mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> bytes:
    return _hybrid_public(mlkem.public_key(), x25519.public_key())


class _Suite:
    """Sealed by a key that follows from the public key."""

    def encrypt(self, plain: bytes, key: bytes, *, info: bytes) -> bytes:
        nonce = blake3(plain + info).digest(_NONCE_BYTES)
        head = nonce.ljust(crypto.SEALED_OVERHEAD_BYTES - crypto.TAG_BYTES, b"\x00")
        return head + AESGCM(blake3(key).digest()).encrypt(nonce, plain, info)

    def decrypt(self, sealed: bytes, key: bytes, *, info: bytes) -> bytes:
        head = crypto.SEALED_OVERHEAD_BYTES - crypto.TAG_BYTES
        if len(sealed) < crypto.SEALED_OVERHEAD_BYTES:
            raise InvalidTag
        return AESGCM(blake3(key).digest()).decrypt(sealed[:_NONCE_BYTES], sealed[head:], info)


@contextmanager
def repeatable(chance: random.Random) -> Iterator[None]:
    """Have keys, sealed bytes and signatures follow from `chance` alone, for a block."""
    _MlDsaPrivate.chance = chance
    replaced: list[tuple[Any, str, object]] = [
        (crypto, "MLKEM768PrivateKey", _Generates(MLKEM768PrivateKey, "from_seed_bytes", 64, chance)),
        (crypto, "X25519PrivateKey", _Generates(X25519PrivateKey, "from_private_bytes", 32, chance)),
        (crypto, "MLKEM768X25519PublicKey", _hybrid_public),
        (crypto, "MLKEM768X25519PrivateKey", _hybrid_private),
        (crypto, "_SUITE", _Suite()),
        (signing, "Ed25519PrivateKey", _Generates(Ed25519PrivateKey, "from_private_bytes", 32, chance)),
        (signing, "MLDSA65PrivateKey", _MlDsaPrivate),
        (signing, "MLDSA65PublicKey", _MlDsaPublic),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    try:
        for place, name, value in replaced:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
