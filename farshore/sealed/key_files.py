"""Files that people and hosts hold: the credential of a host, a private identity, a recipient's line of text.

Pure: bytes in, bytes out. None ever enters a store. docs/reference/format.md, section 2.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import field

from farshore import crypto
from farshore.crypto import KEY_BYTES
from farshore.errors import ConfigInvalid, FormatTooNew, KeyFileDamaged, ObjectCorrupt, RepositoryMismatch
from farshore.format import JsonObject, decode_base64, decode_object, encode_canonical
from farshore.format.header import Header
from farshore.model import dataclass
from farshore.sealed import DomainKeys, KeySet, decode_domains, encode_domains
from farshore.signing import SigningKey

CREDENTIAL_FORMAT = "farshore-credential"
IDENTITY_FORMAT = "farshore-identity"
RECIPIENT_PREFIX = "farshore-recipient-1:"
VERSION = 1
_HINTS = {
    CREDENTIAL_FORMAT: "Make it anew with 'farshore key enroll', which needs the owner's passphrase once.",
    IDENTITY_FORMAT: "Use the copy of the identity that was kept elsewhere; nothing at the replicas is wrong.",
}
_RECIPIENT_CHECK_BYTES = 4


@dataclass(frozen=True)
class Credential:
    """A host's file instead of a passphrase: it signs, and has the keys of its domain or of footers, or none.

    `log`: number and hash of the newest entry of the owner log when it was made. `index_roots`: a maintainer's.
    """

    repository_id: str
    fingerprint: bytes
    role: str
    signing_key: SigningKey | None = field(repr=False)
    domains: tuple[DomainKeys, ...] = field(repr=False, default=())
    index_roots: tuple[bytes, ...] = field(repr=False, default=())
    log: tuple[int, str] = (0, "")


def encode_credential(credential: Credential) -> bytes:
    """Return the file of a credential."""
    value: JsonObject = {
        "format": CREDENTIAL_FORMAT, "version": VERSION, "repository": credential.repository_id,
        "fingerprint": credential.fingerprint.hex(), "role": credential.role, "log": list(credential.log),
    }  # fmt: skip
    if credential.signing_key is not None:
        value["signing_key"] = _text(credential.signing_key.secret)
    if credential.domains:
        value["domains"] = encode_domains(credential.domains)
    if credential.index_roots:
        value["index_roots"] = [_text(root) for root in credential.index_roots]
    return encode_canonical(value)


def decode_credential(data: bytes, where: str) -> Credential:
    """Return the credential of a file.

    Raises:
        KeyFileDamaged, FormatTooNew: It is cut, no credential, or of a later version.
    """
    value = _decode(data, CREDENTIAL_FORMAT, f"the credential {where}")
    try:
        domains = decode_domains(value.get("domains", {}))
        signing = value.get("signing_key")
        number, entry_hash = value["log"]
        return Credential(
            repository_id=str(value["repository"]),
            fingerprint=bytes.fromhex(value["fingerprint"]),
            role=str(value["role"]),
            signing_key=None if signing is None else SigningKey(decode_base64(signing, "a signing key")),
            domains=domains,
            index_roots=tuple(_key(root) for root in value.get("index_roots", ())),
            log=(int(number), str(entry_hash)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ObjectCorrupt) as error:
        raise KeyFileDamaged(f"the credential {where} is damaged: {error}", _HINTS[CREDENTIAL_FORMAT]) from error


def require_same(credential: Credential, header: Header, where: str) -> None:
    """Raise `RepositoryMismatch` where a credential is of another repository than the header."""
    if credential.repository_id != header.repository_id:
        raise RepositoryMismatch(
            f"the credential {where} belongs to repository {credential.repository_id}, not {header.repository_id}",
            "Point repository.credential at this repository's file, or make one with 'farshore key enroll'.",
        )
    if credential.fingerprint in header.past:
        raise RepositoryMismatch(
            f"the repository has a new owner since the credential {where} was made, and another fingerprint, "
            f"{header.fingerprint.hex()}",
            "Enroll this host anew with the new owner's key: 'farshore key enroll'.",
        )
    if credential.fingerprint != header.fingerprint:
        raise RepositoryMismatch(
            f"the credential {where} is of the repository with the fingerprint {credential.fingerprint.hex()}, and "
            f"the header here has {header.fingerprint.hex()}",
            "The header at this replica was exchanged. Heal it from a replica that still has the right one.",
        )


def credential_keys(
    credential: Credential, header: Header, public_key: bytes, domains: tuple[DomainKeys, ...], own: bytes
) -> KeySet:
    """Return the keys of a credential.

    Args:
        public_key: The one that data keys are sealed to now, from the owner log.
        domains: The keys of domains that it has, or that its index roots give.
        own: The key tag of what it writes; `bytes(16)` where it writes nothing sealed.
    """
    return KeySet(
        repository_id=header.repository_bytes,
        fingerprint=header.fingerprint,
        public_key=public_key,
        domains=domains,
        own=own,
        signing_key=credential.signing_key,
    )


def encode_identity(private_key: bytes, fingerprints: tuple[bytes, ...] = ()) -> bytes:
    """Return a private identity file. `fingerprints`: the repositories it was trusted with."""
    value: JsonObject = {
        "format": IDENTITY_FORMAT, "version": VERSION, "private_key": _text(private_key),
        "recipient": encode_recipient(crypto.public_key_of(private_key)),
    }  # fmt: skip
    if fingerprints:
        value["fingerprints"] = [one.hex() for one in fingerprints]
    return encode_canonical(value)


def decode_identity(data: bytes, where: str) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the private key of an identity file, and the fingerprints of repositories that it is trusted with.

    Raises:
        KeyFileDamaged: It is cut, or no identity.
    """
    value = _decode(data, IDENTITY_FORMAT, f"the identity file {where}")
    try:
        private_key = base64.b64decode(value["private_key"], validate=True)
        fingerprints = tuple(bytes.fromhex(text) for text in value.get("fingerprints", ()))
    except (KeyError, TypeError, ValueError):
        private_key, fingerprints = b"", ()
    if len(private_key) != crypto.PRIVATE_KEY_BYTES:
        raise KeyFileDamaged(f"the identity file {where} is damaged", _HINTS[IDENTITY_FORMAT])
    return private_key, fingerprints


