"""The actions of the owner log, and which objects of a revoked signer count: by hash, never by a date. Pure.

`action_codec` reads and writes the actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from blake3 import blake3

from farshore.format.names import hash_of
from farshore.model import dataclass
from farshore.signing import HASH_BYTES, VerifyKey

SOURCE_PREFIX_DIGITS = 16
_SOURCE = b"farshore/1/source\x00"


class Right(StrEnum):
    """An operation that a certificate allows, with the audit tables that belong to it."""

    BACKUP = "backup"
    RESTORE = "restore"
    VERIFY = "verify"
    HEAL = "heal"
    MAINTAIN = "maintain"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """From here on data keys are sealed to this public key, 1,216 bytes."""

    public_key: bytes
    root: int


@dataclass(frozen=True, slots=True)
class SourcePrefix:
    """Every source whose id begins with these 16 hex digits. Several signers may share one, and so their sources."""

    prefix: str

    def source_id(self, name: str) -> str:
        """Return the id of a source by its name, the same for all signers of this prefix."""
        return self.prefix + blake3(_SOURCE + self.prefix.encode() + name.encode()).hexdigest()[:SOURCE_PREFIX_DIGITS]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signer and its rights.

    `sources` maps source ids to the names that the owner gave them, or is a prefix of ids. `rights` may hold words of a
    later version.
    """

    key: VerifyKey
    host: str
    role: str
    domain: str
    sources: Mapping[str, str] | SourcePrefix
    rights: frozenset[str]
    not_before_utc: datetime
    not_after_utc: datetime

    @property
    def signer(self) -> str:
        """The id of the certified signer."""
        return self.key.signer_id

    def allows_source(self, source_id: str) -> bool:
        """Whether a source is one of those that the signer may commit."""
        if isinstance(self.sources, SourcePrefix):
            return source_id.startswith(self.sources.prefix)
        return source_id in self.sources

    def source_id(self, name: str) -> str | None:
        """Return the id under which the signer commits a source of this name; None where it may not."""
        if isinstance(self.sources, SourcePrefix):
            return self.sources.source_id(name)
        return next((source_id for source_id, of in self.sources.items() if of == name), None)


@dataclass(frozen=True, slots=True)
class AcceptedList:
    """The object that lists the accepted commits, as raw hashes in order; `hash` is that of its bytes."""

    hash: str
    count: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """From here on a signer is believed only as far as this names what it signed.

    `commits`: the accepted ones, by hash, here or in an object; None where a later version has it in another form.
    `chains`: sequence and hash of the last accepted seal of each chain.
    """

    signer: str
    commits: frozenset[str] | AcceptedList | None
    chains: Mapping[str, tuple[int, str]]
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeOwner:
    """The entries after this one are signed by this key."""

    key: VerifyKey


@dataclass(frozen=True, slots=True)
class StartEpoch:
    """From here on the keys of a domain derive from this root and epoch.

    `readers`: public keys, 1,216 bytes each, that data keys of the epoch are sealed to beside the repository's.
    """

    domain: str
    epoch: int
    root: int
    readers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Who has to approve, and how much may be deleted at once; `other` holds the keys of later versions.

    `retention`: rules of every source, as a configuration has them; what they keep is forgotten with approvals alone.
    """

    approvers: tuple[str, ...]
    approvals: int
    delete_max: int | None
    other: Mapping[str, object]
    retention: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NameSlots:
    """From here on these slots are in use, by the hashes in their names, in the order in which to try them."""

    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequireFeatures:
    """Features without which a program must not read, or must not write."""

    must_understand: tuple[str, ...]
    must_understand_to_write: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownAction:
    """An action of a later version, or one that cannot be read."""

    value: object


Action = (
    AddRecipient
    | Certificate
    | Revocation
    | ChangeOwner
    | StartEpoch
    | SetPolicy
    | NameSlots
    | RequireFeatures
    | UnknownAction
)


@dataclass(frozen=True, slots=True)
class Revoked:
    """The accepted objects of a revoked signer; `commits` is None where it cannot be read."""

    commits: frozenset[str] | None
    chains: Mapping[str, tuple[int, str]]
    reasons: tuple[str, ...]


def revocations_of(actions: Iterable[Action], accepted: Mapping[str, bytes]) -> dict[str, Revoked]:
    """Return what counts of each signer that these actions of a branch revoke; a later one replaces an earlier one.

    `accepted`: lists of accepted commits, by the hash that a revocation names.
    """
    found: dict[str, Revoked] = {}
    for action in (one for one in actions if isinstance(one, Revocation)):
        commits = action.commits
        if isinstance(commits, AcceptedList):
            commits = decode_accepted(accepted.get(commits.hash), commits)
        found[action.signer] = Revoked(commits, action.chains, (action.reason,))
    return found


def combined(lists: Iterable[Mapping[str, Revoked]]) -> dict[str, Revoked]:
    """Return of each signer what all branches that revoke it accept."""
    found: dict[str, Revoked] = {}
    for one in lists:
        for signer, revoked in one.items():
            found[signer] = _both(found[signer], revoked) if signer in found else revoked
    return found


def _both(first: Revoked, second: Revoked) -> Revoked:
    commits = None if first.commits is None or second.commits is None else first.commits & second.commits
    chains = {}
    for chain in first.chains.keys() & second.chains.keys():
        one, other = sorted((first.chains[chain], second.chains[chain]))
        if one[0] < other[0] or one == other:
            chains[chain] = one
    return Revoked(commits, chains, tuple(dict.fromkeys((*first.reasons, *second.reasons))))


def decode_accepted(data: bytes | None, named: AcceptedList) -> frozenset[str] | None:
    """Return the commit hashes of a list object, or None where the bytes are not that list."""
    if data is None or len(data) != named.count * HASH_BYTES or hash_of(data) != named.hash:
        return None
    hashes = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    return frozenset(one.hex() for one in hashes) if all(a < b for a, b in pairwise(hashes)) else None


def encode_accepted(commits: Iterable[str]) -> tuple[AcceptedList, bytes]:
    """Return the object that lists these commit hashes, and how a revocation names it."""
    hashes = sorted({bytes.fromhex(commit) for commit in commits})
    data = b"".join(hashes)
    return AcceptedList(hash_of(data), len(hashes)), data
