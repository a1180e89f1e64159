"""Whether stored bytes are a commit that counts: by their hash, their signature, and what the owner log says.

Nobody's key is needed for that. A commit that does not count is refused with a reason, shown, and never used unasked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from farshore import limits, signing
from farshore.errors import FormatTooNew, ObjectCorrupt, SourceNotEnrolled
from farshore.format import names
from farshore.format.commit import Commit, CommitHead, decode_head, encode_commit
from farshore.format.names import CommitName
from farshore.format.text import decode_signed, encode_signed
from farshore.replicas.repository import Repository
from farshore.sealed.commit_details import seal_details
from farshore.sealed.keys import KeySet
from farshore.signing import SignedKind
from farshore.trust.actions import Right
from farshore.trust.log import Judgment


class Refusal(StrEnum):
    """Why a commit does not count."""

    UNSIGNED = "unsigned"  # not in the form of a commit, or its signature does not hold
    UNKNOWN_SIGNER = "unknown-signer"
    NO_RIGHT = "no-right"
    NOT_ITS_SOURCE = "not-its-source"
    NOT_ITS_DOMAIN = "not-its-domain"
    REVOKED = "revoked"
    LIST_MISSING = "list-missing"
    ROLLED_BACK = "rolled-back"
    TOO_NEW = "format-too-new"
    DAMAGED = "damaged"  # no copy has the hash in its name, or its signer sealed no details into it


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A commit whose signature holds, its sealed details, and its stored bytes. Whether it counts `judge` says."""

    head: CommitHead
    sealed: bytes
    stored: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes of a commit's name that are no signed commit. `signer`: whom they name, as far as they name anybody.

    `unproven`: their content, where nobody knows the key that would prove it.
    """

    reason: Refusal
    signer: str = ""
    unproven: SignedCommit | None = None


def sign_commit(keys: KeySet, commit: Commit, salt: bytes) -> tuple[Commit, bytes]:
    """Return a commit with its hash and signer, and the bytes to store.

    Args:
        salt: 32 bytes that were never used before.

    Raises:
        SourceNotEnrolled: The keys at hand sign nothing.
    """
    key = keys.signing_key
    if key is None:
        raise SourceNotEnrolled("this credential signs nothing, so it cannot commit a snapshot")
    body = encode_commit(commit, seal_details(keys, commit, salt))
    digest = bytes.fromhex(names.hash_of(body))
    signature = signing.sign(
        key, SignedKind.COMMIT, fingerprint=keys.fingerprint, subject=commit.subject, digest=digest
    )
    stored = encode_signed(body, signature)
    return replace(commit, hash=names.hash_of(stored), signer=key.signer_id), stored


def read_signed(repository: Repository, name: CommitName, stored: bytes) -> SignedCommit | Refused:
    """Return a commit whose signature holds, or why there is none in these bytes, whatever replica gives them.

    Raises:
        ObjectCorrupt: They do not hash to the name, so another replica may have the commit.
    """
    if names.hash_of(stored) != name.hash:
        raise ObjectCorrupt(f"{name.name} is altered: its bytes do not hash to its name")
    try:
        text = decode_signed(stored, name.name, limits.COMMIT_BYTES_MAX)
    except ObjectCorrupt:
        return Refused(Refusal.UNSIGNED)
    signer = text.signature.signer
    if repository.trust.certificate(signer) is None:
        said = _decoded(name, text.value, signer, stored)
        return Refused(Refusal.UNKNOWN_SIGNER, signer, said if isinstance(said, SignedCommit) else None)
    subject, digest = names.commit_subject(name.source_id, name.snapshot_id), bytes.fromhex(names.hash_of(text.body))
    holds = repository.trust.holds(SignedKind.COMMIT, text.signature, subject=subject, digest=digest)
    if not holds:
        return Refused(Refusal.UNSIGNED, signer)
    return _decoded(name, text.value, signer, stored)


def read_trusted(name: CommitName, stored: bytes) -> SignedCommit | Refused:
    """As `read_signed`, of bytes whose signature this host has checked before."""
    text = decode_signed(stored, name.name, limits.COMMIT_BYTES_MAX)
    return _decoded(name, text.value, text.signature.signer, stored)


def judge(repository: Repository, head: CommitHead) -> Refusal | None:
    """Return why a commit, whose signature holds, does not count by the owner log as it is now; None where it does."""
    judgment = repository.trust.judge_commit(head.signer, head.hash, head.source_id)
    if judgment is not Judgment.ACCEPTED:
        return Refusal(judgment.value)
    certificates = (one.certificate for one in repository.trust.certificates.get(head.signer, ()))
    if not any(one.domain == head.domain for one in certificates if Right.BACKUP in one.rights):
        return Refusal.NOT_ITS_DOMAIN
    return None


def _decoded(name: CommitName, value: dict[str, object], signer: str, stored: bytes) -> SignedCommit | Refused:
    try:
        head, sealed = decode_head(value, name.name)
    except FormatTooNew:
        return Refused(Refusal.TOO_NEW, signer)
    except ObjectCorrupt:
        return Refused(Refusal.UNSIGNED, signer)
    if (head.source_id, head.snapshot) != (name.source_id, name.snapshot_id):
        return Refused(Refusal.UNSIGNED, signer)
    return SignedCommit(replace(head, hash=name.hash, signer=signer), sealed, stored)
