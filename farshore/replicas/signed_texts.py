"""Signed texts of leases, plans and tombstones: made with this host's key, and checked by the owner log.

The signature is checked before the body is parsed, so a planted object costs one signature check.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from farshore import signing
from farshore.errors import READ_ERRORS, ObjectCorrupt, SourceNotEnrolled
from farshore.format import JsonObject, decode_canonical, encode_signed, names, split_signed
from farshore.format.names import object_bytes_max
from farshore.model import dataclass
from farshore.replicas.owner_log import read_owner_log
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.signing import SignedKind
from farshore.trust import TrustState


@dataclass(frozen=True, slots=True)
class CheckedText:
    """The body of a text whose signature holds, and its signer, whose rights are not judged."""

    value: JsonObject
    signer: str


@dataclass
class SignatureChecker:
    """Checks signatures by the owner log as this process knows it. Safe from many threads.

    `trust`: gives the log as it is known now. `read_again`: reads it anew; False where that failed.
    """

    trust: Callable[[], TrustState]
    read_again: Callable[[], bool]

    @classmethod
    def of(cls, repository: Repository) -> SignatureChecker:
        """Return that of a repository."""
        return cls(lambda: repository.trust, lambda: _read_log_again(repository))

    def reading_once(self) -> SignatureChecker:
        """Return one that reads the log anew once at most: so that planted objects do not make it read all day."""
        readings = iter((self.read_again,))
        lock = threading.Lock()

        def read_again() -> bool:
            with lock:  # the others wait for what the first one reads
                first = next(readings, None)
                return first() if first is not None else True

        return SignatureChecker(self.trust, read_again)

    def learns_signer(self, name: str, data: bytes) -> bool:
        """Read the log anew where a text names a signer that nobody has certified; whether it may be known now."""
        try:
            _, signature = split_signed(data, name, object_bytes_max(name))
        except ObjectCorrupt:
            return False
        return signature.signer not in self.trust().certificates and self.read_again()

    def check(self, kind: SignedKind, name: str, data: bytes, subject: str | None = None) -> CheckedText | None:
        """Return a text whose signature holds under a certificate, revoked or not; None for anything else.

        Args:
            subject: The name that the signature covers, where it is not the whole name.
        """
        try:
            body, signature = split_signed(data, name, object_bytes_max(name))
            digest = bytes.fromhex(names.hash_of(body))
            holds = self.trust().holds(kind, signature, subject=subject or name, digest=digest)
            return CheckedText(decode_canonical(body, name), signature.signer) if holds else None
        except ObjectCorrupt:
            return None


def sign_text(keys: KeySet, kind: SignedKind, subject: str, body: bytes) -> bytes:
    """Return the stored bytes of a text, signed with this host's key.

    Raises:
        SourceNotEnrolled: The keys at hand sign nothing.
    """
    key = keys.signing_key
    if key is None:
        raise SourceNotEnrolled("this credential signs nothing, so it cannot write here")
    digest = bytes.fromhex(names.hash_of(body))
    return encode_signed(body, signing.sign(key, kind, fingerprint=keys.fingerprint, subject=subject, digest=digest))


def _read_log_again(repository: Repository) -> bool:
    """Read the owner log anew: who signed an object may have been certified since this process began."""
    try:
        log = read_owner_log(repository, repository.trust.head)
    except READ_ERRORS:
        return False
    if not log.state.rolled_back:
        repository.log = log
    return True
