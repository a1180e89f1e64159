"""An owner log made for a test: who is certified for what, and who is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from farshore.format import encode_signed, names
from farshore.replicas.signed_texts import SignatureChecker
from farshore.sealed import KeySet
from farshore.signing import SignedKind, SigningKey, generate_signing_key, sign
from farshore.trust import TrustState, read_log
from farshore.trust.actions import Action, Certificate, Revocation, Right, SourcePrefix
from farshore.trust.log_entry import Era, LogHead, make_entry

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
FINGERPRINT = b"f" * 32
PREFIX = SourcePrefix("3" * 16)


@dataclass
class MadeLog:
    """An owner log that grows; `checker` sees `shown` of it, and after it has read again, all of it."""

    owner: SigningKey = field(default_factory=generate_signing_key)
    entries: dict[str, bytes] = field(default_factory=dict)
    head: LogHead | None = None
    shown: TrustState | None = None
    readings: int = 0

    def append(self, *actions: Action) -> None:
        """Add an entry, which is shown at once."""
        self.head, data = make_entry(
            self.owner, fingerprint=FINGERPRINT, previous=self.head, made_utc=MOMENT, actions=list(actions)
        )
        self.entries[self.head.name] = data
        self.shown = self.all

    def certify(self, *rights: Right, key: SigningKey | None = None, shown: bool = True) -> SigningKey:
        """Return a key that is certified for these rights."""
        key = key or generate_signing_key()
        before = self.shown or read_log((Era(FINGERPRINT, self.owner.verify_key),), {})
        self.append(
            Certificate(
                key.verify_key, "host", "a role", "main", PREFIX, frozenset(rights), MOMENT, MOMENT + timedelta(days=9)
            )
        )
        if not shown:
            self.shown = before
        return key

    def revoke(self, key: SigningKey, accepted: Sequence[str] = ()) -> None:
        """Let nothing of a key count any more, but for these commits."""
        self.append(Revocation(key.signer_id, frozenset(accepted), {}, "stolen"))

    @property
    def all(self) -> TrustState:
        """Return what the whole log says."""
        return read_log((Era(FINGERPRINT, self.owner.verify_key),), self.entries)

    @property
    def checker(self) -> SignatureChecker:
        """Return a checker that knows what is shown."""
        return SignatureChecker(self._trust, self._read_again)

    def _trust(self) -> TrustState:
        return self.shown or self.all

    def _read_again(self) -> bool:
        self.readings += 1
        self.shown = self.all
        return True


def signed_text(
    key: SigningKey, kind: SignedKind, subject: str, body: bytes, fingerprint: bytes = FINGERPRINT
) -> bytes:
    """Return the stored bytes of a text that this key signed."""
    digest = bytes.fromhex(names.hash_of(body))
    return encode_signed(body, sign(key, kind, fingerprint=fingerprint, subject=subject, digest=digest))


def keys_of(key: SigningKey | None, index_key: bytes = b"i" * 32) -> KeySet:
    """Return a key set with this signing key, and nothing else that a lease needs."""
    return KeySet(b"r" * 16, FINGERPRINT, bytes(1216), (), bytes(16), signing_key=key)