def is_identity(data: bytes) -> bool:
    """Whether a file looks like a private identity, whole or not."""
    return IDENTITY_FORMAT.encode() in data[:4096]


def encode_recipient(public_key: bytes) -> str:
    """Return a public key as one line of text that may be shown to anyone.

    Its last bytes are a check, because a key with one letter wrong is a key too, and nobody's.
    """
    check = crypto.recipient_id(public_key)[:_RECIPIENT_CHECK_BYTES]
    return RECIPIENT_PREFIX + base64.urlsafe_b64encode(public_key + check).decode()


def decode_recipient(text: str) -> bytes:
    """Return the public key of a recipient's line of text."""
    invalid = ConfigInvalid(
        "a recipient is not valid text", "Copy the whole line that 'farshore key generate' printed."
    )
    try:
        data = base64.b64decode(text.strip().removeprefix(RECIPIENT_PREFIX), altchars=b"-_", validate=True)
    except ValueError as error:
        raise invalid from error
    public_key, check = data[:-_RECIPIENT_CHECK_BYTES], data[-_RECIPIENT_CHECK_BYTES:]
    if not text.strip().startswith(RECIPIENT_PREFIX) or len(public_key) != crypto.PUBLIC_KEY_BYTES:
        raise invalid
    if check != crypto.recipient_id(public_key)[:_RECIPIENT_CHECK_BYTES]:
        raise invalid
    return public_key


def _decode(data: bytes, expected: str, what: str) -> JsonObject:
    try:
        value = decode_object(data, what)
    except ObjectCorrupt as error:
        raise KeyFileDamaged(str(error), _HINTS[expected]) from error
    if value.get("format") != expected:
        raise KeyFileDamaged(f"{what} is not a {expected} file", _HINTS[expected])
    version = value.get("version")
    if not isinstance(version, int) or version < 1:
        raise KeyFileDamaged(f"{what} has no version", _HINTS[expected])
    if version > VERSION:
        raise FormatTooNew(f"{what} has version {version}; this Farshore knows {VERSION}")
    return value


def _mapping(value: object) -> Mapping[str, list[JsonObject]]:
    if not isinstance(value, dict):
        raise TypeError("domains are no object")
    return value


def _key(text: object) -> bytes:
    return decode_base64(text, "a key", KEY_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
