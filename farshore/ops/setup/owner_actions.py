"""Entries of the owner log: made with the owner's key, and put at every replica."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from farshore.errors import Bug, FarshoreError, KeyMissing
from farshore.model import dataclass
from farshore.replicas.owner_log import read_owner_log
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Repository
from farshore.signing import SigningKey
from farshore.trust.actions import Action
from farshore.trust.log_entry import LogHead, make_entry
from farshore.trust.memory import Memory, remember


@dataclass(frozen=True, slots=True)
class AppendedEntry:
    """An entry that is at the replicas now. `failed`: those that lack it; heal or the next writer brings it there."""

    head: LogHead
    failed: Mapping[str, str]


def owner_key(repository: Repository) -> SigningKey:
    """Return the owner's key.

    Raises:
        KeyMissing: The repository was opened with other keys, or with the key of an owner before this one.
    """
    keys = repository.writing_keys()
    if keys.owner_key is None:
        raise KeyMissing("this needs the owner's key, and what was given opens no slot of the owner")
    if keys.owner_key.verify_key != repository.trust.owner:
        raise KeyMissing("what was given opens the slot of an owner whose key was replaced since")
    return keys.owner_key


def append_entry(
    repository: Repository, actions: Sequence[Action], lists: Sequence[tuple[str, bytes]] = ()
) -> AppendedEntry:
    """Put one more entry at the replicas, and apply it to the open repository.

    Not atomic over replicas: entries unite, so one replica that has it suffices for every reader that reaches it.

    Args:
        lists: Objects that the entry names (name, bytes), put before it.

    Raises:
        KeyMissing: The owner's key is not at hand.
        QuorumNotReached: Fewer replicas than the quorum accepted it; run this again.
    """
    key = owner_key(repository)
    if repository.log is None:
        raise Bug("the owner log was not read yet")
    head, data = make_entry(
        key,
        fingerprint=repository.header.fingerprint,
        previous=repository.trust.head,
        made_utc=repository.clock.now_utc(),
        actions=list(actions),
    )
    objects = [*((name, body) for name, body in repository.log.objects.items()), *lists, (head.name, data)]
    failed: dict[str, FarshoreError] = {}
    for name, replica in repository.replicas.items():
        held = repository.log.held.get(name, frozenset())
        missing = [one for one in objects if one[0] not in held]
        failed |= put_all({name: replica.store}, missing, clock=repository.clock)
    accepted = len(repository.replicas) - len(failed)
    if accepted < min(repository.quorum, len(repository.configured)):
        raise repository.too_few(
            accepted, "accepted the entry of the owner log", {**repository.unreachable, **failed},
            "Bring the replicas back, then run this again.",
        )  # fmt: skip
    repository.log = read_owner_log(repository, head)
    seen = Memory(repository.header.fingerprint.hex(), head)
    with contextlib.suppress(OSError):  # a host without a state directory was warned of it
        repository.memory = remember(repository.state_dir, repository.repository_id, seen, read_with=repository.memory)
    return AppendedEntry(head, {name: error.message for name, error in {**repository.unreachable, **failed}.items()})
