"""Commits as they are stored: signed, with sealed details; and whether stored bytes are a commit that counts.

That is by their hash, their signature, and what the owner log says; nobody's key is needed for it. A commit that does
not count is refused with a reason, shown, and never used unasked. Its details, names, counts and facts of the snapshot,
are (docs/reference/format.md, section 5)

    salt (32) ‖ AES-256-GCM under derive(index key, `commit`, salt)

so that only holders of the domain's index key read what a source is called, and nobody puts it into another commit.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import limits, signing
from farshore.crypto import TAG_BYTES, associated, derive_key
from farshore.errors import FormatTooNew, ObjectCorrupt, SourceNotEnrolled
from farshore.format import decode_signed, encode_signed, names
from farshore.format.commit import Commit, CommitHead, decode_commit, decode_head, encode_commit, encode_details
from farshore.format.names import CommitName
from farshore.model import dataclass
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet, key_tag
from farshore.signing import SignedKind
from farshore.trust import Judgment
from farshore.trust.actions import Right

DETAILS_SALT_BYTES = 32
_NONCE = bytes(12)  # the salt makes each key single-use


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


def seal_details(keys: KeySet, commit: Commit, salt: bytes) -> bytes:
    """Return the details of a commit, sealed under the keys of its domain and epoch.

    Args:
        salt: 32 bytes that were never used before.
    """
    return salt + _aead(keys, commit, salt).encrypt(_NONCE, encode_details(commit), _associated(keys, commit))


def open_details(keys: KeySet, head: CommitHead, sealed: bytes) -> Commit:
    """Return a commit with its details.

    Raises:
        KeyMissing: It is of a domain or an epoch whose keys these are not.
        ObjectCorrupt: The details do not open, or are incomplete.
    """
    what = f"the commit of snapshot {head.snapshot}"
    if len(sealed) < DETAILS_SALT_BYTES + TAG_BYTES:
        raise ObjectCorrupt(f"{what} is cut short in its sealed part")
    salt, text = sealed[:DETAILS_SALT_BYTES], sealed[DETAILS_SALT_BYTES:]
    try:
        details = _aead(keys, head, salt).decrypt(_NONCE, text, _associated(keys, head))
    except InvalidTag as error:
        raise ObjectCorrupt(f"{what} does not open with the keys of its domain") from error
    return decode_commit(head, details, what)


def _aead(keys: KeySet, head: CommitHead, salt: bytes) -> AESGCM:
    index_key = keys.at(key_tag(head.domain, head.epoch)).index_key
    return AESGCM(derive_key(index_key, "commit", keys.repository_id, salt))


def _associated(keys: KeySet, head: CommitHead) -> bytes:
    return associated("commit", keys.repository_id, bytes.fromhex(head.source_id), bytes.fromhex(head.snapshot))
