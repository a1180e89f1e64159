"""Notes on snapshots: pin and hold them, tag them, and lift what was noted before.

docs/reference/format.md, section 5, and decision 0041. A maintainer's act like forgetting; nothing is deleted by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import field
from datetime import datetime

from farshore.catalog import list_commits
from farshore.catalog.approvals import require_approval
from farshore.catalog.notes import SALT_BYTES, SignedNote, newest_sound_utc, read_notes, sign_note
from farshore.catalog.snapshots import Snapshot
from farshore.catalog.tombstones import forgotten_commits
from farshore.errors import SnapshotProtected, SnapshotUnknown, StateUnknown
from farshore.format.approval import Act
from farshore.format.commit import Commit, CommitHead
from farshore.format.note import Keep, Note, NoteDetails
from farshore.model import dataclass
from farshore.ops.retain.forget import require_maintainer
from farshore.replicas.lease_holder import known_log
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Repository
from farshore.run import Run


@dataclass(frozen=True, slots=True)
class Noted:
    """The snapshots that have a new note. `failed`: replicas that lack it; the others' count there too."""

    snapshots: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot that a pin or a hold keeps. `source`, `reason`: empty where the keys at hand do not open them.

    `ended`: it is a pin, and a snapshot was committed after its end, so it keeps nothing any more.
    """

    snapshot: str
    source: str
    keep: Keep
    since_utc: datetime
    until_utc: datetime | None
    reason: str
    note: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    commit: CommitHead
    keep: Keep
    until_utc: datetime | None
    lifts: tuple[str, ...]
    details: NoteDetails


def keep_snapshots(
    repository: Repository,
    snapshots: Sequence[Snapshot],
    keep: Keep,
    *,
    reason: str,
    until_utc: datetime | None = None,
    run: Run,
) -> Noted:
    """Pin or hold snapshots: no rule, no forget and no deletion removes them. Repeatable; each call adds a note.

    Not atomic over snapshots or replicas: notes unite, and heal brings them to replicas that were away.

    Raises:
        KeyMissing, FeatureMissing, LogForked: As `require_maintainer` says.
        QuorumNotReached: Fewer replicas than the quorum accepted them.
        StateUnknown: One was forgotten while it was pinned: `unforget` lists it again, under a lease.
    """
    drafts = [_Draft(one.commit, keep, until_utc, (), NoteDetails(reason)) for one in snapshots]
    noted = _put(repository, drafts, "pin", run)
    # Only now: whoever forgot one before this note was there did not see it, and whoever comes later does.
    forgotten = forgotten_commits(repository)
    gone = [one.snapshot_id for one in snapshots if one.commit.hash in forgotten]
    if gone:
        raise StateUnknown(
            f"snapshot {gone[0]} was forgotten at the same time", f"'farshore unforget {gone[0]}' lists it again."
        )
    return noted


def lift_keeping(repository: Repository, snapshot: str, keep: Keep, *, reason: str, run: Run) -> Noted:
    """Lift every pin, or every hold, of a snapshot, forgotten or not.

    Args:
        snapshot: Its id, or a unique prefix of it.

    Raises:
        SnapshotUnknown: No snapshot of that id has one.
        ApprovalMissing: The owner log asks approvers for the end of a hold; they are asked now.
        KeyMissing, FeatureMissing, LogForked, QuorumNotReached: As `keep_snapshots` says.
    """
    listed = list_commits(repository)
    found: list[tuple[CommitHead, list[SignedNote]]] = []
    notes = read_notes(repository)
    for head in {**listed.forgotten, **listed.heads}.values():
        own = [one for one in notes.of(head) if one.note.keep is keep and head.snapshot.startswith(snapshot)]
        if own:
            found.append((head, own))
    if len({head.snapshot for head, _ in found}) != 1:
        said = "begins more than one snapshot with" if found else "is no snapshot with"
        raise SnapshotUnknown(f"{snapshot} {said} a {keep.value}", f"'farshore {keep.value} --list' shows them.")
    if keep is Keep.HOLD:
        require_maintainer(repository, "lift holds of")
        require_approval(repository, Act.LIFT_HOLD, [note.hash for _, own in found for note in own], reason=reason)
    drafts = [
        _Draft(head, Keep.NOT, None, tuple(sorted(one.hash for one in own)), NoteDetails(reason)) for head, own in found
    ]
    return _put(repository, drafts, "lift what keeps", run)


def tag_snapshots(
    repository: Repository, snapshots: Sequence[Snapshot], *, add: Collection[str], remove: Collection[str], run: Run
) -> Noted:
    """Add tags to snapshots and remove others, whether a backup or a note gave them. Repeatable.

    Raises:
        KeyMissing, FeatureMissing, LogForked, QuorumNotReached: As `keep_snapshots` says.
    """
    notes = read_notes(repository)
    drafts = []
    for one in snapshots:
        lifted = [(name, tags) for name, tags in notes.tag_parts(one.commit) if not set(tags).isdisjoint(remove)]
        left = {tag for _, tags in lifted for tag in tags}.difference(remove)
        noted = {tag for note in notes.of(one.commit) for tag in note.tags}  # its own are its writer's word
        new = left.union(set(add).difference(noted))
        if lifted or new:
            details = NoteDetails("", tuple(sorted(new)))
            lifts = tuple(sorted(name for name, _ in lifted))
            drafts.append(_Draft(one.commit, Keep.NOT, None, lifts, details))
    return _put(repository, drafts, "tag", run)


def list_kept(repository: Repository) -> list[KeptSnapshot]:
    """Return the snapshots that pins and holds keep, forgotten ones too, and pins that ended; the oldest note first.

    Raises:
        FarshoreError: No replica could be listed.
    """
    listed = list_commits(repository)
    notes, newest_utc = read_notes(repository), newest_sound_utc(repository, listed)
    found = []
    for head in {**listed.forgotten, **listed.heads}.values():
        source = head.source if isinstance(head, Commit) else ""
        found += [
            KeptSnapshot(
                head.snapshot, source, one.note.keep, one.note.made_utc, one.note.until_utc,
                one.details.reason if one.details else "", one.hash, one.ended(newest_utc),
            )
            for one in notes.of(head) if one.note.keep is not Keep.NOT
        ]  # fmt: skip
    return sorted(found, key=lambda one: (one.since_utc, one.snapshot, one.note))


def refuse_kept(repository: Repository, snapshots: Sequence[Snapshot]) -> None:
    """Raise where a pin or a hold keeps one of these snapshots.

    Raises:
        SnapshotProtected: One is kept; the message says why.
        FarshoreError: No replica could be listed.
    """
    newest_utc, notes = newest_sound_utc(repository, list_commits(repository)), read_notes(repository)
    for one in snapshots:
        for kept in notes.keeping(one.commit, newest_utc):
            reason = f": {kept.details.reason}" if kept.details else ""
            keep, short = kept.note.keep, one.snapshot_id[:12]
            raise SnapshotProtected(
                f"a {keep.value} keeps snapshot {short} of {one.source}{reason}",
                f"Nothing was forgotten. Leave it out, or lift it: 'farshore {keep.value} --remove {short}'.",
            )


def _put(repository: Repository, drafts: Iterable[_Draft], act: str, run: Run) -> Noted:
    require_maintainer(repository, act)
    keys, log, drafts = repository.writing_keys(), known_log(repository), list(drafts)
    if not drafts:
        return Noted()
    objects = [
        sign_note(
            keys,
            Note(
                one.commit.snapshot, one.commit.hash, one.commit.domain, one.commit.epoch, one.keep, one.until_utc,
                one.lifts, run.clock.now_utc(), log,
            ),
            one.details,
            run.clock.random_bytes(SALT_BYTES),
        )
        for one in drafts
    ]  # fmt: skip
    failed = put_signed(repository, objects, "accepted the notes")
    return Noted(tuple(one.commit.snapshot for one in drafts), failed)
