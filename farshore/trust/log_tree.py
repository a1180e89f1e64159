"""The valid entries of the owner log: a tree below the header, with an owner key of its own on each path. Pure.

Entry n names the hash of entry n - 1 and is signed by the owner key that is in force after it. So a retired key signs
only beside the entry that retired it, which is a fork.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.signing import VerifyKey
from farshore.trust.actions import ChangeOwner
from farshore.trust.log_entry import LogEntry, LogHead, decode_entry, is_signed_by

START = ""  # what the first entry names as the one before it


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An object below `keys/log/` that is no valid entry."""

    name: str
    reason: str


class LogTree:
    """The valid ones of all entries that replicas list, by their hashes. Does not change once it is made."""

    def __init__(self, owner: VerifyKey, fingerprint: bytes, entries: Mapping[str, bytes]) -> None:
        self.entries: dict[str, LogEntry] = {}
        self.refused: list[RefusedEntry] = []
        self._owner_after = {START: owner}
        self._following: dict[str, list[LogEntry]] = {}
        for name in sorted(entries, key=lambda one: (names.parse_log_entry(one) or (0, ""), one)):
            reason = self._add(name, entries[name], fingerprint)
            if reason:
                self.refused.append(RefusedEntry(name, reason))

    def owner_after(self, entry_hash: str) -> VerifyKey:
        """Return the owner key in force after an entry, or at the start."""
        return self._owner_after[entry_hash]

    def signer_of(self, entry: LogEntry) -> VerifyKey:
        """Return the owner key that signed a valid entry."""
        return self._owner_after[entry.previous]

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

    def _add(self, name: str, data: bytes, fingerprint: bytes) -> str:
        """Add an entry if it is valid, else return why it is not. Those of lower numbers were added before it."""
        try:
            entry = decode_entry(name, data)
        except (ObjectCorrupt, FormatTooNew) as error:
            return str(error)
        before = self.head_of(entry.previous) if entry.previous in self._owner_after else None
        if entry.previous not in self._owner_after or entry.head.number != (before.number + 1 if before else 1):
            return "the entry before it is not there, or is not valid"
        owner = self._owner_after[entry.previous]
        if not is_signed_by(entry, owner, fingerprint):
            return "the owner key in force before it did not sign it"
        changes = [action.key for action in entry.actions if isinstance(action, ChangeOwner)]
        self.entries[entry.head.hash] = entry
        self._owner_after[entry.head.hash] = changes[-1] if changes else owner
        self._following.setdefault(entry.previous, []).append(entry)
        return ""


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
