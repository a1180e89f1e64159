"""The keys of a repository: from the credential of this host, an identity file or the passphrase."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from farshore.access.open_slots import Secrets, newest_epoch, open_slots, slot_keys
from farshore.config import RUN_SECRETS, Config, credentials_directory, read_private_file
from farshore.errors import (
    OPENING_ERRORS,
    CredentialCannotRead,
    FingerprintUnknown,
    KeyFileDamaged,
    KeyMissing,
    KeyRevoked,
    LogRolledBack,
    SecretUnavailable,
)
from farshore.format.header import Header
from farshore.host_resources import forbid_core_dumps
from farshore.replicas.repository import Repository
from farshore.sealed.key_files import (
    Credential,
    credential_keys,
    decode_credential,
    decode_identity,
    require_same,
)
from farshore.sealed.keys import KeySet, Role, index_keys_only
from farshore.trust.actions import Right
from farshore.trust.log_entry import LogHead
from farshore.trust.words import to_words

CREDENTIAL_FILE = "credential.json"
OWNER_VARIABLE = "FARSHORE_OWNER_PASSPHRASE"
OWNER_IDENTITY_VARIABLE = "FARSHORE_OWNER_IDENTITY"
_WRITE_ONLY = "this host holds only a write-only credential, which adds backups and cannot read one"
_READ_ELSEWHERE = (
    "Run this on another machine, one that has the passphrase or an identity; or give this host one for this run alone."
)
_log = logging.getLogger(__name__)
Confirm = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Anchor:
    """Whether something on this host vouches for the header; else whom to ask. A passphrase vouches by itself."""

    pinned: bool
    confirm: Confirm | None = None


class Need(StrEnum):
    """Which keys an operation needs."""

    NONE = "none"
    WRITE = "write"
    READ = "read"
    MOST = "most"  # a reader's where this host has one, else a writer's
    ANY = "any"  # a writer's where this host has anything to open them with, else none
    OWNER = "owner"  # an owner's, with a reader's beside them where the same secret opens both


def credential_path(config: Config, header: Header) -> Path:
    """Return where this host's write-only credential is kept."""
    return config.repository.credential or config.state_dir / "credentials" / header.repository_id / CREDENTIAL_FILE


def has_secret(config: Config, header: Header) -> bool:
    """Whether the configuration names a passphrase or an identity, or this host has a credential of this repository."""
    return _names_secret(config) or credential_path(config, header).is_file()


def _names_secret(config: Config) -> bool:
    repository = config.repository
    return bool(repository.passphrase or repository.identity or repository.shares)


def unlock(config: Config, repository: Repository, need: Need, anchor: Anchor, *, right: Right | None = None) -> KeySet:
    """Return the keys from the host's credential, an identity file or the passphrase, whichever serves the need.

    From here on this process leaves no core dump.

    Args:
        right: Of the keys to write with, those are preferred whose signer has this right.
    """
    forbid_core_dumps()
    if need is Need.MOST:
        try:
            return unlock(config, repository, Need.READ, anchor)
        except CredentialCannotRead:
            return unlock(config, repository, Need.WRITE, anchor)
    path = credential_path(config, repository.header)
    if need is Need.WRITE and (credential := read_credential(config, path)) is not None:
        require_same(credential, repository.header, str(path))
        keys = keys_of_credential(repository, credential)
        return keys if _has_right(repository, keys, right) else _instead(config, repository, anchor, right, keys)
    write_only = os.path.lexists(path)
    if not _names_secret(config):
        if write_only:
            raise CredentialCannotRead(_WRITE_ONLY, _READ_ELSEWHERE)
        raise KeyMissing(
            "there is no passphrase, identity or credential to open the repository with",
            'Set repository.passphrase = { env = "FARSHORE_PASSPHRASE" } in farshore.toml, and the variable.',
        )
    try:
        secrets = read_secrets(config)
    except (SecretUnavailable, KeyMissing) as error:
        if not write_only or not _were_removed(config):
            raise
        raise CredentialCannotRead(f"{_WRITE_ONLY} ({error.message})", _READ_ELSEWHERE) from error
    secrets = _vouched(secrets, repository, anchor)
    if need is Need.OWNER:
        opened = open_slots(repository, _vouched(owner_secrets(config, secrets), repository, anchor), Role.OWNER)
        reading = open_slots(repository, secrets, Role.READER, required=False)
        return slot_keys(repository, *opened, *reading)
    return slot_keys(repository, *open_slots(repository, secrets, Role.READER))


def _has_right(repository: Repository, keys: KeySet, right: Right | None) -> bool:
    return right is None or (
        keys.signing_key is not None and repository.trust.may(keys.signing_key.signer_id, right.value)
    )


def _instead(config: Config, repository: Repository, anchor: Anchor, right: Right | None, keys: KeySet) -> KeySet:
    """Return a reader's keys where they have the right that those of this host's credential lack; else these."""
    try:
        reading = unlock(config, repository, Need.READ, anchor)
    except OPENING_ERRORS:
        return keys
    return reading if _has_right(repository, reading, right) else keys


