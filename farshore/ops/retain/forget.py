"""Forget snapshots: sign a tombstone for each and put it at every replica. Undone by `unforget`; nothing is deleted.

docs/reference/format.md, section 5, and decision 0034. From the tombstone on a snapshot is neither listed nor copied;
its objects stay until a plan to delete goes by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from farshore.access.approved import beyond_rules
from farshore.catalog import list_commits
from farshore.catalog.approvals import approvals_needed, require_approval
from farshore.catalog.snapshots import Snapshot
from farshore.format import names
from farshore.format.approval import Act
from farshore.format.tombstone import Tombstone, encode_tombstone
from farshore.model import dataclass
from farshore.replicas.lease_holder import known_log
from farshore.replicas.owner_log import check_maintainer
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Repository
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.signing import SignedKind


@dataclass(frozen=True, slots=True)
class ForgottenSnapshots:
    """The snapshots that are forgotten now. `failed`: replicas that lack a tombstone; the others' count there too."""

    snapshots: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


def require_maintainer(repository: Repository, act: str) -> None:
    """Raise unless the key at hand may maintain, by the owner log as it is now, and this version may write here.

    Raises:
        KeyMissing: It may not.
        FeatureMissing, LogForked: As `check_maintainer` says.
    """
    check_maintainer(repository, f"{act} snapshots")


def require_forgettable(repository: Repository, snapshots: Sequence[Snapshot], reason: str) -> None:
    """Return where these may be forgotten: by the rules of the owner log, or because enough approvers agreed.

    Raises:
        ApprovalMissing: They are asked now, for all that is beyond those rules at once.
    """
    if not snapshots or not approvals_needed(repository.trust):
        return
    beyond = beyond_rules(repository, list_commits(repository), {one.commit.hash for one in snapshots})
    if beyond:
        require_approval(repository, Act.FORGET, sorted(beyond), reason=reason)


def forget_snapshots(
    repository: Repository, snapshots: Sequence[Snapshot], *, reason: str, rule: str, run: Run
) -> ForgottenSnapshots:
    """Forget these snapshots. Repeatable; one that is forgotten already gets one more tombstone.

    Not atomic over snapshots or replicas: tombstones unite, so one replica that has it suffices for every reader that
    reaches it, and heal brings it to the others.

    Args:
        reason: Why, for people.
        rule: The rule that says so, by name; empty where a person does.

    Raises:
        KeyMissing, FeatureMissing, LogForked: As `require_maintainer` says.
        ApprovalMissing: As `require_forgettable` says.
        QuorumNotReached: Fewer replicas than the quorum accepted them.
    """
    require_maintainer(repository, "forget")
    if not snapshots:
        return ForgottenSnapshots()
    require_forgettable(repository, snapshots, reason)
    keys, log = repository.writing_keys(), known_log(repository)
    objects: list[tuple[str, bytes]] = []
    for one in snapshots:
        subject = f"{names.FORGOTTEN}{one.snapshot_id}"
        stone = Tombstone(one.snapshot_id, one.commit.hash, reason, rule, run.clock.now_utc(), log)
        data = sign_text(keys, SignedKind.TOMBSTONE, subject, encode_tombstone(stone))
        objects.append((names.tombstone(subject, names.hash_of(data)), data))
    failed = put_signed(repository, objects, "accepted the tombstones")
    return ForgottenSnapshots(tuple(one.snapshot_id for one in snapshots), failed)
