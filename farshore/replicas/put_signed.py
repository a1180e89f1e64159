"""Put small signed objects at a quorum of replicas, after the owner log by which they count."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.errors import FarshoreError
from farshore.replicas.owner_log import put_log
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Repository


def put_signed(repository: Repository, objects: Sequence[tuple[str, bytes]], act: str) -> dict[str, str]:
    """Put signed objects at every replica, in this order, each read back; return why it failed, by replica.

    Raises:
        QuorumNotReached: Fewer replicas than the quorum have them.
    """
    failed: dict[str, FarshoreError] = put_log(repository, repository.log) if repository.log is not None else {}
    stores = {name: replica.store for name, replica in repository.replicas.items() if name not in failed}
    failed |= put_all(stores, objects, clock=repository.clock, read_back=True, first_bug=repository.first_bug)
    failed |= repository.unreachable
    accepted = len(repository.configured) - len(failed)
    if accepted < min(repository.quorum, len(repository.configured)):
        raise repository.too_few(accepted, act, failed, "Bring the replicas back, then run this again.")
    return {name: error.message for name, error in failed.items()}
