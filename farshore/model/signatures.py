"""Who signed something: the id of the signer, and the bytes of its signature."""

from __future__ import annotations

from dataclasses import dataclass

SIGNER_ID_BYTES = 16
ED25519_SIGNATURE_BYTES = 64
ML_DSA_65_SIGNATURE_BYTES = 3309


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of either suite; nothing about it is checked before `signing.verify` does.

    `signer`: 32 hex digits. `ml_dsa_65`: nothing where the kind of object is signed by Ed25519 alone.
    """

    signer: str
    ed25519: bytes
    ml_dsa_65: bytes = b""
