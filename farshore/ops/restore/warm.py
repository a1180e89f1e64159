"""Archived packs of a snapshot: which ones a restore needs warm, asking for them, and whether they are.

Only packs are put into a storage class, so manifests, keys and indexes are read at once everywhere. Which packs can be
read is learned from the listing, and object by object for those that are archived, because a listing of S3 does not
show copies that were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from farshore import limits
from farshore.catalog.needs import read_needs
from farshore.catalog.snapshots import Snapshot
from farshore.errors import FarshoreError, ObjectArchived, ObjectNotFound
from farshore.format import names
from farshore.model import SnapshotId, dataclass
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.stores.base import ObjectInfo
from farshore.stores.object_retention import Access


@dataclass(frozen=True, slots=True)
class SnapshotWarmth:
    """Which packs of one snapshot can be read at one replica now."""

    replica: str
    snapshot_id: SnapshotId
    packs: int = 0  # that the snapshot needs and the replica lists
    archived: int = 0  # that must be asked for before they can be read
    warming: int = 0  # that were asked for and are not ready
    bytes_cold: int = 0  # of both
    asked: int = 0  # for by this call
    storage_class: str = ""  # of those that cannot be read, in the provider's words
    error_code: str = ""
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether every pack can be read."""
        return not self.error_code and not self.archived and not self.warming


def look_at_warmth(repository: Repository, snapshot: Snapshot, replicas: Sequence[Replica]) -> list[SnapshotWarmth]:
    """Return for each replica which packs of a snapshot can be read there now. Changes nothing and costs no warming.

    A listing for each replica, and a request for each pack that it names as archived. A replica that cannot be asked is
    reported with its error.
    """
    needed = _packs_needed(repository, snapshot)
    found, failed = repository.ask_all(lambda one: _count(one, snapshot, _seen(one, needed)), replicas)
    return [found[one.name] if one.name in found else _not_asked(one, snapshot, failed[one.name]) for one in replicas]


def warm_snapshot(
    repository: Repository, snapshot: Snapshot, replica: Replica, *, days: int, tier: str = ""
) -> SnapshotWarmth:
    """Ask for every archived pack of a snapshot at one replica, and look again. Safe to repeat: nothing is asked twice.

    Args:
        days: How long it stays readable where the provider makes a copy for a time.
        tier: How fast, in the provider's words; its own default when empty.

    Raises:
        FarshoreError: As `Store.warm` and `Store.list` say.
    """
    needed = _packs_needed(repository, snapshot)
    cold = [info.name for info in _seen(replica, needed) if info.access is Access.ARCHIVED]
    with ThreadPoolExecutor(limits.LOCK_THREADS, thread_name_prefix=f"warm-{replica.name}") as pool:
        for start in range(0, len(cold), limits.LOCKS_AHEAD):
            for _ in pool.map(
                lambda name: replica.store.warm(name, days=days, tier=tier), cold[start : start + limits.LOCKS_AHEAD]
            ):
                pass
    return _count(replica, snapshot, _seen(replica, needed), asked=len(cold))


def readable_replicas(repository: Repository, snapshot: Snapshot, *, only: str | None = None) -> list[str]:
    """Return the replicas of a snapshot whose packs can be read now: those that a restore should ask first.

    Replicas that are not configured with an archive class count as readable without asking.

    Raises:
        ObjectArchived: Nowhere can all packs be read now; nothing was asked for.
    """
    holders = [only] if only else [name for name in snapshot.replicas if name in repository.replicas]
    cold = [one for one in (repository.replicas[name] for name in holders) if is_archive(one)]
    if not cold:
        return holders
    found = {one.replica: one for one in look_at_warmth(repository, snapshot, cold)}
    ready = [name for name in holders if name not in found or found[name].ready]
    if ready:
        return ready
    reports = "; ".join(format_warmth(one) for one in found.values())
    raise ObjectArchived(
        f"snapshot {snapshot.snapshot_id} cannot be read at any replica yet ({reports})",
        f"Ask for it with 'farshore warm {snapshot.snapshot_id[:12]}', and restore when that says that it is ready.",
    )


def is_archive(replica: Replica) -> bool:
    """Return whether a replica is configured to archive its packs."""
    return replica.retention_rule.storage_class in replica.store.capabilities.archive_classes


def format_warmth(found: SnapshotWarmth) -> str:
    """Return a clause about one replica."""
    if found.error_code:
        return f"{found.replica}: {found.error}"
    return f"{found.replica}: of {found.packs} packs {found.archived} are archived and {found.warming} are being warmed"


def _packs_needed(repository: Repository, snapshot: Snapshot) -> dict[str, int]:
    needs = read_needs(repository, open_reader(repository, listed=snapshot.replicas), snapshot.commit)
    return {names.pack(pack_id): size for pack_id, size in needs.pack_sizes}


def _not_asked(replica: Replica, snapshot: Snapshot, error: FarshoreError) -> SnapshotWarmth:
    return SnapshotWarmth(replica.name, snapshot.snapshot_id, error_code=error.code, error=error.message)


def _seen(replica: Replica, needed: dict[str, int]) -> list[ObjectInfo]:
    """Return the state of needed packs at a replica, of those that it lists."""

    def ask(info: ObjectInfo) -> ObjectInfo:
        if info.access is Access.READY:
            return info
        try:
            return replica.store.head(info.name)
        except ObjectNotFound:
            return info

    listed = [info for info in replica.store.list(names.PACKS) if info.name in needed]
    with ThreadPoolExecutor(limits.LOCK_THREADS) as pool:
        return list(pool.map(ask, listed))


def _count(replica: Replica, snapshot: Snapshot, seen: Sequence[ObjectInfo], asked: int = 0) -> SnapshotWarmth:
    cold = [info for info in seen if info.access is not Access.READY]
    return SnapshotWarmth(
        replica=replica.name,
        snapshot_id=snapshot.snapshot_id,
        packs=len(seen),
        archived=sum(info.access is Access.ARCHIVED for info in cold),
        warming=sum(info.access is Access.WARMING for info in cold),
        bytes_cold=sum(info.size for info in cold),
        asked=asked,
        storage_class=", ".join(sorted({info.storage_class for info in cold})),
    )
