"""The entries of the owner log, `keys/log/<number>-<hash>`, and the tree of those that are valid. Pure.

    {"actions":[…],"format":"farshore-log","made_utc":…,"number":…,"previous":…,"version":1}

and a line with the owner's signature (format/__init__.py). `previous` is the hash of the entry before it, "" for the
first. Actions apply in their order. An action or a key of a later version, or one whose values cannot be read, is kept
and reported: one such action must not hide the revocations in the entries after it.

The valid ones are a tree below the header, with an owner key of its own on each path: entry n names the hash of entry
n - 1 and is signed by the owner key that is in force after it. So a retired key signs only beside the entry that
retired it, which is a fork. Under a later header only the entries that lead to the ends of the eras before it count of
those, so a lost owner key that is found signs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from blake3 import blake3

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import (
    SignedText,
    decode_signed,
    encode_canonical,
    encode_signed,
    encode_time,
    is_hex,
    names,
    require_format,
)
from farshore.format.header import Header
from farshore.model import dataclass
from farshore.signing import HASH_BYTES, SignedKind, SigningKey, VerifyKey, sign, verify
from farshore.trust.action_codec import decode_action, decode_moment, encode_action
from farshore.trust.actions import Action, ChangeOwner

FORMAT = "farshore-log"
VERSION = 1
START = ""  # what the first entry names as the one before it
_KEYS = {"format", "version", "number", "previous", "made_utc", "actions"}


@dataclass(frozen=True, slots=True)
class LogHead:
    """The number and the hash of an entry; those of the newest one name the whole log."""

    number: int
    hash: str

    @property
    def name(self) -> str:
        """The name of the entry's object."""
        return names.log_entry(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry with its signature, which is not checked yet.

    `unknown`: the actions and keys that this version does not know or cannot read, as text.
    """

    head: LogHead
    previous: str
    made_utc: datetime
    actions: tuple[Action, ...]
    unknown: tuple[str, ...]
    text: SignedText


def make_entry(
    owner: SigningKey, *, fingerprint: bytes, previous: LogHead | None, made_utc: datetime, actions: list[Action]
) -> tuple[LogHead, bytes]:
    """Return the place of a new entry in the log and its bytes, signed by the owner and read back.

    Each call makes another object, because signatures differ: a put whose reply was lost is repeated with the same
    bytes, or the log forks.

    Raises:
        ObjectCorrupt: It is too large, or an action does not read as what it was: nothing may be stored.
    """
    number = previous.number + 1 if previous else 1
    body = encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "number": number,
        "previous": previous.hash if previous else "",
        "made_utc": encode_time(made_utc),
        "actions": [encode_action(action) for action in actions],
    })  # fmt: skip
    subject = names.log_subject(number)
    signature = sign(owner, SignedKind.LOG, fingerprint=fingerprint, subject=subject, digest=blake3(body).digest())
    data = encode_signed(body, signature)
    head = LogHead(number, names.hash_of(data))
    read = decode_entry(head.name, data)
    if list(read.actions) != actions or not is_signed_by(read, owner.verify_key, fingerprint):
        raise ObjectCorrupt(f"{head.name} does not read as it was written")
    return head, data


def decode_entry(name: str, data: bytes) -> LogEntry:
    """Return the entry of that name; its signature is not checked.

    Raises:
        ObjectCorrupt: The bytes are not those of the name, or no entry of that number.
        FormatTooNew: A later version of the log.
    """
    parsed = names.parse_log_entry(name)
    if parsed is None or names.hash_of(data) != parsed[1]:
        raise ObjectCorrupt(f"{name} is not the object of its name")
    text = decode_signed(data, name, limits.LOG_ENTRY_BYTES_MAX)
    value = text.value
    require_format(value, FORMAT, VERSION, name)
    number, previous, actions = value.get("number"), value.get("previous"), value.get("actions")
    if type(number) is not int or number != parsed[0] or number < 1:
        raise ObjectCorrupt(f"{name} has another number")
    if not isinstance(actions, list) or not (is_hex(previous, HASH_BYTES) if number > 1 else previous == ""):
        raise ObjectCorrupt(f"{name} has no actions, or does not name the entry before it")
    unknown = [f"key {key!r}" for key in sorted(set(value) - _KEYS)]
    read = tuple(decode_action(action, unknown) for action in actions)
    return LogEntry(LogHead(*parsed), str(previous), decode_moment(value.get("made_utc")), read, tuple(unknown), text)


def is_signed_by(entry: LogEntry, owner: VerifyKey, fingerprint: bytes) -> bool:
    """Whether this owner signed this entry for the repository of this fingerprint."""
    return verify(
        owner,
        SignedKind.LOG,
        entry.text.signature,
        fingerprint=fingerprint,
        subject=names.log_subject(entry.head.number),
        digest=blake3(entry.text.body).digest(),
    )


@dataclass(frozen=True, slots=True)
class Era:
    """The time of one header. `owner`: the key in it. `last`: the last entry of that time that counts; None: no end."""

    fingerprint: bytes
    owner: VerifyKey
    last: LogHead | None = None


def eras_of(header: Header) -> tuple[Era, ...]:
    """Return the eras of a repository, of whose header the last one is."""
    past = [Era(one.fingerprint, VerifyKey(one.owner), LogHead(*one.log)) for one in header.history]
    return (*past, Era(header.fingerprint, VerifyKey(header.owner)))


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An object below `keys/log/` that is no valid entry."""

    name: str
    reason: str


class LogTree:
    """The valid ones of all entries that replicas list, by their hashes. Does not change once it is made."""

    def __init__(self, eras: Sequence[Era], entries: Mapping[str, bytes]) -> None:
        self.entries: dict[str, LogEntry] = {}
        self.refused: list[RefusedEntry] = []
        self._eras = eras
        self._owner_after = {START: eras[0].owner}
        self._era_after = {START: 0}
        self._following: dict[str, list[LogEntry]] = {}
        self._past = _leading_to(eras[-2].last, entries) if len(eras) > 1 else frozenset()
        for name in sorted(entries, key=lambda one: (names.parse_log_entry(one) or (0, ""), one)):
            reason = self._add(name, entries[name])
            if reason:
                self.refused.append(RefusedEntry(name, reason))

    def owner_after(self, entry_hash: str) -> VerifyKey:
        """Return the owner key in force after an entry, or at the start."""
        return self._owner_after[entry_hash]

    def signer_of(self, entry: LogEntry) -> VerifyKey:
        """Return the owner key that signed a valid entry."""
        return self._owner_after[entry.previous]

    def fingerprint_of(self, entry: LogEntry) -> bytes:
        """Return the fingerprint under which a valid entry is signed."""
        return self._eras[self._era_after[entry.previous]].fingerprint

    def following(self, entry_hash: str) -> list[LogEntry]:
        """Return the valid entries that name this one as the one before them."""
        return self._following.get(entry_hash, [])

    def path(self, entry_hash: str) -> tuple[LogEntry, ...]:
        """Return the entries from the first to this one."""
        path: list[LogEntry] = []
        while entry_hash != START:
            path.append(self.entries[entry_hash])
            entry_hash = path[-1].previous
        return tuple(reversed(path))

    def leaves(self) -> list[str]:
        """Return the entries that none follows, or the start."""
        return [one for one in self._owner_after if not self.following(one)]

    def last_undivided(self, entry_hash: str) -> str:
        """Return the last entry reached from this one while each has one that follows it."""
        while len(following := self.following(entry_hash)) == 1:
            entry_hash = following[0].head.hash
        return entry_hash

    def forked(self) -> tuple[int, ...]:
        """Return the numbers that two valid entries have."""
        numbers = sorted(entry.head.number for entry in self.entries.values())
        return tuple(sorted({one for one, other in pairwise(numbers) if one == other}))

    def head_of(self, entry_hash: str) -> LogHead | None:
        """Return number and hash of an entry; None at the start."""
        return self.entries[entry_hash].head if entry_hash != START else None

    def _add(self, name: str, data: bytes) -> str:
        """Add an entry if it is valid, else return why it is not. Those of lower numbers were added before it."""
        try:
            entry = decode_entry(name, data)
        except (ObjectCorrupt, FormatTooNew) as error:
            return str(error)
        before = self.head_of(entry.previous) if entry.previous in self._owner_after else None
        if entry.previous not in self._owner_after or entry.head.number != (before.number + 1 if before else 1):
            return "the entry before it is not there, or is not valid"
        number, owner = self._era_after[entry.previous], self._owner_after[entry.previous]
        era = self._eras[number]
        if era.last is not None and entry.head.hash not in self._past:
            return "it is of an owner before this one, and the header does not name it"
        if not is_signed_by(entry, owner, era.fingerprint):
            return "the owner key in force before it did not sign it"
        changes = [action.key for action in entry.actions if isinstance(action, ChangeOwner)]
        owner = changes[-1] if changes else owner
        if entry.head == era.last:
            number += 1
            owner = self._eras[number].owner
        self.entries[entry.head.hash] = entry
        self._era_after[entry.head.hash] = number
        self._owner_after[entry.head.hash] = owner
        self._following.setdefault(entry.previous, []).append(entry)
        return ""


def _leading_to(last: LogHead | None, entries: Mapping[str, bytes]) -> frozenset[str]:
    """Return the hashes of the entries that lead to this one, as far as they are there."""
    found: set[str] = set()
    while last is not None and last.number > 0:
        try:
            entry = decode_entry(last.name, entries[last.name])
        except (KeyError, ObjectCorrupt, FormatTooNew):
            break
        found.add(last.hash)
        last = LogHead(last.number - 1, entry.previous)
    return frozenset(found)


def rolled_back(entries: Mapping[str, bytes], remembered: LogHead | None) -> bool:
    """Whether one replica shows less of the log than this host remembers.

    A replica that was away when the entry was written looks the same: neither is read for trust until it has it.
    """
    if remembered is None:
        return False
    try:
        decode_entry(remembered.name, entries[remembered.name])
    except (KeyError, ObjectCorrupt, FormatTooNew):
        return True
    return False
