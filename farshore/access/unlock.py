"""The keys of a repository: from the credential of this host, an identity file or the passphrase."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from farshore.config import NOT_A_SERVICE, RUN_SECRETS, Config, credentials_directory, read_private_file
from farshore.errors import (
    OPENING_ERRORS,
    CredentialCannotRead,
    KeyMissing,
    KeyRevoked,
    LogRolledBack,
    SecretUnavailable,
)
from farshore.format.header import Header
from farshore.host_resources import forbid_core_dumps
from farshore.model import dataclass
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet, index_keys_only, newest_epoch
from farshore.sealed.key_files import (
    Credential,
    credential_keys,
    decode_credential,
    require_same,
)
from farshore.trust.actions import Right
from farshore.trust.log_entry import LogHead

CREDENTIAL_FILE = "credential.json"
_WRITE_ONLY = "this host holds only a credential, which may add or check backups and cannot read one"
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
    return names_secret(config) or credential_path(config, header).is_file()


def names_secret(config: Config) -> bool:
    """Whether the configuration names a passphrase, an identity or shares, which may open more than a credential."""
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
    if not names_secret(config):
        if write_only:
            raise CredentialCannotRead(_WRITE_ONLY, _READ_ELSEWHERE)
        if config.repository.credential is not None:
            raise _credential_missing(path)
        raise KeyMissing(
            "there is no passphrase, identity or credential to open the repository with",
            'Set repository.passphrase = { env = "FARSHORE_PASSPHRASE" } in farshore.toml, and the variable.',
        )
    from farshore.access.secrets import keys_of_secrets, read_secrets  # an enrolled host that writes opens no slot

    try:
        secrets = read_secrets(config)
    except (SecretUnavailable, KeyMissing) as error:
        if not write_only or not _were_removed(config):
            raise
        raise CredentialCannotRead(f"{_WRITE_ONLY} ({error.message})", _READ_ELSEWHERE) from error
    return keys_of_secrets(config, repository, secrets, anchor, owner=need is Need.OWNER)


def _credential_missing(path: Path) -> KeyMissing:
    if path.parent == NOT_A_SERVICE:
        return KeyMissing(
            f"the credential {path.name!r} is one that systemd hands to a service, and this is none",
            f"Run it in the service that has LoadCredential={path.name}: or LoadCredentialEncrypted=.",
        )
    return KeyMissing(
        f"this host's credential {path} is not there",
        "Move it there, mode 0600; the owner makes one with 'farshore key enroll HOST --out FILE'.",
    )


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
        if not names_secret(config):
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
    domains = tuple(replace(one, readers=trust.readers_of(one.domain, one.epoch)) for one in credential.domains)
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
