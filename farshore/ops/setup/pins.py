"""The fingerprint and the newest entry of the owner log that this host, or an identity file, holds to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.read_trust import recall
from farshore.access.unlock import Need
from farshore.clock import Clock
from farshore.config import Config, read_private_file
from farshore.errors import ConfigInvalid, LogRolledBack
from farshore.model import dataclass
from farshore.replicas.repository import Repository
from farshore.sealed.key_files import decode_identity, encode_identity
from farshore.trust.log_entry import LogHead
from farshore.trust.memory import replace_head
from farshore.trust.words import parse_fingerprint, to_words


@dataclass(frozen=True, slots=True)
class Trusted:
    """The pins of this host from now on. `identity`: the file that was pinned, or empty. `entry`: of the log."""

    repository_id: str
    fingerprint: str
    fingerprint_words: str
    entry: int
    entry_hash: str
    identity: str = ""


def trust(
    config: Config,
    fingerprint: str,
    *,
    identity: Path | None = None,
    older_log: bool = False,
    entry: str = "",
    clock: Clock,
) -> Trusted:
    """Hold this host to a fingerprint, and to the newest entry of the log. Writes nothing at the replicas.

    Args:
        fingerprint: Hex digits or words, at least half of it; some replica must show it.
        identity: An identity file that gets the fingerprint, too.
        older_log: Go on with the log that the replicas show, although this host has seen a newer one.
        entry: The beginning of the hash of an entry: of a divided log, the branch that this host follows.

    Raises:
        RepositoryMismatch: No replica has this fingerprint, or this host knows the repository by another.
        LogRolledBack: The log is older than what this host has seen.
        ConfigInvalid: There is no such entry.
    """
    parse_fingerprint(fingerprint)
    pinned = replace(config, repository=replace(config.repository, fingerprint=fingerprint))
    decides = older_log or bool(entry)
    with open_repository(pinned, need=Need.NONE, writes=Writes.NONE, older_log=decides, clock=clock) as repository:
        repository.memory = recall(config.state_dir, repository.repository_id)
        head = _chosen(repository, entry) if entry else repository.trust.head
        known = repository.header.fingerprint
        if decides:
            if head is None or (not older_log and _is_older(repository)):
                raise LogRolledBack("this entry is older than the newest that this host has seen")
            replace_head(config.state_dir, repository.repository_id, known.hex(), head, repository.header.past)
        if identity is not None:
            pin_identity(identity, known, repository.header.past)
        return Trusted(
            repository.repository_id,
            known.hex(),
            to_words(known),
            head.number if head else 0,
            head.hash if head else "",
            str(identity) if identity is not None else "",
        )


def _is_older(repository: Repository) -> bool:
    """Whether the replicas lack the entry that this host remembers: then no branch can be chosen without saying so."""
    remembered = repository.memory.head if repository.memory is not None else None
    return remembered is not None and not repository.trust.knows(remembered)


def _chosen(repository: Repository, entry: str) -> LogHead:
    found = [head for head in repository.trust.heads if head.hash.startswith(entry)]
    if len(found) != 1:
        raise ConfigInvalid(
            f"{len(found)} entries of the owner log begin with {entry!r}", "'farshore key log' shows all of them."
        )
    return found[0]


def pin_identity(path: Path, fingerprint: bytes, past: Collection[bytes] = ()) -> None:
    """Write a fingerprint into an identity file, instead of those of its past. A crash leaves one file or the other.

    Raises:
        ConfigInvalid: It cannot be written.
    """
    try:
        private_key, known = decode_identity(read_private_file(path, "identity file"), str(path))
        data = encode_identity(
            private_key, tuple(dict.fromkeys((*(one for one in known if one not in past), fingerprint)))
        )
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigInvalid(
            f"the identity file {path} cannot be written: {error.strerror}", "Name one that can be written."
        ) from error
