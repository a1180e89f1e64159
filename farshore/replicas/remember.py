"""Heads that were seen at the replicas, added to the memory of this host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from farshore.replicas.repository import Repository
from farshore.trust.memory import NewestSnapshot, remember


def remember_seen(
    repository: Repository,
    *,
    newest: Mapping[str, NewestSnapshot] | None = None,
    chains: Mapping[str, tuple[int, str]] | None = None,
) -> None:
    """Remember the newest snapshot of sources and the newest seal of chains, so that their loss shows on this host.

    Does nothing on a host that remembers nothing of the repository: nothing vouched for it here. Where the state
    directory cannot be written, the host was warned of that before.

    Raises:
        KeyFileDamaged: The memory of this host is damaged.
    """
    memory = repository.memory
    if memory is None or not (newest or chains):
        return
    seen = replace(memory, newest=newest or {}, chains=chains or {})
    try:
        repository.memory = remember(repository.state_dir, repository.repository_id, seen)
    except OSError:
        return
