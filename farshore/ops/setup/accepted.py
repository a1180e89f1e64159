"""Everything that is committed and sealed now, which a revocation of a key goes on accepting."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from farshore.errors import FarshoreError
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.replicas.repository import Replica, Repository


@dataclass(frozen=True, slots=True)
class ListedCommit:
    """A commit that some replica lists; `hash` is that of its stored bytes."""

    source_id: str
    snapshot: str
    hash: str


@dataclass(frozen=True, slots=True)
class AcceptedNow:
    """The commits and the last seal of each chain, as sequence and hash, that the replicas list.

    `unasked`: replicas that could not be listed, with the reason; what only they hold is in no list.
    """

    commits: tuple[ListedCommit, ...]
    chains: Mapping[str, tuple[int, str]]
    unasked: Mapping[str, FarshoreError]


def accepted_now(repository: Repository) -> AcceptedNow:
    """Return what all replicas that can be asked list, of all signers: others lose nothing by being named.

    Raises:
        FarshoreError: No replica could be listed.
    """
    listed, failed = repository.ask_all(_list_commits)
    if not listed:
        raise next(iter(failed.values()))
    found = {commit for of_replica in listed.values() for commit in of_replica}
    ordered = sorted(found, key=lambda one: (one.source_id, one.snapshot, one.hash))
    return AcceptedNow(tuple(ordered), {}, {**repository.unreachable, **failed})


def sources_of(repository: Repository, commits: Collection[ListedCommit]) -> dict[str, str]:
    """Return the names of the sources of commits, by id, where a certificate names them; else the id."""
    known: dict[str, str] = {}
    for certified in repository.trust.certificates.values():
        for one in certified:
            if isinstance(one.certificate.sources, Mapping):
                known |= one.certificate.sources
    return {one.source_id: known.get(one.source_id, one.source_id) for one in commits}


def _list_commits(replica: Replica) -> list[ListedCommit]:
    found = []
    for info in replica.store.list(names.SNAPSHOTS):
        parsed = names.parse_snapshot_object(info.name)
        if parsed is not None and parsed.role == names.COMMIT:
            data = replica.store.get(info.name, bytes_max=object_bytes_max(info.name))
            found.append(ListedCommit(parsed.source_id, parsed.snapshot_id, names.hash_of(data)))
    return found
