"""Keys by what a person holds: the passphrase, identity or shares that the configuration names, and slots they open."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.access.open_slots import Secrets, open_slots, slot_keys
from farshore.config import Config, read_private_file
from farshore.errors import FingerprintUnknown, KeyFileDamaged, KeyMissing, SecretUnavailable, WrongPassphrase
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet, Role
from farshore.sealed.key_files import decode_identity
from farshore.trust.words import to_words

if TYPE_CHECKING:
    from farshore.access.unlock import Anchor

OWNER_VARIABLE = "FARSHORE_OWNER_PASSPHRASE"
OWNER_IDENTITY_VARIABLE = "FARSHORE_OWNER_IDENTITY"


def keys_of_secrets(config: Config, repository: Repository, secrets: Secrets, anchor: Anchor, *, owner: bool) -> KeySet:
    """Return the keys of slots that the secrets open, once something vouches for the header.

    Args:
        owner: Open an owner's slot, and a reader's beside it where the same secrets do; else a reader's.

    Raises:
        FingerprintUnknown, WrongPassphrase, HeaderDamaged: Nothing vouches for it, or no slot opens or can be read.
    """
    secrets = _vouched(secrets, repository, anchor)
    if owner:
        opened = open_slots(repository, _vouched(owner_secrets(config, secrets), repository, anchor), Role.OWNER)
        reading = open_slots(repository, secrets, Role.READER, required=False)
        return slot_keys(repository, *opened, *reading)
    try:
        return slot_keys(repository, *open_slots(repository, secrets, Role.READER))
    except WrongPassphrase:
        of_domains = open_slots(repository, secrets, Role.DOMAIN_READER, required=False) if secrets.identity else ()
        if not of_domains:
            raise
        return slot_keys(repository, *of_domains)


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
