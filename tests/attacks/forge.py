"""What every attacker can make who has read docs/reference/format.md: keys, signed texts, slots, headers, log entries.

No import of Farshore: an attacker has the page and public libraries.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

Json = dict[str, Any]
HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
HYBRID = {"log", "slot", "daily-seal", "plan", "tombstone", "verdict", "note", "approval"}


def canonical(value: Json) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def base(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hash_of(data: bytes) -> str:
    return blake3(data).hexdigest()


@dataclass
class Signer:
    """A signing key that the attacker made."""

    ed25519: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    ml_dsa_65: MLDSA65PrivateKey = field(default_factory=MLDSA65PrivateKey.generate)

    @property
    def public(self) -> tuple[bytes, bytes]:
        return self.ed25519.public_key().public_bytes_raw(), self.ml_dsa_65.public_key().public_bytes_raw()

    @property
    def key_hash(self) -> bytes:
        return blake3(b"".join(self.public)).digest()

    @property
    def secret(self) -> bytes:
        return self.ed25519.private_bytes_raw() + self.ml_dsa_65.private_bytes_raw()

    def public_json(self) -> Json:
        ed25519, ml_dsa_65 = self.public
        return {"ed25519": base(ed25519), "ml_dsa_65": base(ml_dsa_65)}

    def sign(self, kind: str, fingerprint: bytes, subject: str, digest: bytes) -> Json:
        suite = "ed25519+ml-dsa-65" if kind in HYBRID else "ed25519"
        parts = (b"farshore/1/signature", kind.encode(), suite.encode())
        message = b"".join(part + b"\0" for part in parts) + fingerprint + self.key_hash
        message += subject.encode() + b"\0" + digest
        signature = {"ed25519": base(self.ed25519.sign(message)), "signer": self.key_hash[:16].hex()}
        return signature | ({"ml_dsa_65": base(self.ml_dsa_65.sign(message))} if kind in HYBRID else {})

    def text(self, kind: str, fingerprint: bytes, subject: str, value: Json) -> bytes:
        """Return a signed text."""
        body = canonical(value)
        return body + canonical(self.sign(kind, fingerprint, subject, blake3(body).digest()))


def hpke_keys() -> tuple[bytes, bytes]:
    """Return a private key of 96 bytes and its public key."""
    mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return mlkem.private_bytes_raw() + x25519.private_bytes_raw(), public


def seal_to(public: bytes, plain: bytes, info: bytes) -> bytes:
    mlkem = MLKEM768PublicKey.from_public_bytes(public[:1184])
    key = MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(public[1184:]))
    return HPKE.encrypt(plain, key, info=info)


def public_of_line(line: str) -> bytes:
    """Return the public key of a recipient's line, which is no secret."""
    return base64.urlsafe_b64decode(line.strip().removeprefix("farshore-recipient-1:"))[:1216]


def header(repository: str, owner: Signer, like: Json) -> bytes:
    """Return a header of the attacker's own, with the id, sizes and time of another one."""
    value = {name: like[name] for name in ("chunking", "created_utc", "features", "format", "version")}
    value |= {"owner": owner.public_json(), "repository": repository}
    return canonical({**value, "check": hash_of(canonical(value))})


def reader_slot(repository: str, fingerprint: bytes, signer: Signer, public: bytes, key_set: Json) -> bytes:
    """Return a slot of a reader for a recipient, signed by the attacker."""
    nonce = os.urandom(32)
    info = b"farshore/1/slot\0" + bytes.fromhex(repository) + b"reader\0" + fingerprint + nonce
    value = {
        "format": "farshore-slot", "version": 1, "role": "reader", "kind": "recipient", "nonce": base(nonce),
        "recipient": blake3(public).digest(16).hex(), "sealed": base(seal_to(public, canonical(key_set), info)),
    }  # fmt: skip
    return signer.text("slot", fingerprint, "keys/slots/", value)


def key_set(fingerprint: bytes, private: bytes, signer: Signer) -> Json:
    return {
        "fingerprint": fingerprint.hex(), "roots": [base(os.urandom(32))], "private_keys": [base(private)],
        "signing_key": base(signer.secret),
    }  # fmt: skip


def put(replica: Path, name: str, data: bytes) -> None:
    """Put an object, as a put-if-absent does: what is there stays."""
    path = replica / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
