"""The keys of a repository: from the credential of this host, an identity file or the passphrase."""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from pathlib import Path

from farshore.config import Config, read_private_file
from farshore.errors import (
    CredentialCannotRead,
    FarshoreError,
    HeaderDamaged,
    KeyMissing,
    SecretUnavailable,
    WrongPassphrase,
)
from farshore.format import names
from farshore.format.header import Header
from farshore.host_resources import forbid_core_dumps
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import slots
from farshore.sealed.keys import KeySet

CREDENTIAL_FILE = "credential.json"
_WRITE_ONLY = "this host holds only a write-only credential, which adds backups and cannot read one"
_READ_ELSEWHERE = (
    "Run this on another machine, one that has the passphrase or an identity; or give this host one for this run alone."
)
_log = logging.getLogger(__name__)


class Need(StrEnum):
    """Which keys an operation needs."""

    NONE = "none"
    WRITE = "write"
    READ = "read"
    MOST = "most"  # a reader's where this host has one, else a writer's
    ANY = "any"  # a writer's where this host has anything to open them with, else none


def credential_path(config: Config, header: Header) -> Path:
    """Return where this host's write-only credential is kept."""
    return config.repository.credential or config.state_dir / "credentials" / header.repository_id / CREDENTIAL_FILE


def has_secret(config: Config, header: Header) -> bool:
    """Whether the configuration names a passphrase or an identity, or this host has a credential of this repository."""
    named = config.repository.passphrase or config.repository.identity
    return named is not None or credential_path(config, header).is_file()


def unlock(config: Config, repository: Repository, need: Need) -> KeySet:
    """Return the keys from the host's credential, an identity file or the passphrase, whichever serves the need.

    From here on this process leaves no core dump.
    """
    forbid_core_dumps()
    if need is Need.MOST:
        try:
            return unlock(config, repository, Need.READ)
        except CredentialCannotRead:
            return unlock(config, repository, Need.WRITE)
    header = repository.header
    path = credential_path(config, header)
    if need is Need.WRITE and (credential := _read_credential(config, path)) is not None:
        return slots.decode_credential(credential, header, str(path))
    write_only = os.path.lexists(path)
    if config.repository.identity is None and config.repository.passphrase is None:
        if write_only:
            raise CredentialCannotRead(_WRITE_ONLY, _READ_ELSEWHERE)
        raise KeyMissing(
            "there is no passphrase, identity or credential to open the repository with",
            'Set repository.passphrase = { env = "FARSHORE_PASSPHRASE" } in farshore.toml, and the variable.',
        )
    identity, passphrase = b"", b""
    try:
        if config.repository.identity is not None:
            identity = _read_identity(config.repository.identity)
        if config.repository.passphrase is not None:
            passphrase = config.reveal_passphrase(config.repository.passphrase)
    except (SecretUnavailable, KeyMissing) as error:
        if not write_only or not _were_removed(config):
            raise
        raise CredentialCannotRead(f"{_WRITE_ONLY} ({error.message})", _READ_ELSEWHERE) from error
    return open_slots(repository, passphrase=passphrase, identity=identity)


def _were_removed(config: Config) -> bool:
    """Whether a key that the configuration names is not on this host, as after it was enrolled."""
    identity, passphrase = config.repository.identity, config.repository.passphrase
    return (identity is not None and not os.path.lexists(identity)) or (
        passphrase is not None and passphrase.is_absent(config.environment)
    )


def _read_credential(config: Config, path: Path) -> bytes | None:
    """Return this host's credential, or None where there is none, or where the keys are available without it.

    Raises:
        KeyMissing: It is there, cannot be read, and there is nothing else.
        SecretUnavailable: Others can read it.
    """
    try:
        return read_private_file(path, "credential")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        trouble = f"the credential {path} cannot be read: {error.strerror}"
        if config.repository.identity is None and config.repository.passphrase is None:
            raise KeyMissing(trouble, "Run as the user that it belongs to, or let this one read it.") from error
        _log.warning("%s; the passphrase or identity is used instead", trouble)
        return None


def _read_identity(path: Path) -> bytes:
    try:
        return slots.decode_identity(read_private_file(path, "identity file"), str(path))
    except OSError as error:
        raise KeyMissing(
            f"the identity file {path} cannot be read: {error.strerror}", "Check repository.identity."
        ) from error


def open_slots(repository: Repository, *, passphrase: str | bytes, identity: bytes) -> KeySet:
    """Try every key slot of the replicas; a slot damaged at one replica is read from the next.

    Raises:
        WrongPassphrase: Slots were read and none opens.
        HeaderDamaged: No slot could be read.
    """
    tried: set[str] = set()
    asked: set[str] = set()
    damaged: FarshoreError | None = None
    reader = open_reader(repository)
    while left := repository.replicas.keys() - asked:
        try:
            replica, listed = reader.among(left).ask(names.SLOTS, _list_slots)
        except FarshoreError as error:
            damaged = error
            break
        asked.add(replica.name)
        for name in listed:
            if name in tried:
                continue
            try:
                keys = reader.get(
                    name,
                    lambda data: slots.open_slot(data, repository.header, passphrase=passphrase, identity=identity),
                )
            except FarshoreError as error:
                damaged = error
                continue
            tried.add(name)
            if keys is not None:
                return keys
    if tried:
        raise WrongPassphrase("the passphrase or identity opens none of the repository's key slots")
    raise damaged or HeaderDamaged("the repository has no key slot", "Copy keys/slots from another replica.")


def _list_slots(replica: Replica) -> tuple[Replica, list[str]]:
    return replica, [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