def _vouched(secrets: Secrets, repository: Repository, anchor: Anchor) -> Secrets:
    """Return what may be used. Anybody can seal a slot to a recipient, so an identity alone vouches for no header."""
    fingerprint = repository.header.fingerprint
    if anchor.pinned or not secrets.identity or (anchor.confirm is not None and anchor.confirm(fingerprint)):
        return secrets
    if secrets.passphrase or secrets.shares_secret:
        return replace(secrets, identity=b"")
    raise FingerprintUnknown(
        f"nothing on this host vouches for this repository, whose fingerprint is {fingerprint.hex()} "
        f"({to_words(fingerprint)})"
    )


def read_secrets(config: Config) -> Secrets:
    """Return the passphrase, the identity and the secret of shares that the configuration names.

    Raises:
        SecretUnavailable, KeyMissing, KeyFileDamaged: One that it names cannot be had.
    """
    identity, passphrase, shares_secret = b"", b"", b""
    if config.repository.identity is not None:
        identity, _ = _read_identity(config.repository.identity)
    if config.repository.passphrase is not None:
        passphrase = config.reveal_passphrase(config.repository.passphrase)
    if config.repository.shares:
        from farshore.sealed.shares import join_shares

        shares_secret = join_shares([_read_share(path) for path in config.repository.shares])
    return Secrets(passphrase=passphrase, identity=identity, shares_secret=shares_secret)


def owner_secrets(config: Config, secrets: Secrets) -> Secrets:
    """Return the secrets for the owner's slots: those of the owner alone go before those that read.

    Raises:
        KeyMissing, KeyFileDamaged, SecretUnavailable: The owner's identity file cannot be had.
    """
    given, path = (config.environment.get(name) for name in (OWNER_VARIABLE, OWNER_IDENTITY_VARIABLE))
    if given:
        secrets = replace(secrets, passphrase=os.fsencode(given))
    if path:
        secrets = replace(secrets, identity=_read_identity(Path(path).expanduser())[0])
    return secrets


def _read_share(path: Path | str) -> str:
    if isinstance(path, str):
        return path
    try:
        return read_private_file(path, "share").decode("utf-8", "replace")
    except OSError as error:
        raise KeyMissing(f"the share {path} cannot be read: {error.strerror}", "Check repository.shares.") from error


def read_credential(config: Config, path: Path) -> Credential | None:
    """Return this host's credential, or None where there is none, or where the keys are available without it.

    Raises:
        KeyMissing: It is there, cannot be read, and there is nothing else.
        SecretUnavailable: Others can read it.
        KeyFileDamaged: It is cut.
    """
    try:
        by_systemd = (*RUN_SECRETS, credentials_directory(config.environment))
        return decode_credential(read_private_file(path, "credential", by_systemd), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        trouble = f"the credential {path} cannot be read: {error.strerror}"
        if not _names_secret(config):
            raise KeyMissing(trouble, "Run as the user that it belongs to, or let this one read it.") from error
        _log.warning("%s; the passphrase or identity is used instead", trouble)
        return None


def keys_of_credential(repository: Repository, credential: Credential) -> KeySet:
    """Return the keys that a credential gives in a repository with its owner log.

    Raises:
        KeyRevoked: Its certificate was revoked, or there is none.
        LogRolledBack: The log lacks the entry that the credential was made with.
    """
    trust, header = repository.trust, repository.header
    if not trust.knows(LogHead(*credential.log)):
        raise LogRolledBack(
            f"the owner log lacks entry {credential.log[0]}, with which this host's credential was made"
        )
    domains = credential.domains
    for number, root in enumerate(credential.index_roots):
        domains += tuple(
            index_keys_only(root, domain, one.epoch, header.repository_bytes)
            for domain, epochs in trust.domains.items()
            for one in epochs
            if one.root == number
        )
    own = bytes(16)
    if credential.signing_key is not None:
        signer = credential.signing_key.signer_id
        certified = trust.certificate(signer)
        if certified is None:
            raise KeyRevoked(f"the owner log has no certificate of this host's key {signer}")
        if signer in trust.revocations:
            reasons = "; ".join(trust.revocations[signer].reasons)
            raise KeyRevoked(f"this host's key {signer} was revoked ({reasons})")
        own = newest_epoch(domains, certified.certificate.domain)
    return credential_keys(credential, header, trust.recipient, domains, own)


def _were_removed(config: Config) -> bool:
    """Whether a key that the configuration names is not on this host, as after it was enrolled."""
    identity, passphrase = config.repository.identity, config.repository.passphrase
    return (identity is not None and not os.path.lexists(identity)) or (
        passphrase is not None and passphrase.is_absent(config.environment)
    )


def read_identity_pins(path: Path) -> tuple[bytes, ...]:
    """Return the fingerprints that an identity file is trusted with; none where it cannot be read."""
    try:
        return _read_identity(path)[1]
    except (KeyMissing, KeyFileDamaged, SecretUnavailable):
        return ()


def _read_identity(path: Path) -> tuple[bytes, tuple[bytes, ...]]:
    try:
        return decode_identity(read_private_file(path, "identity file"), str(path))
    except OSError as error:
        raise KeyMissing(
            f"the identity file {path} cannot be read: {error.strerror}", "Check repository.identity."
        ) from error
