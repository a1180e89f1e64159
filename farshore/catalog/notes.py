"""Notes on snapshots, of all replicas together: pins and legal holds, which keep them, and tags.

Only a maintainer's count: a stolen writer neither keeps space for ever nor tags what is not its own. Of a revoked
maintainer those count that its revocation names, so holds outlast their makers, and a thief's do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore.catalog import ListedCommits
from farshore.catalog.approvals import read_approvals
from farshore.catalog.signed_objects import holders_of, read_counting
from farshore.catalog.snapshots import Snapshot, order_commits
from farshore.crypto import TAG_BYTES, associated, derive_key
from farshore.errors import FarshoreError, FormatTooNew, KeyMissing, ObjectCorrupt
from farshore.format import names
from farshore.format.approval import Act
from farshore.format.commit import Commit, CommitHead
from farshore.format.note import Keep, Note, NoteDetails, decode_details, decode_note, encode_details, encode_note
from farshore.model import dataclass
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.sealed import KeySet, key_tag
from farshore.signing import SignedKind
from farshore.trust import Judgment
from farshore.trust.actions import Right
from farshore.trust.order import Place

SALT_BYTES = 32
_NONCE = bytes(12)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note that counts. `details`: None where the keys at hand do not open them."""

    hash: str
    signer: str
    note: Note
    details: NoteDetails | None

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, as far as they can be read."""
        return self.details.tags if self.details else ()

    def ended(self, newest_utc: datetime) -> bool:
        """Whether it is a pin whose end is before the newest snapshot: no clock of a host ends one."""
        return self.note.until_utc is not None and self.note.until_utc < newest_utc


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes that count and that nothing lifts, by snapshot id. `lifted`: every hash that some note lifts."""

    of_snapshot: Mapping[str, tuple[SignedNote, ...]] = field(default_factory=dict)
    lifted: frozenset[str] = frozenset()

    def of(self, commit: CommitHead) -> list[SignedNote]:
        """Return those on one commit; one of a later version says of which snapshot alone it is."""
        return [one for one in self.of_snapshot.get(commit.snapshot, ()) if one.note.commit in ("", commit.hash)]

    def tags_of(self, commit: Commit) -> tuple[str, ...]:
        """Return the tags of a commit: its own unless a note lifts them, and those of its notes."""
        return tuple(sorted({tag for _, tags in self.tag_parts(commit) for tag in tags}))

    def tag_parts(self, commit: Commit) -> list[tuple[str, tuple[str, ...]]]:
        """Return what gives a commit its tags, by hash: the commit itself, and its notes."""
        own = [] if commit.hash in self.lifted else [(commit.hash, commit.tags)]
        return [*own, *((one.hash, one.tags) for one in self.of(commit) if one.tags)]

    def keeping(self, commit: CommitHead, newest_utc: datetime) -> list[SignedNote]:
        """Return the pins and holds on a commit that have not ended.

        Args:
            newest_utc: When the newest sound snapshot of the repository was committed.
        """
        return [one for one in self.of(commit) if one.note.keep is not Keep.NOT and not one.ended(newest_utc)]


def read_notes(repository: Repository) -> Notes:
    """Return the notes that count, as far as replicas can be asked: a listing of each, and a read of what is new."""
    found, failed = list_notes(repository)
    repository.note_unasked(failed)
    holds = {one.hash for one in found.values() if one.note.keep is Keep.HOLD}
    if not any(holds.intersection(one.note.lifts) for one in found.values()):
        return join_notes(found)
    approvals = read_approvals(repository)
    return join_notes(found, lambda hold, at_utc: approvals.grants(Act.LIFT_HOLD, [hold], at_utc))


def with_tags(snapshots: Iterable[Snapshot], notes: Notes) -> list[Snapshot]:
    """Return snapshots with the tags that they have by now, not only those that their backups were given."""
    return [replace(one, tags=notes.tags_of(one.commit)) for one in snapshots]


def list_notes(repository: Repository) -> tuple[dict[str, SignedNote], dict[str, FarshoreError]]:
    """Return by hash the notes that count, lifted or not, and the replicas that could not be listed."""
    listed, failed = repository.ask_all(
        lambda replica: [info.name for info in replica.store.list(names.NOTES) if names.parse_note(info.name)]
    )
    read = read_note_objects(repository, holders_of(listed), repository.replicas)
    return {one.hash: one for one in read.values()}, failed


