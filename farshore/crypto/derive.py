"""Keys from keys, and the associated data of every AEAD call. Pure.

Key derivation is HKDF with SHA-256 (RFC 5869); docs/reference/format.md, section 2.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
TAG_BYTES = 16
ZERO_NONCE = bytes(12)  # for keys that seal exactly one message


def derive_key(secret: bytes, purpose: str, repository_id: bytes, salt: bytes = b"") -> bytes:
    """Return 32 key bytes that serve one purpose in one repository."""
    info = associated(purpose, repository_id)
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def associated(purpose: str, repository_id: bytes, *parts: bytes) -> bytes:
    """Return the associated data that binds a sealed message to its repository, purpose and identity."""
    return b"".join((b"farshore/1/", purpose.encode(), b"\x00", repository_id, *parts))
