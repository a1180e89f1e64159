"""Counter tombstones, as an act under a lease: looking first and undoing then would race with a pruner.

docs/reference/format.md, section 6: lease, plans, a committing end that names the commit, then the counter-object. So
a pruner has seen the lease, or this has seen the plan. tests/models/prune explores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from farshore.catalog import list_commits
from farshore.catalog.needs import objects_of, read_needs
from farshore.catalog.tombstones import active_tombstones
from farshore.errors import SnapshotUnknown, StateUnknown
from farshore.format import names
from farshore.format.commit import Commit, CommitHead
from farshore.format.tombstone import CounterTombstone, Tombstone, encode_counter
from farshore.model import dataclass
from farshore.ops.retain.forget import require_maintainer
from farshore.repair.copy_lease import copy_lease
from farshore.replicas.lease_holder import known_log
from farshore.replicas.owner_log import put_log
from farshore.replicas.plans import read_condemned
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.signing import SignedKind

UNFORGET_IDENTITY = "unforget"


@dataclass(frozen=True, slots=True)
class Unforgotten:
    """A snapshot that counts again. `failed`: replicas without the word of it, which counts there as well."""

    snapshot: str
    tombstones: int
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForgottenSnapshot:
    """A snapshot with a tombstone that nothing counters, and whose commit some replica still has.

    `source` is empty where the keys at hand do not open it. `tombstones`: by hash.
    """

    snapshot: str
    source: str
    head: CommitHead
    replicas: tuple[str, ...]
    tombstones: Mapping[str, Tombstone]

    @property
    def since_utc(self) -> datetime:
        """When it was forgotten first."""
        return min(one.made_utc for one in self.tombstones.values())


def list_forgotten(repository: Repository) -> list[ForgottenSnapshot]:
    """Return the snapshots that are forgotten, the longest ago first.

    Raises:
        FarshoreError: No replica could be listed.
    """
    active = active_tombstones(repository)
    found = []
    listed = list_commits(repository)
    for commit, head in listed.forgotten.items():
        replicas = listed.forgotten_at[commit]
        source = head.source if isinstance(head, Commit) else ""
        if replicas and commit in active:
            found.append(ForgottenSnapshot(head.snapshot, source, head, replicas, active[commit]))
    return sorted(found, key=lambda one: (one.since_utc, one.head.committed_utc, one.snapshot))


def unforget_snapshot(repository: Repository, snapshot: str, *, reason: str, run: Run) -> Unforgotten:
    """Let a forgotten snapshot count again, as long as nothing condemns what it needs. Repeatable.

    Args:
        snapshot: Its id, or a unique prefix of it.

    Raises:
        SnapshotUnknown: No forgotten snapshot has that id, or its commit is gone everywhere.
        StateUnknown: A plan to delete condemns what it needs, or plans cannot be read: it stays forgotten.
        LeaseLost: A maintainer broke the lease.
        KeyMissing, FeatureMissing, LogForked, QuorumNotReached: As `forget_snapshots` says.
    """
    require_maintainer(repository, "unforget")
    matching = [one for one in list_forgotten(repository) if one.snapshot.startswith(snapshot)]
    if len(matching) != 1:
        said = "begins more than one" if matching else "is not one"
        hint = "'farshore forget --list' shows them; give more digits where several begin alike."
        raise SnapshotUnknown(f"{snapshot} {said} of the forgotten snapshots", hint)
    (forgotten,) = matching
    keys = repository.writing_keys()
    holding = {name: repository.replicas[name] for name in forgotten.replicas if name in repository.replicas}
    failed = put_log(repository, repository.log) if repository.log is not None else {}
    holder = copy_lease(repository, holding, run.run_id, UNFORGET_IDENTITY)
    try:
        failed |= holder.acquire()
        for name, replica in holding.items():
            if name in failed:
                raise failed[name]
            _refuse_condemned(repository, replica, forgotten.head)
            # For whoever deletes here this end has taken the tombstones back, though the word of it is not put yet.
            holder.commit(name, copies=(forgotten.head.hash, *sorted(forgotten.tombstones)))
        subject = f"{names.UNFORGOTTEN}{forgotten.snapshot}"
        counter = CounterTombstone(
            forgotten.snapshot, tuple(sorted(forgotten.tombstones)), reason, run.clock.now_utc(), known_log(repository)
        )
        data = sign_text(keys, SignedKind.UNTOMBSTONE, subject, encode_counter(counter))
        named = (names.tombstone(subject, names.hash_of(data)), data)
        return Unforgotten(
            forgotten.snapshot, len(forgotten.tombstones), put_signed(repository, [named], "countered the tombstones")
        )
    finally:
        holder.end()


def _refuse_condemned(repository: Repository, replica: Replica, head: CommitHead) -> None:
    condemned = read_condemned(repository, replica)
    if not condemned:
        return
    needs = read_needs(repository, replica, head)
    found = next((one.name for one in objects_of(head, needs) if one.name in condemned), None)
    if found is not None:
        raise StateUnknown(
            f"a plan to delete condemns {found} at {replica.name}, which the snapshot needs, so it stays forgotten",
            "Run it again once that plan is closed; what was deleted by then does not come back.",
        )