def read_note_objects(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> dict[str, SignedNote]:
    """Return by name the notes that count.

    Args:
        holders: Names, and the replicas that list each.
    """
    if not holders:
        return {}
    checker, keys = SignatureChecker.of(repository), repository.keys
    return read_counting(
        repository, holders, replicas, lambda name, data: _judge(checker, keys, name, data), memory="void-notes"
    )


def join_notes(read: Mapping[str, SignedNote], may_lift: Callable[[str, datetime], bool] | None = None) -> Notes:
    """Return what notes, by their hashes, say together; what one lifts stays lifted whatever happens to that one.

    Args:
        may_lift: Whether approvers agreed that a hold, by its hash, is lifted by a note of this moment; None: all did.
    """
    holds = {one.hash for one in read.values() if one.note.keep is Keep.HOLD}
    lifted = frozenset(
        one
        for found in read.values()
        for one in found.note.lifts
        if may_lift is None or one not in holds or may_lift(one, found.note.made_utc)
    )
    of_snapshot: dict[str, tuple[SignedNote, ...]] = {}
    for found in sorted(read.values(), key=lambda one: (one.note.made_utc, one.hash)):
        if found.hash not in lifted:
            of_snapshot[found.note.snapshot] = (*of_snapshot.get(found.note.snapshot, ()), found)
    return Notes(of_snapshot, lifted)


def kept_commits(repository: Repository, listed: ListedCommits) -> dict[str, tuple[SignedNote, ...]]:
    """Return the commits, by hash, that pins and holds keep, forgotten ones among them: roots, whatever forgets them.

    For what deletes; needs no key. Another replica's notes count as far as it can be asked.
    """
    notes, newest_utc = read_notes(repository), newest_sound_utc(repository, listed)
    heads = {**listed.forgotten, **listed.heads}
    keeping = {one: notes.keeping(head, newest_utc) for one, head in heads.items()}
    return {one: tuple(found) for one, found in keeping.items() if found}


def newest_sound_utc(repository: Repository, listed: ListedCommits) -> datetime:
    """Return when the newest snapshot was committed of those whose date nothing contradicts."""
    places = {one: place for order in order_commits(repository, listed).values() for one, place in order.places.items()}
    sound = (head.committed_utc for one, head in listed.heads.items() if places[one] is Place.SOUND)
    return max(sound, default=_NEVER)


def sign_note(keys: KeySet, note: Note, details: NoteDetails, salt: bytes) -> tuple[str, bytes]:
    """Return the name and the bytes of a note.

    Args:
        salt: 32 bytes that were never used before.

    Raises:
        SourceNotEnrolled: The keys at hand sign nothing.
        KeyMissing: They are not those of its domain and epoch.
    """
    sealed = salt + _aead(keys, note, salt).encrypt(_NONCE, encode_details(details), _bound(keys, note))
    data = sign_text(keys, SignedKind.NOTE, names.note_subject(note.snapshot), encode_note(note, sealed))
    return names.note(note.snapshot, names.hash_of(data)), data


def _judge(checker: SignatureChecker, keys: KeySet | None, name: str, data: bytes) -> SignedNote | None:
    parsed = names.parse_note(name)
    text = checker.check(SignedKind.NOTE, name, data, names.note_subject(parsed.snapshot)) if parsed else None
    if parsed is None or text is None:
        return None
    if checker.trust().judge_word(text.signer, parsed.hash, Right.MAINTAIN) is not Judgment.ACCEPTED:
        return None
    try:
        note, sealed = decode_note(text.value, name)
    except FormatTooNew:  # what this version cannot read may keep the snapshot
        note = Note(parsed.snapshot, "", "", 0, Keep.HOLD, None, (), _NEVER, (0, ""))
        return SignedNote(parsed.hash, text.signer, note, None)
    except ObjectCorrupt:
        return None
    if note.snapshot != parsed.snapshot:
        return None
    return SignedNote(parsed.hash, text.signer, note, _open(keys, note, sealed, name))


def _open(keys: KeySet | None, note: Note, sealed: bytes, name: str) -> NoteDetails | None:
    if keys is None or len(sealed) < SALT_BYTES + TAG_BYTES:
        return None
    salt, text = sealed[:SALT_BYTES], sealed[SALT_BYTES:]
    try:
        return decode_details(_aead(keys, note, salt).decrypt(_NONCE, text, _bound(keys, note)), name)
    except (InvalidTag, KeyMissing, ObjectCorrupt):
        return None


def _aead(keys: KeySet, note: Note, salt: bytes) -> AESGCM:
    index_key = keys.at(key_tag(note.domain, note.epoch)).index_key
    return AESGCM(derive_key(index_key, "note", keys.repository_id, salt))


def _bound(keys: KeySet, note: Note) -> bytes:
    return associated("note", keys.repository_id, bytes.fromhex(note.snapshot), bytes.fromhex(note.commit))
