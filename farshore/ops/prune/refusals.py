"""The conditions before anything is planned at a replica: step P0. Each refusal names what lifts it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from farshore import limits
from farshore.access.query import last_checks
from farshore.catalog.approvals import approvals_needed, read_approvals, require_approval
from farshore.errors import (
    DeleteUnsupported,
    FarshoreError,
    ListingShrunken,
    NotFound,
    PruneRefused,
    StoreConflict,
    StoreUnsafe,
)
from farshore.format import names
from farshore.format.approval import Act
from farshore.format.commit import CommitHead
from farshore.format.names import object_bytes_max
from farshore.format.plan import PlanPart
from farshore.model import SnapshotState
from farshore.ops.prune.garbage import Garbage
from farshore.ops.prune.outcome import DeleteMax, PruneOptions
from farshore.ops.prune.roots import RootReader
from farshore.plural import count_of
from farshore.replicas.repository import Replica, Repository
from farshore.stores.base import ANY_OBJECT

_SHOWN = 3


def try_store(repository: Repository, replica: Replica) -> bool:
    """Try out what a prune relies on: a name has one winner, and is listed; return whether objects of one name differ.

    The farshore replica probe tries more, with many writers at once. Seven small requests.

    Raises:
        StoreUnsafe: Two puts of one name both won, or the listing leaves out what was put.
        FarshoreError: The replica cannot be asked, or its credential may not put and delete.
    """
    store = replica.store
    folder = f"probe/{repository.clock.random_bytes(16).hex()}/"
    name, first, second = f"{folder}prune", b"the first\n", b"the second\n"
    store.put(name, first)
    try:
        store.put(name, second)
        won = False
    except StoreConflict:
        won = True
    found = [one.name for one in store.list(folder)]
    there = store.get(name, bytes_max=object_bytes_max(name))
    seen = store.head(name).seen
    if seen:
        store.delete(name, seen)
    else:
        store.delete(name, ANY_OBJECT)
    if not won or there != first or found != [name]:
        fault = "takes two objects under one name" if not won or there != first else "does not list what was put"
        raise StoreUnsafe(f"{replica.name} {fault}, so nothing is deleted there")
    try:
        store.head(name)
    except NotFound:
        return bool(seen)
    raise DeleteUnsupported(f"{replica.name} acknowledges that an object is deleted, and has it still")


def check_contained(last: PlanPart | None, roots: Collection[str], tombstones: Mapping[str, object]) -> None:
    """Raise where a commit of the last plan is neither here nor forgotten: roots shrink by tombstones alone (O7)."""
    lost = [one for one in last.roots if one not in roots and one not in tombstones] if last is not None else []
    if lost:
        raise PruneRefused(
            f"{len(lost)} commits that plan {last.number if last else 0} kept are gone and were not "
            f"forgotten, such as {', '.join(lost[:_SHOWN])}",
            "Heal the replica; where they are gone everywhere, find out who deleted them.",
        )


def check_whole(replica: Replica, garbage: Garbage) -> None:
    """Raise where commits here need what is not listed: it was lost, or the listing is cut off."""
    if not garbage.missing:
        return
    packs = [one for one in garbage.missing if "/" in one]
    for name in packs[:: max(len(packs) // limits.LISTING_PROBES, 1)][: limits.LISTING_PROBES]:
        try:
            replica.store.head(name)
        except NotFound:
            continue
        raise ListingShrunken(f"{replica.name} does not list {name}, and has it")
    raise PruneRefused(
        f"{replica.name} lacks {len(garbage.missing)} objects that its snapshots need, such as {garbage.missing[0]}",
        "Heal the replica first; where no replica has them, forget the snapshots that 'farshore verify' names.",
    )


def check_kept(repository: Repository, reader: RootReader, options: PruneOptions) -> None:
    """Raise where a source would lose its newest complete snapshot, or every one that was proven."""
    if options.even_last or not reader.roots.going:
        return
    accepted = [head for one, head in reader.reader.found.heads.items() if one in reader.reader.found.accepted]
    stays = {_position(one) for one in accepted if one.replaces is not None and one.hash not in reader.roots.going}
    proven_utc = _proven_utc(repository)
    for source_id in sorted({head.source_id for head in reader.roots.going.values()}):
        complete = [one for one in accepted if one.source_id == source_id and one.state is SnapshotState.COMPLETE]
        kept = [one for one in complete if (*_position(one)[:-1], one.hash) not in stays]  # the others were replaced
        newest = max(kept, key=lambda one: (one.sequence, one.committed_utc, one.snapshot), default=None)
        if newest is not None and newest.hash in reader.roots.going:
            raise PruneRefused(
                f"{newest.snapshot}, the newest complete snapshot of source {source_id}, is forgotten",
                "Take it back with 'farshore unforget', or say --even-last.",
            )
        _check_proven(source_id, complete, reader.roots.going, proven_utc)


def _position(head: CommitHead) -> tuple[str, int, datetime, str]:
    """Return the place of a commit in the order of its source, and which commit had it before."""
    return head.source_id, head.sequence, head.committed_utc, head.replaces.commit if head.replaces else ""


def _check_proven(
    source_id: str,
    complete: Iterable[CommitHead],
    going: Mapping[str, CommitHead],
    proven_utc: datetime | None,
) -> None:
    proven = [one for one in complete if proven_utc is not None and one.made_utc <= proven_utc]
    if proven and all(one.hash in going for one in proven):
        raise PruneRefused(
            f"every snapshot of source {source_id} that was proven to restore is forgotten",
            "Verify with --read-data, so that a newer one is proven, or say --even-last.",
        )


def _proven_utc(repository: Repository) -> datetime | None:
    checks = last_checks(repository, repository.configured).values()
    return max((one.all_read_since_utc for one in checks if one.clean and one.all_read_since_utc), default=None)


def check_amount(
    repository: Repository, replica: Replica, garbage: Garbage, wanted: DeleteMax | None, *, asks: bool
) -> tuple[str, ...]:
    """Return the hashes of the approvals that let it go; raise where policy or caller allow less.

    Without a policy of the owner and a wish of the caller, half of the bytes may go.

    Args:
        asks: Ask the approvers of the policy, if it has some, for more than it allows at this replica.

    Raises:
        PruneRefused: More would go.
        ApprovalMissing: They are asked now; once enough agreed, up to these bytes may go.
    """
    policy = repository.trust.policy
    of_owner = DeleteMax(percent=float(policy.delete_max)) if policy and policy.delete_max is not None else None
    limits_set = [one for one in (of_owner, wanted) if one is not None]
    approvals: tuple[str, ...] = ()
    for one in limits_set or [DeleteMax(percent=limits.PRUNE_PERCENT_MAX)]:
        if one.allows(
            packs=len(garbage.packs), packs_bytes=garbage.packs.amount.bytes, all_bytes=garbage.all_packs.bytes
        ):
            continue
        packs = count_of(len(garbage.packs), "pack")
        going = f"{packs} with {garbage.packs.amount.bytes} of {garbage.all_packs.bytes} bytes"
        hint = "Look at 'farshore prune --dry-run', then say how much may go with --max-delete."
        if one is of_owner:
            hint = "The owner's policy says so; forget less at once, or have the owner change it."
            if asks and approvals_needed(repository.trust):
                approvals = require_approval(
                    repository, Act.DELETE, [_place(replica)], limit=garbage.packs.amount.bytes, reason=going
                )
                continue
        raise PruneRefused(f"{going} would go, and at most {one} may", hint)
    return approvals


def approvals_in_force(repository: Repository, replica: Replica, garbage: Garbage, at_utc: datetime) -> tuple[str, ...]:
    """Return the hashes of the approvals that let this much go at a replica at that moment; none without a limit."""
    policy = repository.trust.policy
    if policy is None or policy.delete_max is None:
        return ()
    bytes_left = garbage.packs.amount.bytes
    return read_approvals(repository).granted_by(Act.DELETE, [_place(replica)], at_utc, limit=bytes_left)


def _place(replica: Replica) -> str:
    return names.hash_of(replica.url.encode())


def check_history(repository: Repository) -> None:
    """Raise where snapshots that this host remembers are gone from every replica: somebody cut the history."""
    if repository.lost:
        lost = ", ".join(one.snapshot_id for one in list(repository.lost.values())[:_SHOWN])
        raise PruneRefused(
            f"snapshots are gone from every replica and were not forgotten: {lost}",
            "Find out who deleted them; docs/operate/bad-day.md says what a cut history means.",
        )


def check_rights(repository: Repository) -> FarshoreError | None:
    """Return why the owner log is no ground to delete on now; None where it is."""
    if repository.trust.rolled_back:
        return PruneRefused("the owner log lacks entries that signed objects name", "Bring every replica back first.")
    return None
