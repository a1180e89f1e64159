"""One entry of the owner log, `keys/log/<number>-<hash>`. Pure.

    {"actions":[…],"format":"farshore-log","made_utc":…,"number":…,"previous":…,"version":1}

and a line with the owner's signature (format/signed.py). `previous` is the hash of the entry before it, "" for the
first. Actions apply in their order. An action or a key of a later version, or one whose values cannot be read, is kept
and reported: one such action must not hide the revocations in the entries after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from blake3 import blake3

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.format.records import encode_canonical, encode_time
from farshore.format.signed import SignedText, decode_signed, encode_signed, is_hex
from farshore.signing import HASH_BYTES, SignedKind, SigningKey, VerifyKey, sign, verify
from farshore.trust.action_codec import decode_action, decode_moment, encode_action
from farshore.trust.actions import Action

FORMAT = "farshore-log"
VERSION = 1
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
    if value.get("format") != FORMAT:
        raise ObjectCorrupt(f"{name} is no entry of the owner log")
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise ObjectCorrupt(f"{name} has no version")
    if version > VERSION:
        raise FormatTooNew(f"{name} has version {version}; this Farshore knows {VERSION}")
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
