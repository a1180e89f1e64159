"""Signatures and the owner log, read by docs/reference/format.md, section 11, alone: part of `second_reader.py`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

Json = dict[str, Any]
HYBRID = {
    "log", "slot", "daily-seal", "plan", "tombstone", "untombstone", "tombstone-set", "approval", "move", "verdict",
    "note",
}  # fmt: skip


def canonical(value: Json) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


@dataclass(frozen=True)
class PublicKey:
    """A signing key's public part."""

    ed25519: bytes
    ml_dsa_65: bytes

    @property
    def key_hash(self) -> bytes:
        return blake3(self.ed25519 + self.ml_dsa_65).digest()

    @property
    def signer(self) -> str:
        return self.key_hash[:16].hex()


def public_key(value: Json) -> PublicKey:
    return PublicKey(base64.b64decode(value["ed25519"]), base64.b64decode(value["ml_dsa_65"]))


@dataclass
class Trust:
    """What the owner log says at the end."""

    fingerprint: bytes
    owner: PublicKey
    head: tuple[int, str] = (0, "")
    certificates: dict[str, list[Json]] = field(default_factory=dict)
    revocations: dict[str, Json] = field(default_factory=dict)
    domains: dict[tuple[str, int], int] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)
    policy: Json = field(default_factory=dict)
    certified: dict[str, list[bytes]] = field(default_factory=dict)  # the fingerprints at the time, by signer

    def holds(self, key: PublicKey, kind: str, subject: str, digest: bytes, signature: Json) -> bool:
        """Whether a signature holds under a fingerprint of the time when its key was certified, or the one of now."""
        fingerprints = self.certified.get(key.signer, [self.fingerprint])
        return any(self._holds(one, key, kind, subject, digest, signature) for one in fingerprints)

    def _holds(
        self, fingerprint: bytes, key: PublicKey, kind: str, subject: str, digest: bytes, signature: Json
    ) -> bool:
        """Whether a signature holds; the suite follows from the kind."""
        suite = "ed25519+ml-dsa-65" if kind in HYBRID else "ed25519"
        parts = (b"farshore/1/signature", kind.encode(), suite.encode())
        message = b"".join(part + b"\x00" for part in parts) + fingerprint + key.key_hash
        message += subject.encode() + b"\x00" + digest
        if signature["signer"] != key.signer or ("ml_dsa_65" in signature) != (kind in HYBRID):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key.ed25519).verify(base64.b64decode(signature["ed25519"]), message)
            if kind in HYBRID:
                dilithium = MLDSA65PublicKey.from_public_bytes(key.ml_dsa_65)
                dilithium.verify(base64.b64decode(signature["ml_dsa_65"]), message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def text(self, data: bytes, kind: str, subject: str, key: PublicKey) -> Json | None:
        """Return the body of a signed text, or None where this key did not sign it."""
        body, signature = split(data)
        if not self.holds(key, kind, subject, blake3(body).digest(), signature):
            return None
        value: Json = json.loads(body)
        return value

    def accepts(self, signer: str, digest: str) -> bool:
        """Whether a word of a signer counts: any, or where it was revoked, those that the revocation names."""
        return signer not in self.revocations or digest in self.revocations[signer]["commits"]

    def signers(self, signer: str, right: str) -> Iterator[Json]:
        """Yield the certificates of a signer that have a right."""
        yield from (one for one in self.certificates.get(signer, ()) if right in one["rights"])


def split(data: bytes) -> tuple[bytes, Json]:
    lines = data.split(b"\n")
    if len(lines) != 3 or lines[2]:
        raise ValueError("a signed text has two lines")
    body, signature = lines[0] + b"\n", json.loads(lines[1])
    if canonical(json.loads(body)) != body or canonical(signature) != lines[1] + b"\n":
        raise ValueError("a signed text is not canonical")
    return body, signature


def read_log(root: Path, header: Json, stored: bytes) -> Trust:
    """Return the state after all entries. A fork has to be seen by a person: this reader refuses one."""
    times = [(bytes.fromhex(one["fingerprint"]), one["owner"], tuple(one["log"])) for one in header.get("history", [])]
    times.append((blake3(stored).digest(), header["owner"], None))
    past = leading_to(root, times[-2][2]) if len(times) > 1 else set()
    trust = Trust(times[0][0], public_key(times[0][1]))
    names = sorted(path.name for path in root.glob("keys/log/*") if re.fullmatch("[0-9]{8}-[0-9a-f]{64}", path.name))
    for name in names:
        number, entry_hash = int(name[:8]), name[9:]
        data = (root / "keys/log" / name).read_bytes()
        body = trust.text(data, "log", f"keys/log/{name[:8]}", trust.owner)
        if blake3(data).hexdigest() != entry_hash or body is None or body["number"] != number:
            continue  # nobody's, or damaged
        if len(times) > 1 and entry_hash not in past:
            continue  # of an owner before this one, and not named by the header
        if number != trust.head[0] + 1 or body["previous"] != trust.head[1]:
            raise ValueError("the owner log is forked, or has a gap")
        trust.head = (number, entry_hash)
        for action in body["actions"]:
            apply(trust, action)
        if trust.head == times[0][2]:
            times.pop(0)
            trust.fingerprint, trust.owner = times[0][0], public_key(times[0][1])
    if len(times) > 1:
        raise ValueError("the owner log does not reach the end of its history")
    return trust


def leading_to(root: Path, head: Any) -> set[str]:
    """Return the hashes of the entries that lead to one."""
    found: set[str] = set()
    number, entry_hash = head
    while number:
        found.add(entry_hash)
        body, _ = split((root / f"keys/log/{number:08}-{entry_hash}").read_bytes())
        number, entry_hash = number - 1, json.loads(body)["previous"]
    return found


def apply(trust: Trust, action: Json) -> None:
    match action["action"]:
        case "certificate":
            if public_key(action).signer != action["signer"]:
                raise ValueError("a certificate is of another key")
            trust.certificates.setdefault(action["signer"], []).append(action)
            trust.certified.setdefault(action["signer"], []).append(trust.fingerprint)
        case "revoke":
            trust.revocations[action["signer"]] = action
        case "owner":
            trust.owner = public_key(action)
        case "domain":
            trust.domains[action["domain"], action["epoch"]] = action["root"]
        case "policy":
            trust.policy = action
        case "slots":
            trust.slots = action["slots"]
        case "features":
            if action["must_understand"]:
                raise ValueError("the repository has features that are unknown here")
